//! Sets an option, reads it back, and reports the effective value.

use std::fmt;
use std::io;

use nix::errno::Errno;

use super::explain::{difference, refusal};
use super::setting::{Reading, Setting, read};
use crate::exit::{Failure, errno_name};
use crate::net::options::{Access, Row, named};
use crate::net::socket::Socket;

/// The effect of a setting.
#[derive(Debug)]
pub struct Effect {
    /// The setting.
    pub setting: Setting,
    /// What the option reads as afterwards; nothing for one that cannot be read; the error of
    /// setting it.
    pub effective: io::Result<Option<Reading>>,
    /// Why it is not what was asked for.
    pub why: Option<String>,
}

impl Effect {
    /// The failure to set it, as an error line.
    pub fn failure(&self) -> Option<Failure> {
        let error = self.effective.as_ref().err()?;
        Some(failure(&self.setting, error, self.why.as_deref()))
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> ", self.setting)?;
        match &self.effective {
            Ok(Some(reading)) => write!(f, "{}", reading.value)?,
            Ok(None) => f.write_str("set")?,
            Err(error) => f.write_str(&name_of(error))?,
        }
        self.why.iter().try_for_each(|why| write!(f, ": {why}"))
    }
}

/// The failure to set an option, with what can be done about it.
pub(super) fn failure(setting: &Setting, error: &io::Error, why: Option<&str>) -> Failure {
    let failure = Failure::system("set", setting, error);
    match why {
        Some(why) => failure.hint(why),
        None => failure,
    }
}

/// Sets an option; the error has an explanation where there is one.
pub(super) fn put(socket: &Socket, setting: &Setting) -> Result<(), (io::Error, Option<String>)> {
    setting.put(socket).map_err(|error| {
        let why = refusal(socket, setting, &error);
        (error, why)
    })
}

/// Sets an option and reads it back.
pub fn set(socket: &Socket, setting: &Setting) -> Effect {
    let setting = setting.clone();
    if let Err((error, why)) = put(socket, &setting) {
        return Effect { setting, effective: Err(error), why };
    }
    let (effective, why) = match read_back(socket, setting.row()) {
        None => (None, Some("cannot be read back".to_owned())),
        Some(Err(error)) if error.raw_os_error() == Some(Errno::ENOTCONN as i32) => {
            (None, Some("can be read on a connection only".to_owned()))
        }
        Some(Err(error)) => (None, Some(format!("reading it back gives {}", name_of(&error)))),
        Some(Ok(reading)) => {
            let why = (reading.value != setting.requested())
                .then(|| difference(socket, &setting, &reading.value));
            (Some(reading), why)
        }
    };
    Effect { setting, effective: Ok(effective), why }
}

/// Reads an option, or for one that can only be set the one that shows what it did.
fn read_back(socket: &Socket, row: &Row) -> Option<io::Result<Reading>> {
    match row.name.as_ref() {
        "SO_RCVBUFFORCE" => Some(named("SO_RCVBUF").and_then(|row| read(socket, row))),
        "SO_SNDBUFFORCE" => Some(named("SO_SNDBUF").and_then(|row| read(socket, row))),
        _ => (row.access != Access::Set).then(|| read(socket, row)),
    }
}

fn name_of(error: &io::Error) -> String {
    errno_name(error.raw_os_error().unwrap_or_default())
}
