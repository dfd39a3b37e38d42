//! One check of the ports of a host: `connect_ex`, straight or through a proxy.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::SockAddr;

use crate::exit::{Exit, Failure};
use crate::net::address::{Address, Port};
use crate::net::deadline::Deadline;
use crate::net::dial::Dial;
use crate::net::resolve::resolve;
use crate::net::scan::{Checked, scan};
use crate::roles::client::open::Opener;

/// What is checked of one ADDRESS: addresses with one port each, and their places among the results.
pub(super) type AddressPorts = Vec<(usize, Address)>;

/// Checks all of these, each on every address of its host until one is open. `record` gets each
/// result once, with the number that belongs to it.
/// Over 50 lines: its state is that of one loop.
pub(super) fn check_each(
    opener: &Opener,
    targets: &[(usize, Address)],
    deadline: Deadline,
    mut record: impl FnMut(usize, Checked),
) -> Result<(), Failure> {
    if opener.is_proxied() {
        for (index, address) in targets {
            record(*index, through_proxy(opener, address, deadline)?);
        }
        return Ok(());
    }
    let (how, timeout) = opener.dial();
    let until = Deadline::after(timeout).min(deadline);
    let mut unchecked = resolve_each(targets, &how, until, &mut record)?;
    for nth in 0.. {
        unchecked.retain(|(_, found)| nth < found.len());
        if unchecked.is_empty() {
            break;
        }
        let addresses: Vec<_> = unchecked.iter().map(|(_, found)| found[nth].clone()).collect();
        scan(&addresses, &how, timeout, deadline, |at, checked| {
            let (index, found) = &mut unchecked[at];
            if checked.code == 0 || nth + 1 == found.len() {
                record(*index, checked);
                found.clear();
            }
        })?;
    }
    Ok(())
}

/// The addresses of these targets, which are on one host: it is looked up once, a service name with its
/// own port. A failure is the result of its target.
fn resolve_each(
    targets: &[(usize, Address)],
    how: &Dial,
    until: Deadline,
    record: &mut impl FnMut(usize, Checked),
) -> Result<Vec<(usize, Vec<SockAddr>)>, Failure> {
    let mut known: Option<Vec<SockAddr>> = None;
    let mut all = Vec::with_capacity(targets.len());
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
                all.push((*index, found));
            }
            Err(failure) if failure.exit == Exit::Usage => return Err(failure),
            Err(failure) => {
                let code = failure.code.unwrap_or(libc::EAI_NONAME);
                record(*index, Checked { code, took: Duration::ZERO });
            }
        }
    }
    Ok(all)
}

/// One check by way of a proxy, which has no number for each reason.
fn through_proxy(
    opener: &Opener,
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
