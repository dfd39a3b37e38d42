//! SOCKS5, the client's side: RFC 1928, and RFC 1929 for user and password. Pure.
//!
//! | we send                            | the proxy answers                   | length     |
//! |------------------------------------|-------------------------------------|------------|
//! | `05 N METHODS`                     | `05 METHOD`                         | 2          |
//! | `01 N USER N PASSWORD` (method 2)  | `01 STATUS`                         | 2          |
//! | `05 01 00 TYPE ADDRESS PORT`       | `05 REPLY 00 TYPE ADDRESS PORT`     | 10, 22, 7+N |

use std::net::IpAddr;

use zeroize::Zeroizing;

use super::{Handshake, Login, Place, Refused, Step};
use crate::exit::Exit;

/// Methods: none, and user and password.
const OPEN: u8 = 0;
const LOGIN: u8 = 2;

/// Where the exchange is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Method,
    Status,
    Reply,
}

struct Socks5 {
    login: Option<Zeroizing<Vec<u8>>>,
    request: Vec<u8>,
    awaited: Awaited,
    held: Vec<u8>,
}

/// A handshake, and what it begins with.
pub(super) fn begin(
    login: Option<&Login>,
    place: &Place,
    port: u16,
) -> (Box<dyn Handshake>, Zeroizing<Vec<u8>>) {
    let mut request = vec![5, 1, 0];
    match place {
        Place::Ip(IpAddr::V4(ip)) => {
            request.push(1);
            request.extend(ip.octets());
        }
        Place::Ip(IpAddr::V6(ip)) => {
            request.push(4);
            request.extend(ip.octets());
        }
        Place::Name(name) => {
            request.extend([3, length(name.as_bytes())]);
            request.extend(name.bytes());
        }
    }
    request.extend(port.to_be_bytes());
    let hello = match login {
        Some(_) => vec![5, 2, OPEN, LOGIN],
        None => vec![5, 1, OPEN],
    };
    let login = login.map(|login| {
        let mut bytes = Zeroizing::new(Vec::with_capacity(3 + 2 * 255));
        bytes.extend([1, length(login.user.as_bytes())]);
        bytes.extend(login.user.bytes());
        bytes.push(length(&login.password));
        bytes.extend(login.password.iter());
        bytes
    });
    let handshake = Socks5 { login, request, awaited: Awaited::Method, held: Vec::new() };
    (Box::new(handshake), Zeroizing::new(hello))
}

/// The length of what is checked to be no longer than 255 bytes before it comes here.
fn length(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap_or(u8::MAX)
}

impl Handshake for Socks5 {
    fn feed(&mut self, seen: &[u8]) -> Result<(usize, Step), Refused> {
        let mut used = 0;
        loop {
            let missing = self.length()?.saturating_sub(self.held.len());
            if missing == 0 {
                return self.whole().map(|step| (used, step));
            }
            let piece = &seen[used..seen.len().min(used + missing)];
            if piece.is_empty() {
                return Ok((used, Step::More));
            }
            self.held.extend_from_slice(piece);
            used += piece.len();
        }
    }
}

impl Socks5 {
    /// The length of the message awaited, as far as what is held tells it. A refusal is known
    /// before it is whole.
    fn length(&self) -> Result<usize, Refused> {
        let version = if self.awaited == Awaited::Status { 1 } else { 5 };
        if self.held.first().is_some_and(|first| *first != version) {
            return Err(refused("it does not speak SOCKS5", Exit::Broken));
        }
        if self.awaited != Awaited::Reply {
            return Ok(2);
        }
        if let Some(&reply) = self.held.get(1).filter(|reply| **reply != 0) {
            return Err(meaning(reply));
        }
        match self.held.get(3..5) {
            None => Ok(5),
            Some([1, _]) => Ok(10),
            Some([3, length]) => Ok(7 + usize::from(*length)),
            Some([4, _]) => Ok(22),
            Some(_) => Err(refused("its reply has an address of no known type", Exit::Broken)),
        }
    }

    /// A message is whole: what follows.
    fn whole(&mut self) -> Result<Step, Refused> {
        let said = self.held[1];
        self.held.clear();
        match (self.awaited, said) {
            (Awaited::Method, OPEN) | (Awaited::Status, 0) => {
                self.awaited = Awaited::Reply;
                Ok(Step::Send(Zeroizing::new(self.request.clone())))
            }
            (Awaited::Method, LOGIN) => match self.login.take() {
                Some(login) => {
                    self.awaited = Awaited::Status;
                    Ok(Step::Send(login))
                }
                None => Err(refused(
                    "it wants a user and a password (socks5://USER@…)",
                    Exit::NotAuthenticated,
                )),
            },
            (Awaited::Method, _) if self.login.is_none() => Err(refused(
                "it lets nobody in without a login (socks5://USER@…)",
                Exit::NotAuthenticated,
            )),
            (Awaited::Method, _) => {
                Err(refused("it takes neither a password nor anybody", Exit::NotAuthenticated))
            }
            (Awaited::Status, _) => {
                Err(refused("it does not accept the user and the password", Exit::NotAuthenticated))
            }
            (Awaited::Reply, _) => Ok(Step::Done),
        }
    }
}

/// RFC 1928 section 6. "TTL expired" is what proxies say of a connect that timed out.
fn meaning(reply: u8) -> Refused {
    let (text, exit) = match reply {
        1 => ("general failure of the proxy", Exit::Other),
        2 => ("not allowed by the proxy's rules", Exit::Permission),
        3 => ("network unreachable", Exit::Unreachable),
        4 => ("host unreachable", Exit::Unreachable),
        5 => ("connection refused", Exit::Refused),
        6 => ("TTL expired", Exit::TimedOut),
        7 => ("the proxy knows no CONNECT", Exit::Other),
        8 => ("the proxy knows no such type of address", Exit::Other),
        _ => ("failed", Exit::Other),
    };
    refused(format!("{text} (SOCKS reply {reply})"), exit)
}

fn refused(cause: impl Into<String>, exit: Exit) -> Refused {
    let cause = cause.into();
    Refused { cause, exit }
}
