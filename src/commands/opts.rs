//! `opts`: what socket options are, what the kernel makes of a setting, and what live sockets use.

mod inspect;
mod listing;
mod summary;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Type};

use crate::args::{self, FamilyArgs, TalkArgs};
use crate::exit::{During, Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::dial::{Dial, dial};
use crate::net::options::{self, SocketOption, Sockets};
use crate::net::process::{self, Held};
use crate::net::quantity;
use crate::net::resolve::Source;
use crate::net::socket::Socket;
use crate::net::sockopt::Setting;
use inspect::{Inspected, SocketState};
use listing::Listed;
pub use listing::Listing;
use summary::Summary;

/// Show socket options, or set them and show the effect: of a new socket, a connection, or another
/// process
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Opts {
    /// Options to show (NAME) or set (NAME=VALUE); all of them by default. LEVEL:NUMBER[=HEX] for
    /// one without a name
    #[arg(value_name = "NAME[=VALUE]", value_parser = args::OptionNames(|word| Ok(word.to_owned())),
        hide_possible_values = true)]
    words: Vec<String>,
    /// Use a UDP socket
    #[arg(long, conflicts_with = "unix", help_heading = "Which socket")]
    udp: bool,
    /// Use a UNIX socket
    #[arg(long, conflicts_with_all = ["v4", "v6"], help_heading = "Which socket")]
    unix: bool,
    /// Inspect a new socket in this state
    #[arg(
        long,
        value_enum,
        value_name = "STATE",
        default_value_t,
        hide_default_value = true,
        help_heading = "Which socket"
    )]
    state: SocketState,
    /// Inspect a connection to ADDRESS, with its addresses, mode and timeouts
    #[arg(long, value_name = "ADDRESS", group = "live", conflicts_with_all = ["state", "unix"],
        help_heading = "Which socket")]
    connect: Option<OsString>,
    /// Inspect the sockets of a running process
    #[arg(long, value_name = "PID", group = "live", value_parser = args::count::<i32>(1, args::INT_MAX),
        conflicts_with_all = ["state", "udp", "unix"], help_heading = "Which socket")]
    pid: Option<i32>,
    /// Only the socket with this descriptor of that process
    #[arg(long, value_name = "N", requires = "pid", value_parser = args::count::<i32>(0, args::INT_MAX),
        help_heading = "Which socket")]
    fd: Option<RawFd>,
    /// Inspect the sockets that listen on this port (with --udp: are bound to it)
    #[arg(long, value_name = "N", group = "live", value_parser = args::count::<u16>(1, 65535),
        conflicts_with_all = ["state", "unix"], help_heading = "Which socket")]
    port: Option<u16>,
    /// Show only what differs from a new socket
    #[arg(long, help_heading = "Which socket")]
    changed: bool,
    #[command(flatten)]
    family: FamilyArgs,
    /// Timeout for connecting; 0 disables it
    #[arg(short = 'w', long, value_name = "DUR", default_value = "10s", value_parser = quantity::duration,
        help_heading = "Limits")]
    pub timeout: Duration,
    #[command(flatten)]
    pub talk: TalkArgs,
}

/// A live socket in errors.
const SOCKET: &str = "the socket";

/// An option to show or to set.
enum Word {
    Show(SocketOption),
    Set(Setting),
}

impl Opts {
    /// Writes the table, or an object a line; the first failure to set is the run's.
    pub fn run(&self, listing: Listing<'_>) -> Result<(), Failure> {
        // All words are understood before the first socket is opened.
        let words = self.words.iter().map(|word| understand(word));
        let words = words.collect::<Result<_, Failure>>()?;
        let mut inspection = Inspection { words, changed: self.changed, listing };
        if let Some(address) = &self.connect {
            return inspection.one(self.dial(address)?, None);
        }
        match (self.pid, self.fd, self.port) {
            (Some(pid), Some(fd), _) => {
                inspection.one(process::borrow(pid, fd)?, Some(Held { pid, fd, inode: 0 }))
            }
            (Some(pid), None, _) => inspection.several(&process::sockets(pid)?),
            (_, _, Some(port)) => inspection.several(&process::at_port(port, self.udp)?),
            _ if (self.udp, self.state) == (true, SocketState::Listening) => {
                Err(Failure::usage("datagram sockets do not listen"))
            }
            _ => inspection.options(&mut Inspected::fresh(self.kind(), self.domain(), self.state)),
        }
    }

    fn dial(&self, address: &OsString) -> Result<Socket, Failure> {
        let family = self.family.family();
        let address = args::address(std::slice::from_ref(address), family, "")?;
        address.check_dial()?;
        let kind = if self.udp { Type::DGRAM } else { Type::STREAM };
        let how = Dial {
            query: self.family.query(kind, Source::default()),
            settings: Vec::new(),
            avoid: Arc::default(),
        };
        dial(&address, &how, Deadline::after(self.timeout))
    }

    fn kind(&self) -> Option<Sockets> {
        let unix = self.unix.then_some(Sockets::UNIX);
        if self.udp { Some(Sockets::UDP) } else { unix }
    }

    fn domain(&self) -> Option<Domain> {
        let v6 = self.family.v6.then_some(Domain::IPV6);
        if self.family.v4 { Some(Domain::IPV4) } else { v6 }
    }
}

fn understand(word: &str) -> Result<Word, Failure> {
    if word.contains('=') {
        return Setting::parse(word).map(Word::Set);
    }
    options::lookup(word).map(Word::Show)
}

/// What is asked of each socket.
struct Inspection<'a> {
    words: Vec<Word>,
    changed: bool,
    listing: Listing<'a>,
}

impl Inspection<'_> {
    /// One live socket: what it is, then its options.
    fn one(&mut self, socket: Socket, held: Option<Held>) -> Result<(), Failure> {
        if self.words.is_empty() {
            let summary = Summary::of(&socket, held).during("look at", SOCKET)?;
            self.listing.summary(&summary).map_err(Failure::output)?;
        }
        self.options(&mut Inspected::live(socket).during("look at", SOCKET)?)
    }

    /// The sockets of a process: a list, or the options of each.
    fn several(&mut self, held: &[Held]) -> Result<(), Failure> {
        let only_list = self.words.is_empty() && !self.changed;
        if held.len() > 1 && self.words.iter().any(|word| matches!(word, Word::Set(_))) {
            let message =
                "it has several sockets: --pid PID --fd N says which one to set options on";
            return Err(Failure::usage(message));
        }
        let mut list = Vec::new();
        for &held in held {
            let socket = match process::borrow(held.pid, held.fd) {
                Ok(socket) => socket,
                // Closed since it was listed.
                Err(failure) if failure.exit == Exit::Usage => continue,
                Err(failure) => return Err(failure),
            };
            let summary = Summary::of(&socket, Some(held)).during("look at", SOCKET)?;
            if self.listing.json {
                self.listing.json(&summary).map_err(Failure::output)?;
            } else {
                list.push(summary.cells(&process::name(held.pid).unwrap_or_default()));
            }
            if !only_list {
                self.listing.list(std::mem::take(&mut list)).map_err(Failure::output)?;
                self.options(&mut Inspected::live(socket).during("look at", SOCKET)?)?;
            }
        }
        self.listing.list(list).map_err(Failure::output)
    }

    /// The options that were asked for, of one socket.
    fn options(&mut self, inspected: &mut Inspected) -> Result<(), Failure> {
        let mut failed = None;
        let mut entries = Vec::new();
        let all = self.words.is_empty();
        if all {
            entries.extend(inspected.options().map(|option| inspected.show(option)));
        }
        for word in &self.words {
            entries.push(match word {
                Word::Show(option) => inspected.show(option),
                Word::Set(setting) => {
                    let effect = inspected.set(setting)?;
                    failed = failed.or(effect.failure());
                    Listed::set(effect)
                }
            });
        }
        if self.changed {
            entries.retain(Listed::is_change);
        }
        let all = all && !entries.is_empty();
        self.listing.entries(&entries, all, inspected.compares()).map_err(Failure::output)?;
        failed.map_or(Ok(()), Err)
    }
}
