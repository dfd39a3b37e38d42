//! Reading bulk: while much comes, a reader that is woken for each packet spends its time on being
//! woken. The kernel can wait for more (`SO_RCVLOWAT`, socket(7)); it must not wait for long, as
//! what it waits for may never come.

use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::socket::Socket;

const LOW_WATER: &str = "SO_RCVLOWAT";
/// What came at once, where more of the kind is to be expected.
const SIGN: usize = 64 << 10;
/// What is waited for then.
const BULK: i32 = 128 << 10;
/// For how long: as long as that takes at a gigabyte a second, and a little more. Whatever comes
/// last of much comes so much later.
const PATIENCE: Duration = Duration::from_micros(200);

/// How much a socket has to have before it counts as readable.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Gather {
    /// A byte.
    #[default]
    Any,
    /// [`BULK`].
    Bulk,
    /// What the user set, who knows better.
    Given,
}

impl Gather {
    /// So much was read at once.
    pub fn came(&mut self, count: usize, socket: &Socket) {
        if *self == Self::Any && count >= SIGN {
            // Unless the user has set it (-o).
            let is_ours = socket.get_int(LOW_WATER).is_ok_and(|bytes| bytes == 1)
                && socket.set_int(LOW_WATER, BULK).is_ok();
            *self = if is_ours { Self::Bulk } else { Self::Given };
        }
    }

    /// When a wait that begins now must end.
    pub fn until(self) -> Deadline {
        match self {
            Self::Bulk => Deadline::at(Instant::now() + PATIENCE),
            Self::Any | Self::Given => Deadline::NEVER,
        }
    }

    /// From now on a byte is enough again.
    pub fn stop(&mut self, socket: &Socket) {
        if *self == Self::Bulk {
            *self = Self::Any;
            // What was set can be set back; a socket that is gone needs nothing.
            let _ = socket.set_int(LOW_WATER, 1);
        }
    }
}
