//! Reading bulk: while much comes, a reader that is woken for each packet spends its time on being
//! woken. The kernel can wait for more (`SO_RCVLOWAT`, socket(7)); it must not wait for long, as
//! what it waits for may never come.

use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::socket::Socket;
use super::sockopt::{Row, rows};

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
            let is_ours = is_ours(socket) && set(socket, BULK);
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
            set(socket, 1);
        }
    }
}

fn low_water() -> Option<&'static Row> {
    rows().find(|row| row.name == "SO_RCVLOWAT")
}

/// Whether nobody has set it.
fn is_ours(socket: &Socket) -> bool {
    let value = low_water().and_then(|row| socket.get_option(row).ok());
    value.is_some_and(|bytes| bytes == 1_i32.to_ne_bytes())
}

fn set(socket: &Socket, bytes: i32) -> bool {
    low_water().is_some_and(|row| socket.set_option(row, &bytes.to_ne_bytes()).is_ok())
}
