//! Socket options from the command line: settings, and the moment each is applied at. The effect of
//! a setting is in `effect`, the reason for it in `explain`.

mod effect;
mod explain;
mod group;
mod parse;
mod setting;
#[cfg(test)]
mod tests;
mod value;

use socket2::{Domain, Type};

use super::options::Moment;
use super::socket::Socket;
use crate::exit::{During, Failure};

pub use effect::{Effect, set};
pub use explain::{kind_of, reason};
pub use setting::{Setting, read};
pub use value::{Number, Value};

/// Where in a socket's life settings are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A stream socket before bind and listen.
    Listener,
    /// A stream socket before connect.
    Dialled,
    /// A stream socket that accept returned.
    Accepted,
    /// A datagram socket before bind or connect.
    Datagram,
}

impl Stage {
    /// Whether an option of this moment is set at this stage.
    fn sets(self, moment: Moment) -> bool {
        match self {
            Self::Listener => moment != Moment::Connection,
            Self::Accepted => matches!(moment, Moment::Connection | Moment::Any),
            Self::Dialled | Self::Datagram => true,
        }
    }
}

/// Applies those of `settings` that belong to this stage of `socket`'s life, in their order.
pub fn apply(settings: &[Setting], socket: &Socket, stage: Stage) -> Result<(), Failure> {
    let mut settings = settings.iter().filter(|setting| stage.sets(setting.row().moment));
    settings.try_for_each(|setting| {
        effect::put(socket, setting)
            .map_err(|(error, why)| effect::failure(setting, &error, why.as_deref()))
    })
}

/// Tries all of `settings` on a fresh socket that is thrown away, so that a server refuses at its
/// start what would otherwise fail for each client.
pub fn check(settings: &[Setting], domain: Domain, kind: Type) -> Result<(), Failure> {
    if settings.is_empty() {
        return Ok(());
    }
    let socket = Socket::new(domain, kind).during("socket for", "the options")?;
    apply(settings, &socket, Stage::Dialled)
}
