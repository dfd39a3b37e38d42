//! The sides of all pairs.

use std::collections::BTreeMap;

use super::network::Link;
use crate::net::splice::Splice;
use crate::session::Id;

/// One side of a pair.
pub(super) struct Side {
    pub(super) partner: Id,
    /// It is the client, and sent last: an answer may be on its way.
    pub(super) awaits_answer: bool,
    /// What came from this side and is in a pipe, as the partner has no room for it.
    pub(super) pipe: Option<Splice>,
    /// It has ended its direction; the partner gets that behind the pipe.
    pub(super) has_ended: bool,
    /// The peer is gone: its socket is read to the end, however much is queued for the partner.
    pub(super) is_gone: bool,
    /// What is on its way to this side.
    pub(super) link: Option<Box<Link>>,
}

/// The sides by slot. A map by number has nodes that stay half full, as numbers only grow: an idle pair
/// had 160 bytes more.
#[derive(Default)]
pub(super) struct Sides {
    by_slot: Vec<Option<(u64, Side)>>,
    /// Those of connections that are gone, but not `closed` yet, and whose slot another has already.
    outlived: BTreeMap<Id, Side>,
}

impl Sides {
    pub(super) fn get(&self, id: Id) -> Option<&Side> {
        match self.by_slot.get(id.slot)? {
            Some((number, side)) if *number == id.number => Some(side),
            _ => self.outlived.get(&id),
        }
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Side> {
        match self.by_slot.get_mut(id.slot)? {
            Some((number, side)) if *number == id.number => Some(side),
            _ => self.outlived.get_mut(&id),
        }
    }

    pub(super) fn insert(&mut self, id: Id, side: Side) {
        let slot = id.slot;
        self.by_slot.resize_with(self.by_slot.len().max(slot + 1), || None);
        if let Some((number, before)) = self.by_slot[slot].replace((id.number, side)) {
            self.outlived.insert(Id { number, slot }, before);
        }
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Side> {
        let by_slot = self.by_slot.iter_mut().flatten().map(|(_, side)| side);
        by_slot.chain(self.outlived.values_mut())
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<Side> {
        let side = self.by_slot.get_mut(id.slot)?.take_if(|(number, _)| *number == id.number);
        side.map(|(_, side)| side).or_else(|| self.outlived.remove(&id))
    }
}

impl Side {
    /// Whether something is on its way to this side, which has room for it.
    pub(super) fn is_passing(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.is_busy() && !link.is_blocked())
    }

    /// Whether something is on its way to this side.
    pub(super) fn is_awaiting(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.is_busy())
    }
}
