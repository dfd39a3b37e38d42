//! `connect`: talk to a server, or see whether its ports are open (`connect_ex`).

mod report;

use std::time::{Duration, Instant};

use clap::Args;
use nix::errno::Errno;
use socket2::SockAddr;

use crate::console::event::Level;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure, errno_name, quoted};
use crate::net::address::{Address, Port, Target};
use crate::net::deadline::Deadline;
use crate::net::resolve::resolve;
use crate::net::retry::Retry;
use crate::net::scan::{Checked, scan};
use crate::roles::client::open::Opener;
use crate::roles::client::{self, ClientArgs};
use report::{Report, may_pass};

/// Connect and talk: a prompt at a terminal, a byte-exact pipe elsewhere
#[derive(Args, Debug, Clone)]
pub struct Connect {
    /// Check whether ports are open; PORT may be a list (22,80,8000-8100)
    #[arg(short = 'z', long, conflicts_with_all = ["send", "expect", "expect_eof"], help_heading = "Scripts")]
    pub check: bool,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl Connect {
    /// Talks until the connection ends, or checks ports.
    pub fn run(&self, talk: &Talk) -> Result<(), Failure> {
        if self.check { self.check(talk) } else { client::run(&self.client, None, talk) }
    }

    fn check(&self, talk: &Talk) -> Result<(), Failure> {
        if !self.client.program.is_empty() {
            return Err(Failure::usage("to run a command afterwards write && and the command"));
        }
        let socket = &self.client.socket;
        let family = socket.family.family();
        let (targets, used) = Address::take_list(&self.client.address)?;
        if let Some(extra) = self.client.address.get(used) {
            let extra = quoted(extra);
            return Err(Failure::usage(format!("unexpected word {extra} after the ports")));
        }
        let deadline = socket.end();
        let mut report = Report::new(socket.talk.json, socket.talk.verbose);
        let mut pending: Vec<(usize, Address)> = Vec::with_capacity(targets.len());
        for (index, Target { address, range }) in targets.into_iter().enumerate() {
            address.check_family(family)?;
            let address = address.resolve_default(family);
            report.expect(address.to_string(), range);
            pending.push((index, address));
        }
        let mut retry = self.client.wait.map(|wait| Retry::new(wait, deadline));
        let mut run_out = false;
        loop {
            let mut failed: Vec<(usize, Checked)> = Vec::new();
            let until = retry.as_mut().map_or(deadline, Retry::attempt);
            self.check_each(&pending, until, |index, checked| {
                if checked.code == 0 || retry.is_none() {
                    report.tell(index, &checked);
                } else {
                    failed.push((index, checked));
                }
            })?;
            let again = retry.as_mut().is_some_and(|retry| {
                let may_pass = failed.iter().all(|(_, checked)| may_pass(checked.code));
                may_pass && !report.is_met_without(&failed) && {
                    if let Some(notice) = waiting(retry, &pending, &failed) {
                        talk.notice(Level::Verbose, &notice);
                    }
                    pause(retry);
                    run_out = retry.is_over();
                    !run_out
                }
            });
            if !again {
                for (index, checked) in &failed {
                    report.tell(*index, checked);
                }
                break;
            }
            pending.retain(|(index, _)| failed.iter().any(|(other, _)| other == index));
        }
        report.finish().map_err(|failure| match failure.exit {
            Exit::ReaderGone | Exit::Output => failure,
            _ if run_out => failure.exit(Exit::TimedOut),
            _ => failure,
        })
    }

    /// Checks all of these, each on every address of its host until one is open. `tell` gets each
    /// result once, with the number that belongs to it.
    fn check_each(
        &self,
        targets: &[(usize, Address)],
        deadline: Deadline,
        mut tell: impl FnMut(usize, Checked),
    ) -> Result<(), Failure> {
        let opener = Opener::new(&self.client)?;
        if opener.is_proxied() {
            for (index, address) in targets {
                tell(*index, through_proxy(&opener, address, deadline)?);
            }
            return Ok(());
        }
        let how = self.client.dial();
        let timeout = self.client.socket.timeout;
        let until = Deadline::after(timeout).min(deadline);
        // Of one host: its addresses are looked up once, a service name with its own port.
        let mut known: Option<Vec<SockAddr>> = None;
        let mut open: Vec<(usize, Vec<SockAddr>)> = Vec::with_capacity(targets.len());
        for (index, address) in targets {
            let found = match (&known, address) {
                (Some(known), Address::Inet { port: Port::Number(port), .. }) => {
                    Ok(known.iter().map(|a| with_port(a, *port)).collect())
                }
                _ => resolve(address, how.query, until),
            };
            match found {
                Ok(found) => {
                    known.get_or_insert_with(|| found.clone());
                    open.push((*index, found));
                }
                Err(failure) if failure.exit == Exit::Usage => return Err(failure),
                Err(failure) => {
                    let code = failure.code.unwrap_or(libc::EAI_NONAME);
                    let took = Duration::ZERO;
                    tell(*index, Checked { code, took });
                }
            }
        }
        let most = open.iter().map(|(_, found)| found.len()).max().unwrap_or(0);
        for nth in 0..most {
            open.retain(|(_, found)| nth < found.len());
            let addresses: Vec<SockAddr> =
                open.iter().map(|(_, found)| found[nth].clone()).collect();
            let mut is_reported = vec![false; open.len()];
            scan(&addresses, &how, timeout, deadline, |at, checked| {
                let (index, found) = &open[at];
                if checked.code == 0 || nth + 1 == found.len() {
                    tell(*index, checked);
                    is_reported[at] = true;
                }
            })?;
            let mut is_reported = is_reported.into_iter();
            open.retain(|_| !is_reported.next().unwrap_or(false));
        }
        Ok(())
    }
}

/// What `--wait` waits for: the first that failed, and how many others.
fn waiting(
    retry: &Retry,
    pending: &[(usize, Address)],
    failed: &[(usize, Checked)],
) -> Option<String> {
    let (first, checked) = failed.first()?;
    let (_, address) = pending.iter().find(|(index, _)| index == first)?;
    let notice = retry.notice(address, &errno_name(checked.code))?;
    Some(match failed.len() - 1 {
        0 => notice,
        others => format!("{notice}, and for {others} more"),
    })
}

/// Waits for the next attempt. Signals are fatal meanwhile.
fn pause(retry: &mut Retry) {
    let now = Instant::now();
    std::thread::sleep(retry.pause(now).saturating_duration_since(now));
}

/// One check by way of a proxy, which has no number for each reason.
fn through_proxy(
    opener: &Opener<'_>,
    address: &Address,
    deadline: Deadline,
) -> Result<Checked, Failure> {
    let began = Instant::now();
    let code = match opener.check(address.clone(), deadline) {
        Ok(()) => 0,
        Err(failure) if failure.exit == Exit::Usage => return Err(failure),
        Err(failure) => failure.code.unwrap_or(Errno::EPROTO as i32),
    };
    let took = began.elapsed();
    Ok(Checked { code, took })
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
