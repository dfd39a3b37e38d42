//! One check of the ports of a host: `connect_ex`, and the handshakes behind it.

use std::time::Duration;

use socket2::SockAddr;

use crate::exit::{Exit, Failure};
use crate::net::address::{Address, Port};
use crate::net::deadline::Deadline;
use crate::net::dial::Dial;
use crate::net::resolve::resolve;
use crate::net::scan::{Checked, scan};
use crate::roles::client::open::Opener;

/// How many handshakes of one ADDRESS are under way at a time.
const PARALLEL: usize = 16;

/// What is checked of one ADDRESS: addresses with one port each, and their places among the results.
pub(super) type AddressPorts = Vec<(usize, Address)>;

/// How one check is made.
pub(super) struct Probe {
    pub(super) opener: Opener,
    /// `--expires-within`.
    pub(super) expires_within: Option<Duration>,
}

impl Probe {
    /// The targets of each thread: those of one ADDRESS; where there are handshakes, which run one after
    /// the other, a part of them.
    pub(super) fn split(&self, addresses: Vec<AddressPorts>) -> Vec<AddressPorts> {
        if !self.opener.has_handshakes() {
            return addresses;
        }
        let parts = |ports: &AddressPorts| {
            let length = ports.len().div_ceil(PARALLEL).max(1);
            ports.chunks(length).map(<[_]>::to_vec).collect::<Vec<_>>()
        };
        addresses.iter().flat_map(parts).collect()
    }

    /// Checks all of these, each on every address of its host until one is open. `record` gets each
    /// result once, with the number that belongs to it.
    pub(super) fn check_each(
        &self,
        targets: &[(usize, Address)],
        deadline: Deadline,
        mut record: impl FnMut(usize, Checked),
    ) -> Result<(), Failure> {
        if self.opener.has_handshakes() {
            for (index, address) in targets {
                let mut checked = self.opener.check(address, deadline)?;
                if let Some(limit) = self.expires_within {
                    fail_if_expiring(&mut checked, limit);
                }
                record(*index, checked);
            }
            return Ok(());
        }
        let (how, timeout) = self.opener.dial();
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
}

/// Makes a certificate that ends within this time a failure; also one whose end cannot be read.
fn fail_if_expiring(checked: &mut Checked, limit: Duration) {
    let Some(tls) = checked.tls.as_mut().filter(|_| checked.exit.is_none()) else {
        return;
    };
    let (code, reason) = match &tls.certificate {
        None => ("CERT_BAD_ENCODING", "its end cannot be read".into()),
        Some(it) if i64::try_from(limit.as_secs()).is_ok_and(|limit| limit <= it.seconds_left) => {
            return;
        }
        Some(it) if it.seconds_left < 0 => {
            ("CERT_EXPIRED", format!("it expired on {}", it.not_after))
        }
        Some(it) => {
            ("CERT_EXPIRES_SOON", format!("it ends on {}, {}", it.not_after, it.time_left()))
        }
    };
    (tls.code, tls.reason) = (Some(code), Some(reason));
    checked.exit = Some(Exit::NotAuthenticated);
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
                record(*index, Checked::new(code, Duration::ZERO));
            }
        }
    }
    Ok(all)
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
