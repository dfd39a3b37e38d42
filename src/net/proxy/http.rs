//! `CONNECT` through an HTTP proxy, the client's side: RFC 9110 section 9.3.6.
//!
//! The answer is a status line and headers up to an empty line. After a 2xx what follows is the
//! target's; `Content-Length` means nothing there.

use std::mem::take;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Login;
use crate::exit::{Exit, quoted};
use crate::net::address::Host;
use crate::net::handshake::{Handshake, Next, Outcome, Progress, Refusal, Stop};

/// The longest head of an answer that is read.
const LONGEST: usize = 16 << 10;
/// The shortest head that is accepted: `HTTP/1. 200`, and two newlines.
const SHORTEST: usize = 13;

/// One handshake.
pub(super) struct Http {
    request: Zeroizing<Vec<u8>>,
}

impl Http {
    /// A request for a connection to `host`.
    pub(super) fn new(login: Option<&Login>, host: &Host, port: u16) -> Self {
        let mut request = Zeroizing::new(Vec::with_capacity(2048));
        let head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        request.extend(head.bytes());
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
        Self { request }
    }
}

/// The meaning of a status line (`HTTP/1.1 200 OK`).
fn judge(line: &str) -> Result<(), Refusal> {
    let status = line.split(' ').nth(1).unwrap_or_default();
    let exit = match status.as_bytes() {
        [b'2', _, _] => return Ok(()),
        b"401" | b"407" => Exit::NotAuthenticated,
        b"403" | b"405" => Exit::Permission,
        b"504" => Exit::TimedOut,
        // The proxy could not get there; no number says whether it was refused.
        [b'5', _, _] => Exit::Unreachable,
        _ => Exit::Other,
    };
    let line = line.split_once(' ').map_or(line, |(_, line)| line);
    Err(Refusal::new(format!("it answered {}", quoted(line)), exit))
}

impl Handshake for Http {
    fn start(&mut self) -> (Vec<u8>, usize) {
        (take(&mut *self.request), SHORTEST)
    }

    fn receive(&mut self, head: &[u8], _reply: &mut Vec<u8>) -> Progress {
        if !head.iter().zip(b"HTTP/1.").all(|(a, b)| a == b) {
            return Err(Refusal::new("its answer is not HTTP", Exit::Broken));
        }
        if let Some(end) = head.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&head[..end]);
            judge(line.trim_end())?;
        }
        if head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n") {
            return Ok(Next::Payload(Outcome::default()));
        }
        // The least that is missing of an empty line.
        Ok(Next::Rest(match head.len() {
            got @ 0..SHORTEST => SHORTEST - got,
            got if got > LONGEST => {
                let reason = "its answer has a head of more than 16 KiB";
                return Err(Refusal::new(reason, Exit::Broken));
            }
            _ if head.ends_with(b"\n") || head.ends_with(b"\n\r") => 1,
            _ => 2,
        }))
    }

    fn stopped(&self, stop: Stop, head: &[u8]) -> Refusal {
        stop.refusal("the proxy", "answer", head.len(), "")
    }
}
