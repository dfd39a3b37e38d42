//! The side of a connection: the program accepted it, or dialled it.

/// The side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We accepted it. When it is closed it is drained first: unread data would make the kernel
    /// reset it, which can destroy a reply on its way.
    Server,
    /// We dialled it.
    Client,
}

impl Role {
    /// How failures of a connection begin.
    pub fn op(self) -> &'static str {
        match self {
            Self::Server => "connection from",
            Self::Client => "connection to",
        }
    }
}
