//! `--room`: a chat room whose members send lines. The operator, who runs sockctl, is one of them.
//!
//! | on the wire          | is                               | goes to                       |
//! |----------------------|----------------------------------|-------------------------------|
//! | `<NAME> text`        | a line                           | all but the sender            |
//! | `* NAME text`        | `/me text`                       | all but the sender            |
//! | `[NAME] text`        | `@OTHER text`, `/reply text`     | OTHER                         |
//! | `-- NAME joined`     | a notice                         | all, the newcomer too         |
//! | `-- NAME left`       |                                  | all who stay                  |
//! | `-- OLD is now NEW`  | `/nick NEW`                      | all                           |
//! | `-- you are NAME; …` | the greeting, and what is recalled behind it | the newcomer      |
//! | `-- text`            | the answer to a command          | who asked                     |
//! | `! text`             | an error                         | who made it                   |
//!
//! `handler` cuts bytes into lines and delivers them, `commands` knows what they do, `members` who is here,
//! [`names`](crate::sanitize::names) what a name is; `recall` and `log` keep what was said to all, and
//! `operator` is the operator's seat.

mod bridge;
mod commands;
mod handler;
mod log;
mod members;
mod operator;
mod recall;
mod remote;

pub use bridge::{Bridge, Location};
pub use handler::{QUEUE_LIMIT, Room};
pub use log::Log;
pub use operator::Operator;
pub use recall::Recall;
