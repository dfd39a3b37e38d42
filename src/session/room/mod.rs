//! `--room`: a chat room whose members send lines. The operator, who runs sockctl, is one of them.
//!
//! | on the wire          | is                               | goes to                       |
//! |----------------------|----------------------------------|-------------------------------|
//! | `<NAME> text`        | a line                           | all but the sender            |
//! | `* NAME text`        | `/me text`                       | all but the sender            |
//! | `[NAME] text`        | `/msg OTHER text`                | OTHER                         |
//! | `-- NAME joined`     | a notice                         | all, the newcomer too         |
//! | `-- NAME left`       |                                  | all who stay                  |
//! | `-- OLD is now NEW`  | `/nick NEW`                      | all                           |
//! | `-- text`            | the answer to `/who` and `/help` | who asked                     |
//! | `! text`             | an error                         | who made it                   |
//!
//! `handler` cuts bytes into lines and delivers them, `members` knows who is here and who gets what,
//! [`names`](crate::sanitize::names) what a name is, `operator` is the operator's seat.

mod handler;
mod members;
mod operator;

pub use handler::Room;
pub use operator::Operator;
