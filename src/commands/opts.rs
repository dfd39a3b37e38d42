//! `opts`: what socket options are, and what the kernel makes of a setting.

mod answer;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Result;
use socket2::{Domain, Type};

use crate::args::{FamilyArgs, TalkArgs};
use crate::exit::{Failure, errno_name};
use crate::net::quantity;
use crate::net::socket::Socket;
use crate::net::sockopt::{self, Effect, Level, Row, Setting, Sockets};
use crate::session::conversation::pipe::output_failed;
use answer::{Entry, Line, Table};

/// Show socket options, or set them on a fresh socket and show what became of it
#[derive(Debug, clap::Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Opts {
    /// Options to show, or to set; all of the socket, without any. LEVEL:NUMBER[=HEX] for one
    /// without a name
    #[arg(value_name = "NAME[=VALUE]")]
    words: Vec<String>,
    /// Of a UDP socket instead of a TCP one
    #[arg(long, conflicts_with = "unix")]
    udp: bool,
    /// Of a UNIX socket
    #[arg(long, conflicts_with_all = ["v4", "v6"])]
    unix: bool,
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
        let mut fresh = Fresh::new(self);
        let mut failed = None;
        let mut lines = Vec::new();
        if words.is_empty() {
            for row in fresh.listed() {
                lines.push(Line::Row(fresh.show(&row)));
            }
        }
        for word in &words {
            lines.push(match word {
                Word::Show(row) => Line::Row(fresh.show(row)),
                Word::Set(setting) => {
                    let mut effect = fresh.set(setting)?;
                    let failure = effect.failure.take();
                    failed = failed.or(failure);
                    Line::Effect(effect)
                }
            });
        }
        let written = if json {
            lines.iter().try_for_each(|line| line.json(out))
        } else {
            let table = Table::of(&lines, words.is_empty(), color, width);
            table.write(&lines, out)
        };
        written
            .and_then(|()| out.flush())
            .map_err(|error| output_failed(&error))?;
        failed.map_or(Ok(()), |failure| Err(failure.into()))
    }
}

fn understand(word: &str) -> Result<Word, Failure> {
    if word.contains('=') {
        return Setting::parse(word).map(Word::Set);
    }
    sockopt::lookup(word).map(Word::Show)
}

/// Fresh sockets, opened when an option asks for one. Several words share a socket, so that one
/// option's effect on another can be seen.
struct Fresh {
    asked: Option<Sockets>,
    family: Option<Domain>,
    open: Vec<(Domain, Type, Result<Socket, i32>)>,
}

impl Fresh {
    fn new(opts: &Opts) -> Self {
        let asked = match (opts.udp, opts.unix) {
            (true, _) => Some(Sockets::UDP),
            (_, true) => Some(Sockets::UNIX),
            _ => None,
        };
        let family = match (opts.family.v4, opts.family.v6) {
            (true, _) => Some(Domain::IPV4),
            (_, true) => Some(Domain::IPV6),
            _ => None,
        };
        Self {
            asked,
            family,
            open: Vec::new(),
        }
    }

    /// Every option of the socket that was asked for.
    fn listed(&self) -> Vec<Row> {
        let kind = self.asked.unwrap_or(Sockets::TCP);
        sockopt::rows()
            .filter(|row| row.on.contains(kind))
            .filter(|row| row.level != Level::Ipv6 || self.family != Some(Domain::IPV4))
            .filter(|row| row.level == Level::Socket || kind != Sockets::UNIX)
            .cloned()
            .collect()
    }

    /// A socket that has this option: as asked for; else TCP where it applies, else UDP, else
    /// UNIX, and IPv6 for options of that level.
    fn socket(&mut self, row: &Row) -> io::Result<&Socket> {
        let kind = self.asked.unwrap_or_else(|| {
            [Sockets::TCP, Sockets::UDP, Sockets::UNIX]
                .into_iter()
                .find(|kind| row.on.contains(*kind))
                .unwrap_or(Sockets::TCP)
        });
        let domain = match (kind, self.family, row.level) {
            (Sockets::UNIX, ..) => Domain::UNIX,
            (_, Some(family), _) => family,
            (_, None, Level::Ipv6) => Domain::IPV6,
            _ => Domain::IPV4,
        };
        let kind = if kind == Sockets::UDP {
            Type::DGRAM
        } else {
            Type::STREAM
        };
        let known = |(d, t, _): &(Domain, Type, _)| (*d, *t) == (domain, kind);
        let at = self.open.iter().position(known).unwrap_or_else(|| {
            let socket = Socket::new(domain, kind);
            let socket = socket.map_err(|e| e.raw_os_error().unwrap_or_default());
            self.open.push((domain, kind, socket));
            self.open.len() - 1
        });
        self.open[at]
            .2
            .as_ref()
            .map_err(|code| io::Error::from_raw_os_error(*code))
    }

    fn show(&mut self, row: &Row) -> Entry {
        let mut entry = Entry::of(row);
        if !row.access.readable() {
            entry.why = Some("set only".into());
            return entry;
        }
        let socket = match self.socket(row) {
            Ok(socket) => socket,
            Err(error) => {
                entry.errno = error.raw_os_error().map(errno_name);
                return entry;
            }
        };
        match sockopt::read(socket, row) {
            Ok(reading) => {
                entry.raw = Some(hex::encode(&reading.raw));
                entry.value = Some(reading.value);
            }
            Err(error) => {
                entry.why = sockopt::reason(socket, row, &error);
                entry.errno = error.raw_os_error().map(errno_name);
            }
        }
        entry
    }

    fn set(&mut self, setting: &Setting) -> Result<Effect, Failure> {
        let socket = self
            .socket(setting.row())
            .map_err(|error| Failure::system("socket for", setting, &error))?;
        Ok(sockopt::set(socket, setting))
    }
}
