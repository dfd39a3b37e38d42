//! `opts`: what socket options are, what the kernel makes of a setting, and what live sockets use.

mod answer;
mod facts;
mod subject;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::time::Duration;

use anyhow::Result;
use socket2::{Domain, Type};

use crate::args::{self, FamilyArgs, TalkArgs};
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::dial::{Dial, dial};
use crate::net::options::{self, Row, Sockets};
use crate::net::process::{self, Held};
use crate::net::quantity;
use crate::net::socket::Socket;
use crate::net::sockopt::Setting;
use answer::{Line, List, Table};
use facts::Facts;
use subject::{State, Subject};

/// Show socket options, or set them and show what became of it: of a fresh socket, a connection,
/// or another process
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Opts {
    /// Options to show, or to set; all of the socket, without any. LEVEL:NUMBER[=HEX] for one
    /// without a name
    #[arg(value_name = "NAME[=VALUE]", value_parser = args::option_names(|word| Ok(word.to_owned())),
        hide_possible_values = true)]
    words: Vec<String>,
    /// Of a UDP socket instead of a TCP one
    #[arg(long, conflicts_with = "unix", help_heading = "Which socket")]
    udp: bool,
    /// Of a UNIX socket
    #[arg(long, conflicts_with_all = ["v4", "v6"], help_heading = "Which socket")]
    unix: bool,
    /// Of a fresh socket in this state
    #[arg(
        long,
        value_enum,
        value_name = "STATE",
        default_value_t,
        hide_default_value = true,
        help_heading = "Which socket"
    )]
    state: State,
    /// Of a connection to ADDRESS, with its addresses, mode and timeouts
    #[arg(long, value_name = "ADDRESS", group = "live", conflicts_with_all = ["state", "unix"],
        help_heading = "Which socket")]
    connect: Option<OsString>,
    /// The sockets of a running process
    #[arg(long, value_name = "PID", group = "live", value_parser = args::count::<i32>(1, args::INT_MAX),
        conflicts_with_all = ["state", "udp", "unix"], help_heading = "Which socket")]
    pid: Option<i32>,
    /// Of that process, the socket with this descriptor
    #[arg(long, value_name = "N", requires = "pid", value_parser = args::count::<i32>(0, args::INT_MAX),
        help_heading = "Which socket")]
    fd: Option<RawFd>,
    /// The sockets of whatever process listens on this port (with --udp: is bound to it)
    #[arg(long, value_name = "N", group = "live", value_parser = args::count::<u16>(1, 65535),
        conflicts_with_all = ["state", "unix"], help_heading = "Which socket")]
    port: Option<u16>,
    /// Only what differs from a fresh socket
    #[arg(long, help_heading = "Which socket")]
    changed: bool,
    #[command(flatten)]
    family: FamilyArgs,
    /// Bound on connecting; 0: none
    #[arg(short = 'w', long, value_name = "DUR", default_value = "10s", value_parser = quantity::duration,
        allow_hyphen_values = true, help_heading = "Limits")]
    pub timeout: Duration,
    #[command(flatten)]
    pub talk: TalkArgs,
}

/// One word of the command line, understood.
enum Word {
    Show(Row),
    Set(Setting),
}

impl Opts {
    /// Writes the table, or an object a line; the first failure to set is the run's.
    ///
    /// `width` is the terminal's: nothing is wrapped without one.
    pub fn run(
        &self,
        json: bool,
        color: bool,
        width: Option<usize>,
        out: &mut dyn Write,
    ) -> Result<()> {
        // All words are understood before the first socket is opened.
        let words = self.words.iter().map(|word| understand(word));
        let words = words.collect::<Result<Vec<Word>, Failure>>()?;
        let page = Page { json, color, width };
        if let Some(address) = &self.connect {
            let socket = self.dial(address)?;
            return self.one(&words, socket, None, page, out);
        }
        match (self.pid, self.fd, self.port) {
            (Some(pid), Some(fd), _) => {
                let held = Held { pid, fd, inode: 0 };
                self.one(&words, process::borrow(pid, fd)?, Some(held), page, out)
            }
            (Some(pid), None, _) => self.several(&words, &process::sockets(pid)?, page, out),
            (_, _, Some(port)) => {
                let held = if self.udp {
                    process::at_port(port, ["udp", "udp6"], false)
                } else {
                    process::at_port(port, ["tcp", "tcp6"], true)
                };
                self.several(&words, &held?, page, out)
            }
            _ => {
                let mut subject = Subject::fresh(self.kind(), self.domain(), self.state);
                if (self.udp, self.state) == (true, State::Listening) {
                    return Err(Failure::usage("datagram sockets do not listen").into());
                }
                self.answer(&words, &mut subject, page, out)
            }
        }
    }

    /// One live socket: what it is, then its options.
    fn one(
        &self,
        words: &[Word],
        socket: Socket,
        held: Option<Held>,
        page: Page,
        out: &mut dyn Write,
    ) -> Result<()> {
        let fail = |e: io::Error| Failure::system("look at", "the socket", &e);
        if words.is_empty() {
            let facts = Facts::of(&socket, held).map_err(fail)?;
            let written = if page.json {
                facts.json(out)
            } else {
                facts.write(out).and_then(|()| writeln!(out))
            };
            written.map_err(|e| Failure::output(&e))?;
        }
        let mut subject = Subject::live(socket).map_err(fail)?;
        self.answer(words, &mut subject, page, out)
    }

    /// The sockets of a process: a list, or the options of each.
    fn several(
        &self,
        words: &[Word],
        held: &[Held],
        page: Page,
        out: &mut dyn Write,
    ) -> Result<()> {
        let listing = words.is_empty() && !self.changed;
        if held.len() > 1 && words.iter().any(|word| matches!(word, Word::Set(_))) {
            let message =
                "it has several sockets: --pid PID --fd N says which one to set options on";
            return Err(Failure::usage(message).into());
        }
        let mut list = List::default();
        for &held in held {
            let socket = match process::borrow(held.pid, held.fd) {
                Ok(socket) => socket,
                // Closed since it was listed.
                Err(failure) if failure.exit == Exit::Usage => continue,
                Err(failure) => return Err(failure.into()),
            };
            let fail = |e: io::Error| Failure::system("look at", "the socket", &e);
            let facts = Facts::of(&socket, Some(held)).map_err(fail)?;
            let name = process::name(held.pid).unwrap_or_default();
            if page.json {
                facts.json(out).map_err(|e| Failure::output(&e))?;
            } else {
                list.push(facts.cells(&name));
            }
            if !listing {
                list.write(out).map_err(|e| Failure::output(&e))?;
                list = List::default();
                let mut subject = Subject::live(socket).map_err(fail)?;
                self.answer(words, &mut subject, page, out)?;
            }
        }
        let written = list.write(out).and_then(|()| out.flush());
        Ok(written.map_err(|e| Failure::output(&e))?)
    }

    /// The options that were asked for, of one socket.
    fn answer(
        &self,
        words: &[Word],
        subject: &mut Subject,
        page: Page,
        out: &mut dyn Write,
    ) -> Result<()> {
        let mut failed = None;
        let mut lines = Vec::new();
        if words.is_empty() {
            for row in subject.listed() {
                lines.push(Line::Row(subject.show(&row)));
            }
        }
        for word in words {
            lines.push(match word {
                Word::Show(row) => Line::Row(subject.show(row)),
                Word::Set(setting) => {
                    let mut effect = subject.set(setting)?;
                    let failure = effect.failure.take();
                    failed = failed.or(failure);
                    Line::Effect(effect)
                }
            });
        }
        if self.changed {
            lines.retain(Line::is_news);
        }
        let written = if page.json {
            lines.iter().try_for_each(|line| line.json(out))
        } else {
            let all = words.is_empty() && !lines.is_empty();
            let table = Table::of(&lines, all, subject.compares(), page.color, page.width);
            table.write(&lines, out)
        };
        written.and_then(|()| out.flush()).map_err(|error| Failure::output(&error))?;
        failed.map_or(Ok(()), |failure| Err(failure.into()))
    }

    fn dial(&self, address: &OsString) -> Result<Socket, Failure> {
        let family = self.family.family();
        let address = args::address(std::slice::from_ref(address), family)?;
        address.check_dial()?;
        let how = Dial {
            family,
            numeric: self.family.numeric,
            source: None,
            settings: &[],
            kind: if self.udp { Type::DGRAM } else { Type::STREAM },
        };
        dial(&address, &how, Deadline::after(self.timeout))
    }

    fn kind(&self) -> Option<Sockets> {
        match (self.udp, self.unix) {
            (true, _) => Some(Sockets::UDP),
            (_, true) => Some(Sockets::UNIX),
            _ => None,
        }
    }

    fn domain(&self) -> Option<Domain> {
        match (self.family.v4, self.family.v6) {
            (true, _) => Some(Domain::IPV4),
            (_, true) => Some(Domain::IPV6),
            _ => None,
        }
    }
}

/// How the answer is written.
#[derive(Clone, Copy)]
struct Page {
    json: bool,
    color: bool,
    /// The terminal's.
    width: Option<usize>,
}

fn understand(word: &str) -> Result<Word, Failure> {
    if word.contains('=') {
        return Setting::parse(word).map(Word::Set);
    }
    options::lookup(word).map(Word::Show)
}
