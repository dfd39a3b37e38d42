//! SOCKS5, the client's side: RFC 1928, and RFC 1929 for user and password.
//!
//! | we send                            | the proxy answers                   | length     |
//! |------------------------------------|-------------------------------------|------------|
//! | `05 N METHODS`                     | `05 METHOD`                         | 2          |
//! | `01 N USER N PASSWORD` (method 2)  | `01 STATUS`                         | 2          |
//! | `05 01 00 TYPE ADDRESS PORT`       | `05 REPLY 00 TYPE ADDRESS PORT`     | 10, 22, 7+N |

use std::net::IpAddr;

use zeroize::Zeroizing;

use super::Login;
use crate::exit::Exit;
use crate::net::address::Host;
use crate::net::handshake::{Handshake, Next, Outcome, Progress, Refusal, Stop};

/// Methods: no authentication, and user and password.
const OPEN: u8 = 0;
const LOGIN: u8 = 2;
/// A reply up to the first byte of its address, which may be a length.
const SHORTEST_REPLY: usize = 5;

/// The message of the peer that is expected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Method,
    Status,
    Reply,
}

/// One handshake.
pub(super) struct Socks5 {
    /// The message with user and password.
    login: Option<Zeroizing<Vec<u8>>>,
    request: Vec<u8>,
    expected: Expected,
}

impl Socks5 {
    /// A request for a connection to `host`.
    pub(super) fn new(login: Option<&Login>, host: &Host, port: u16) -> Self {
        let mut request = vec![5, 1, 0];
        match host {
            Host::Ip(IpAddr::V4(ip)) => {
                request.push(1);
                request.extend(ip.octets());
            }
            Host::Ip(IpAddr::V6(ip)) => {
                request.push(4);
                request.extend(ip.octets());
            }
            name => {
                let name = name.to_string();
                request.extend([3, length(name.as_bytes())]);
                request.extend(name.bytes());
            }
        }
        request.extend(port.to_be_bytes());
        let login = login.map(|login| {
            let mut bytes = Zeroizing::new(Vec::with_capacity(3 + 2 * 255));
            bytes.extend([1, length(login.user.as_bytes())]);
            bytes.extend(login.user.bytes());
            bytes.push(length(&login.password));
            bytes.extend(login.password.iter());
            bytes
        });
        Self { login, request, expected: Expected::Method }
    }
}

/// The length of what the command line limits to 255 bytes.
fn length(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap_or(u8::MAX)
}

/// RFC 1928 section 6. "TTL expired" is the reply of proxies whose connect timed out.
fn meaning(reply: u8) -> Refusal {
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
    Refusal::new(format!("{text} (SOCKS reply {reply})"), exit)
}

/// The length of a reply, as far as it is known. A refusal is known before its message is whole.
fn reply_length(message: &[u8]) -> Result<usize, Refusal> {
    if let Some(&code) = message.get(1).filter(|code| **code != 0) {
        return Err(meaning(code));
    }
    match message.get(3..5) {
        None => Ok(SHORTEST_REPLY),
        Some([1, _]) => Ok(10),
        Some([3, length]) => Ok(7 + usize::from(*length)),
        Some([4, _]) => Ok(22),
        Some(_) => Err(Refusal::new("its reply has an address of no known type", Exit::Broken)),
    }
}

impl Handshake for Socks5 {
    fn start(&mut self) -> (Vec<u8>, usize) {
        let greeting = match self.login {
            Some(_) => vec![5, 2, OPEN, LOGIN],
            None => vec![5, 1, OPEN],
        };
        (greeting, 2)
    }

    fn receive(&mut self, message: &[u8], reply: &mut Vec<u8>) -> Progress {
        let version = if self.expected == Expected::Status { 1 } else { 5 };
        if message[0] != version {
            return Err(Refusal::new("its answer is not SOCKS5", Exit::Broken));
        }
        let length = if self.expected == Expected::Reply { reply_length(message)? } else { 2 };
        if message.len() < length {
            return Ok(Next::Rest(length - message.len()));
        }
        let unproved = |reason: &str| Err(Refusal::new(reason, Exit::NotAuthenticated));
        match (self.expected, message[1], &self.login) {
            (Expected::Method, OPEN, _) | (Expected::Status, 0, _) => {
                reply.extend_from_slice(&self.request);
                self.expected = Expected::Reply;
                Ok(Next::Message(SHORTEST_REPLY))
            }
            (Expected::Method, LOGIN, Some(login)) => {
                // A buffer that grows leaves a copy of what it held.
                reply.reserve_exact(login.len());
                reply.extend_from_slice(login);
                self.expected = Expected::Status;
                Ok(Next::Message(2))
            }
            (Expected::Method, _, None) => {
                unproved("it requires a user and a password (socks5://USER@…)")
            }
            (Expected::Method, ..) => {
                unproved("it accepts no method of authentication that we have")
            }
            (Expected::Status, ..) => unproved("it does not accept the user and the password"),
            (Expected::Reply, ..) => Ok(Next::Payload(Outcome::default())),
        }
    }

    fn stopped(&self, stop: Stop, message: &[u8]) -> Refusal {
        stop.refusal("the proxy", "answer", message.len(), "")
    }
}
