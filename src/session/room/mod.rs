//! `--room`: a chat room for whoever can send a line, and for who runs sockctl.
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
//! `state` knows who is in and who gets what, `names` what a name is, `wire` cuts bytes into lines
//! and lines into bytes, `operator` is the member who runs sockctl.

mod names;
mod operator;
mod state;
mod wire;

pub use operator::Operator;
pub use wire::Room;
