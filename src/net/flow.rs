//! The marks of flow control, which the link loop and the handlers share. The rules are [in the
//! guide](crate#back-pressure).

use std::time::Duration;

/// The high-water mark: sources wait while a reader has this much queued. It is twice one read, so
/// that a reader that keeps up holds up no source.
pub const HIGH_WATER: usize = 256 << 10;
/// A reader that has taken nothing for this long is stalled: sources do not wait for it any more.
pub const STALL_AFTER: Duration = Duration::from_millis(100);
/// What all send queues together may own. One queue may own as much as is still free: so far a client
/// may write everything before it reads, and the broadcasts that wait for a slow one are copied.
pub const TOTAL_QUEUE_LIMIT: usize = 256 << 20;
