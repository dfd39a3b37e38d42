//! `CONNECT` through an HTTP proxy, the client's side: RFC 9110 section 9.3.6. Pure.
//!
//! The answer is a status line and headers up to an empty line. After a 2xx what follows is the
//! target's; `Content-Length` means nothing there.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Handshake, Login, Place, Refused, Step};
use crate::exit::{Exit, quoted};

/// The longest head of an answer that is read.
const LONGEST: usize = 16 << 10;

struct Answer {
    held: Vec<u8>,
}

/// A handshake, and what it begins with.
pub(super) fn begin(
    login: Option<&Login>,
    place: &Place,
    port: u16,
) -> (Box<dyn Handshake>, Zeroizing<Vec<u8>>) {
    let host = match place {
        Place::Name(name) => name.clone(),
        Place::Ip(IpAddr::V4(ip)) => ip.to_string(),
        Place::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
    };
    let mut request = Zeroizing::new(Vec::with_capacity(2048));
    request.extend(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").bytes());
    if let Some(login) = login {
        let mut pair = Zeroizing::new(Vec::with_capacity(1024));
        pair.extend(login.user.bytes());
        pair.push(b':');
        pair.extend(login.password.iter());
        let basic = Zeroizing::new(STANDARD.encode(&pair));
        request.extend(b"Proxy-Authorization: Basic ");
        request.extend(basic.bytes());
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    (Box::new(Answer { held: Vec::new() }), request)
}

impl Handshake for Answer {
    fn feed(&mut self, seen: &[u8]) -> Result<(usize, Step), Refused> {
        let before = self.held.len();
        self.held.extend_from_slice(seen);
        if !self.held.iter().zip(b"HTTP/1.").all(|(a, b)| a == b) {
            return Err(refused("it does not speak HTTP", Exit::Broken));
        }
        let Some(length) = head(&self.held) else {
            if self.held.len() > LONGEST {
                return Err(refused("its answer has a head of more than 16 KiB", Exit::Broken));
            }
            return Ok((seen.len(), Step::More));
        };
        let line = self.held.split(|byte| *byte == b'\n').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default());
        verdict(line.trim_end())?;
        Ok((length - before, Step::Done))
    }
}

/// The length of a head, if it is whole: up to an empty line, whose CR may be missing.
fn head(bytes: &[u8]) -> Option<usize> {
    let mut begin = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        let line = &bytes[begin..at];
        if begin > 0 && (line.is_empty() || line == b"\r") {
            return Some(at + 1);
        }
        begin = at + 1;
    }
    None
}

/// What a status line (`HTTP/1.1 200 OK`) means.
fn verdict(line: &str) -> Result<(), Refused> {
    let status = line.split(' ').nth(1).unwrap_or_default();
    let exit = match status.as_bytes() {
        [b'2', _, _] => return Ok(()),
        b"401" | b"407" => Exit::NotAuthenticated,
        b"403" | b"405" => Exit::Permission,
        b"504" => Exit::TimedOut,
        // The proxy could not get there; it does not say in a number whether it was refused.
        [b'5', _, _] => Exit::Unreachable,
        _ => Exit::Other,
    };
    let line = line.split_once(' ').map_or(line, |(_, line)| line);
    Err(refused(format!("it answered {}", quoted(line)), exit))
}

fn refused(cause: impl Into<String>, exit: Exit) -> Refused {
    let cause = cause.into();
    Refused { cause, exit }
}
