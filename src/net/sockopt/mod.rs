//! Socket options from the command line: sets them, reads them back, and says in one line what
//! became of each. The reasons are in `explain`.

mod explain;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;

use nix::errno::Errno;
use socket2::{Domain, Type};

use super::options::{Calls, SocketOption, Stage, Value, ValueFormat, lookup, named};
use super::socket::Socket;
use crate::exit::{During, Failure, errno_name, shortened};

pub use explain::{kind_of, reason};

/// `NAME=VALUE`, ready to be applied.
#[derive(Clone, Debug)]
pub struct Setting {
    option: SocketOption,
    bytes: Vec<u8>,
    value: String,
}

impl Setting {
    /// From `NAME=VALUE`, or `NAME` alone for a flag that is to be on.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let (name, value) =
            text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let mut option = lookup(name)?;
        if option.calls == Calls::Get {
            return Err(Failure::usage(format!("{} can only be read", option.name)));
        }
        let value = match (value, option.format) {
            (Some(value), _) => value,
            (None, ValueFormat::Flag) => "1",
            (None, format) => {
                let accepted = format.accepted();
                let message = format!("{0} needs a value: {0}=VALUE, {accepted}", option.name);
                return Err(Failure::usage(message));
            }
        };
        let bytes = option.format.encode(value).map_err(|cause| {
            Failure::usage(format!("{}={}: {cause}", option.name, shortened(value)))
        })?;
        // The MCAST_ options exist on both levels under one name; the group says which.
        if matches!(option.format, ValueFormat::Group | ValueFormat::Source) && value.contains(':')
        {
            option.level = libc::IPPROTO_IPV6;
        }
        Ok(Self { option, bytes, value: shortened(value) })
    }

    /// The option.
    pub fn option(&self) -> &SocketOption {
        &self.option
    }

    /// The value as a typed one.
    pub fn requested(&self) -> Value {
        match self.option.format {
            format if format.name() == "membership" => Value::Text(self.value.clone()),
            format => Value::decode(format, &self.bytes),
        }
    }

    /// setsockopt(2).
    fn put(&self, socket: &Socket) -> io::Result<()> {
        if !matches!(self.option.format, ValueFormat::Filter) {
            return socket.set_option(&self.option, &self.bytes);
        }
        // struct sock_fprog: the length, and a pointer to the program.
        let mut program = [0; 2 * size_of::<usize>()];
        let (length, pointer) = program.split_at_mut(size_of::<usize>());
        let count = u16::try_from(self.bytes.len() / size_of::<libc::sock_filter>());
        let count = count.map_err(|_| Errno::EINVAL)?;
        length[..2].copy_from_slice(&count.to_ne_bytes());
        pointer.copy_from_slice(&self.bytes.as_ptr().expose_provenance().to_ne_bytes());
        socket.set_option(&self.option, &program)
    }

    /// Reads the option, or for one that can only be set the one that shows what it did.
    fn read_back(&self, socket: &Socket) -> Option<io::Result<Reading>> {
        match self.option.name.strip_suffix("FORCE") {
            Some(name) => Some(named(name).and_then(|option| read(socket, option))),
            None => (self.option.calls != Calls::Set).then(|| read(socket, &self.option)),
        }
    }

    /// The failure to set it, with what can be done about it.
    fn failure(&self, error: &io::Error, why: Option<&str>) -> Failure {
        let failure = Failure::system("set", self, error);
        match why {
            Some(why) => failure.hint(why),
            None => failure,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.option.name, self.value)
    }
}

/// Applies those of `settings` that belong to a socket of this stage, in their order.
pub fn apply(settings: &[Setting], socket: &Socket, stage: Stage) -> Result<(), Failure> {
    let belongs = |setting: &&Setting| {
        let of = setting.option.stage;
        of == stage || of == Stage::Any || stage == Stage::Any
    };
    settings.iter().filter(belongs).try_for_each(|setting| {
        setting.put(socket).map_err(|error| {
            setting.failure(&error, explain::refusal(socket, setting, &error).as_deref())
        })
    })
}

/// Tries all of `settings` on a fresh socket that is thrown away, so that a server refuses at its
/// start what would otherwise fail for each client.
pub fn check(settings: &[Setting], domain: Domain, kind: Type) -> Result<(), Failure> {
    if settings.is_empty() {
        return Ok(());
    }
    let socket = Socket::new(domain, kind).during("socket for", "the options")?;
    apply(settings, &socket, Stage::Any)
}

/// An option as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its value.
    pub value: Value,
    /// Its bytes as the kernel gave them.
    pub raw: Vec<u8>,
}

/// Reads an option.
pub fn read(socket: &Socket, option: &SocketOption) -> io::Result<Reading> {
    let raw = socket.get_option(option)?;
    Ok(Reading { value: Value::decode(option.format, &raw), raw })
}

/// What became of a setting.
#[derive(Debug)]
pub struct Effect<'a> {
    /// The setting.
    pub setting: &'a Setting,
    /// What the option reads as afterwards; nothing for one that cannot be read; the error of
    /// setting it.
    pub effective: io::Result<Option<Reading>>,
    /// Why it is not what was asked for.
    pub why: Option<String>,
}

/// Sets an option and reads it back.
pub fn set<'a>(socket: &Socket, setting: &'a Setting) -> Effect<'a> {
    if let Err(error) = setting.put(socket) {
        let why = explain::refusal(socket, setting, &error);
        return Effect { setting, effective: Err(error), why };
    }
    let (effective, why) = match setting.read_back(socket) {
        None => (None, Some("cannot be read back".to_owned())),
        Some(Err(error)) if error.raw_os_error() == Some(Errno::ENOTCONN as i32) => {
            (None, Some("can be read on a connection only".to_owned()))
        }
        Some(Err(error)) => (None, Some(format!("reading it back gives {}", name_of(&error)))),
        Some(Ok(reading)) => {
            let why = (reading.value != setting.requested())
                .then(|| explain::difference(socket, setting, &reading.value));
            (Some(reading), why)
        }
    };
    Effect { setting, effective: Ok(effective), why }
}

impl Effect<'_> {
    /// The failure to set it, as an error line.
    pub fn failure(&self) -> Option<Failure> {
        let error = self.effective.as_ref().err()?;
        Some(self.setting.failure(error, self.why.as_deref()))
    }
}

impl fmt::Display for Effect<'_> {
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

fn name_of(error: &io::Error) -> String {
    errno_name(error.raw_os_error().unwrap_or_default())
}
