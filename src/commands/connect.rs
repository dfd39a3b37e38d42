//! `connect`: talk to a server, or see whether its ports are open (`connect_ex`).

use std::io::{self, BufWriter, Write};

use clap::Args;
use serde::Serialize;
use socket2::SockAddr;

use crate::console::talk::Talk;
use crate::exit::{Exit, Failure, errno_name};
use crate::net::address::{Address, Host, Port, PortRange, Targets};
use crate::net::deadline::Deadline;
use crate::net::dial::resolve;
use crate::net::scan::{Checked, scan};
use crate::roles::client::{self, ClientArgs};
use crate::session::conversation::pipe::output_failed;

/// Connect and talk: a prompt at a terminal, a byte-exact pipe elsewhere
#[derive(Args, Debug, Clone)]
pub struct Connect {
    /// Connect, report, close; PORT may be a list (22,80,8000-8100)
    #[arg(short = 'z', long, help_heading = "Scripts")]
    pub check: bool,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl Connect {
    /// Talks until the connection ends, or checks ports.
    pub fn run(&self, talk: &Talk) -> anyhow::Result<()> {
        if self.check {
            Ok(self.check()?)
        } else {
            Ok(client::run(&self.client, None, talk)?)
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let socket = &self.client.socket;
        let family = socket.family.family();
        let (targets, used) = Address::take_list(&self.client.address)?;
        if let Some(extra) = self.client.address.get(used) {
            return Err(Failure::usage(format!(
                "unexpected word {} after the ports",
                crate::exit::quoted(extra)
            )));
        }
        let deadline = socket.end();
        let mut report = Report::new(socket.talk.json, socket.talk.verbose);
        match targets {
            Targets::Unix(name) => {
                let address = Address::Unix(name);
                address.check_family(family)?;
                report.expect(address.to_string(), None);
                let how = self.client.dial();
                let addresses = resolve(&address, &how, deadline)?;
                scan(&addresses, &how, socket.timeout, deadline, |_, checked| {
                    report.tell(0, &checked);
                })?;
            }
            Targets::Inet { host, ports } => {
                host.check_family(family)?;
                let host = host.resolve_default(family);
                let each = ports
                    .iter()
                    .enumerate()
                    .flat_map(|(entry, ports)| expand(ports, entry));
                let each: Vec<(Port, Option<usize>)> = each.collect();
                for (port, range) in &each {
                    let address = Address::Inet {
                        host: host.clone(),
                        port: port.clone(),
                    };
                    report.expect(address.to_string(), *range);
                }
                let ports: Vec<Port> = each.into_iter().map(|(port, _)| port).collect();
                self.check_ports(&host, &ports, deadline, &mut report)?;
            }
        }
        report.finish()
    }

    /// Checks every port on every address of the host until one is open.
    fn check_ports(
        &self,
        host: &Host,
        ports: &[Port],
        deadline: Deadline,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let how = self.client.dial();
        let timeout = self.client.socket.timeout;
        let until = Deadline::after(timeout).min(deadline);
        let mut open: Vec<usize> = (0..ports.len()).collect();
        // The addresses are looked up once; a service name is looked up with its own port.
        let mut known: Option<Vec<SockAddr>> = None;
        let mut resolved: Vec<Vec<SockAddr>> = Vec::with_capacity(ports.len());
        for (index, port) in ports.iter().enumerate() {
            let address = Address::Inet {
                host: host.clone(),
                port: port.clone(),
            };
            let found = match (&known, port) {
                (Some(known), Port::Number(port)) => {
                    Ok(known.iter().map(|a| with_port(a, *port)).collect())
                }
                _ => resolve(&address, &how, until),
            };
            match found {
                Ok(found) => {
                    known.get_or_insert_with(|| found.clone());
                    resolved.push(found);
                }
                Err(failure) if failure.exit == Exit::Usage => return Err(failure),
                Err(failure) => {
                    let code = failure.code.unwrap_or(libc::EAI_NONAME);
                    report.tell(
                        index,
                        &Checked {
                            code,
                            took: std::time::Duration::ZERO,
                        },
                    );
                    open.retain(|&other| other != index);
                    resolved.push(Vec::new());
                }
            }
        }
        let most = resolved.iter().map(Vec::len).max().unwrap_or(0);
        for nth in 0..most {
            let round: Vec<usize> = open
                .iter()
                .copied()
                .filter(|&index| nth < resolved[index].len())
                .collect();
            let addresses: Vec<SockAddr> = round
                .iter()
                .map(|&index| resolved[index][nth].clone())
                .collect();
            let mut found = Vec::new();
            scan(&addresses, &how, timeout, deadline, |at, checked| {
                let index = round[at];
                let is_last = nth + 1 == resolved[index].len();
                if checked.code == 0 || is_last {
                    report.tell(index, &checked);
                    found.push(index);
                }
            })?;
            found.sort_unstable();
            open.retain(|index| found.binary_search(index).is_err());
        }
        Ok(())
    }
}

/// The ports of one entry of a list; those of a range know which entry they belong to.
fn expand(ports: &PortRange, entry: usize) -> Vec<(Port, Option<usize>)> {
    match ports {
        PortRange::One(port) => vec![(port.clone(), None)],
        PortRange::Range(first, last) => (*first..=*last)
            .map(|port| (Port::Number(port), Some(entry)))
            .collect(),
    }
}

fn with_port(address: &SockAddr, port: u16) -> SockAddr {
    match address.as_socket() {
        Some(mut inet) => {
            inet.set_port(port);
            inet.into()
        }
        None => address.clone(),
    }
}

/// Results on stdout, in the order written, as soon as that order allows.
struct Report {
    json: bool,
    verbose: bool,
    out: BufWriter<io::StdoutLock<'static>>,
    lines: Vec<Line>,
    next: usize,
    failure: Option<io::Error>,
}

struct Line {
    address: String,
    /// The entry of the list this port's range is.
    range: Option<usize>,
    result: Option<(i32, f64)>,
}

/// One result in JSON.
#[derive(Serialize)]
struct Result_<'a> {
    address: &'a str,
    result: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<String>,
    ms: f64,
}

impl Report {
    fn new(json: bool, verbose: bool) -> Self {
        let out = BufWriter::new(io::stdout().lock());
        Self {
            json,
            verbose,
            out,
            lines: Vec::new(),
            next: 0,
            failure: None,
        }
    }

    fn expect(&mut self, address: String, range: Option<usize>) {
        self.lines.push(Line {
            address,
            range,
            result: None,
        });
    }

    fn tell(&mut self, index: usize, checked: &Checked) {
        self.lines[index].result = Some((checked.code, checked.took.as_secs_f64() * 1e3));
        while let Some(line) = self.lines.get(self.next)
            && let Some((code, ms)) = line.result
        {
            self.next += 1;
            if line.range.is_none() || code == 0 || self.verbose {
                let written = self.write(self.next - 1, code, ms);
                self.failure = self.failure.take().or(written.err());
            }
        }
    }

    fn write(&mut self, index: usize, code: i32, ms: f64) -> io::Result<()> {
        let address = &self.lines[index].address;
        if self.json {
            let ms = (ms * 1e3).round() / 1e3;
            let errno = (code != 0).then(|| errno_name(code));
            serde_json::to_writer(
                &mut self.out,
                &Result_ {
                    address,
                    result: code,
                    errno,
                    ms,
                },
            )?;
            writeln!(self.out)?;
        } else if code == 0 {
            writeln!(self.out, "{address} open")?;
        } else {
            writeln!(self.out, "{address} {} ({code})", errno_name(code))?;
        }
        // Whoever watches a slow list sees each result as it comes.
        if self
            .lines
            .get(self.next)
            .is_some_and(|next| next.result.is_none())
        {
            self.out.flush()?;
        }
        Ok(())
    }

    /// The status of the first failure; a range has failed if none of its ports is open.
    fn finish(mut self) -> Result<(), Failure> {
        if let Some(e) = self.failure.take().or_else(|| self.out.flush().err()) {
            return Err(output_failed(&e));
        }
        let codes = |entry: usize| {
            self.lines
                .iter()
                .filter(move |line| line.range == Some(entry))
                .filter_map(|line| line.result)
        };
        for line in &self.lines {
            let failed = match (line.range, line.result) {
                (None, Some((code, _))) if code != 0 => Some(status(code)),
                (Some(entry), _) if codes(entry).all(|(code, _)| code != 0) => Some(Exit::Refused),
                _ => None,
            };
            if let Some(exit) = failed {
                return Err(Failure::silent(exit));
            }
        }
        Ok(())
    }
}

fn status(code: i32) -> Exit {
    if code < 0 {
        Exit::Unresolved
    } else {
        Exit::of(&io::Error::from_raw_os_error(code))
    }
}
