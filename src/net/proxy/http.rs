//! `CONNECT` through an HTTP proxy, the client's side: RFC 9110 section 9.3.6.
//!
//! The answer is a status line and headers up to an empty line. After a 2xx what follows is the
//! target's; `Content-Length` means nothing there. A 407 is answered by the same request with an
//! authorization: on the same connection if the proxy keeps it open, else on another one.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http_auth::{PasswordClient, PasswordParams};
use zeroize::Zeroizing;

use super::Login;
use crate::exit::{Exit, quoted};
use crate::net::address::Host;
use crate::net::handshake::{Handshake, Next, Outcome, Progress, Refusal, Stop};

/// The longest head of an answer that is read.
const LONGEST: usize = 16 << 10;
/// The shortest head that is accepted: `HTTP/1. 200`, and two newlines.
const SHORTEST: usize = 13;
/// The longest body of a 407 that is read. A longer one ends the connection.
const LONGEST_BODY: usize = 64 << 10;

/// The answer to the challenge of a 407, while the proxy has not reacted to it. It outlives a
/// connection that the proxy closes.
pub type Authorization = Rc<RefCell<Option<Zeroizing<String>>>>;

/// One handshake.
pub(super) struct Http {
    /// `HOST:PORT`, as it is asked for.
    target: String,
    login: Option<Arc<Login>>,
    authorization: Authorization,
    /// Whether the request under way is authorized.
    is_authorized: bool,
    /// The length of a 407 that is read to its end.
    rejection: Option<usize>,
}

impl Http {
    /// A request for a connection to `host`, authorized if an earlier one was asked for it.
    pub(super) fn new(
        login: Option<Arc<Login>>,
        host: &Host,
        port: u16,
        authorization: Authorization,
    ) -> Self {
        let target = format!("{host}:{port}");
        Self { target, login, authorization, is_authorized: false, rejection: None }
    }

    /// Appends the request.
    fn request(&mut self, authorization: Option<&str>, out: &mut Vec<u8>) {
        let target = &self.target;
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        // A buffer that grows leaves a copy of what it held.
        out.reserve_exact(head.len() + authorization.map_or(0, str::len) + 64);
        out.extend(head.bytes());
        if let Some(authorization) = authorization {
            out.extend(b"Proxy-Authorization: ");
            out.extend(authorization.bytes());
            out.extend(b"\r\n");
        }
        out.extend(b"\r\n");
        self.is_authorized = authorization.is_some();
    }

    /// The meaning of a status line (`HTTP/1.1 200 OK`): a connection, or the login that is asked for.
    fn judge(&self, line: &str) -> Result<Option<Arc<Login>>, Refusal> {
        let status = line.split(' ').nth(1).unwrap_or_default();
        let line = quoted(line.split_once(' ').map_or(line, |(_, line)| line));
        let refuse = |exit| Err(Refusal::new(format!("it answered {line}"), exit));
        match (status.as_bytes(), &self.login) {
            ([b'2', _, _], _) => Ok(None),
            (b"407", Some(login)) if !self.is_authorized => Ok(Some(Arc::clone(login))),
            (b"407", None) => {
                let reason = "it requires a user and a password (http://USER@…)";
                Err(Refusal::new(reason, Exit::NotAuthenticated))
            }
            (b"407", Some(_)) => {
                let reason = "it does not accept the user and the password";
                Err(Refusal::new(reason, Exit::NotAuthenticated))
            }
            (b"401", _) => refuse(Exit::NotAuthenticated),
            (b"403" | b"405", _) => refuse(Exit::Permission),
            (b"504", _) => refuse(Exit::TimedOut),
            // The proxy could not get there; no number says whether it was refused.
            ([b'5', _, _], _) => refuse(Exit::Unreachable),
            _ => refuse(Exit::Other),
        }
    }

    /// Answers the challenge of a 407. The length of its body, if another request can follow it.
    fn challenged(&mut self, login: &Login, head: &[u8]) -> Result<Option<usize>, Refusal> {
        let head = String::from_utf8_lossy(head);
        let mut offers = PasswordClient::builder();
        let (mut keeps, mut closes) = (head.starts_with("HTTP/1.1"), false);
        let mut body = None;
        for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "proxy-authenticate" => offers = offers.challenges(value),
                "connection" | "proxy-connection" => {
                    let value = value.to_ascii_lowercase();
                    closes |= value.contains("close");
                    keeps |= value.contains("keep-alive");
                }
                "content-length" => body = value.parse().ok(),
                "transfer-encoding" => closes = true,
                _ => {}
            }
        }
        let answer = offers.build().and_then(|mut challenge| {
            challenge.respond(&PasswordParams {
                username: &login.user,
                password: std::str::from_utf8(&login.password).unwrap_or_default(),
                uri: &self.target,
                method: "CONNECT",
                body: None,
            })
        });
        let answer = answer.map_err(|why| {
            let reason = format!("it offers no authentication that we have: {}", quoted(why));
            Refusal::new(reason, Exit::NotAuthenticated)
        })?;
        self.authorization.replace(Some(Zeroizing::new(answer)));
        Ok(body.filter(|length| keeps && !closes && *length <= LONGEST_BODY))
    }

    /// Goes on behind a 407, once all `length` bytes of it have come.
    fn again(&mut self, length: usize, got: usize, reply: &mut Vec<u8>) -> Next {
        if got < length {
            self.rejection = Some(length);
            return Next::Rest(length - got);
        }
        self.rejection = None;
        let authorization = self.authorization.borrow().clone();
        self.request(authorization.as_deref().map(String::as_str), reply);
        Next::Message(SHORTEST)
    }
}

impl Handshake for Http {
    fn start(&mut self) -> (Vec<u8>, usize) {
        let mut request = Vec::new();
        let authorization = self.authorization.take();
        self.request(authorization.as_deref().map(String::as_str), &mut request);
        (request, SHORTEST)
    }

    fn receive(&mut self, head: &[u8], reply: &mut Vec<u8>) -> Progress {
        if let Some(length) = self.rejection {
            return Ok(self.again(length, head.len(), reply));
        }
        if self.is_authorized {
            self.authorization.take();
        }
        if !head.iter().zip(b"HTTP/1.").all(|(a, b)| a == b) {
            return Err(Refusal::new("its answer is not HTTP", Exit::Broken));
        }
        let mut asked = None;
        if let Some(end) = head.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&head[..end]);
            asked = self.judge(line.trim_end())?;
        }
        if head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n") {
            let Some(login) = asked else {
                return Ok(Next::Payload(Outcome::default()));
            };
            return match self.challenged(&login, head)? {
                Some(body) => Ok(self.again(head.len() + body, head.len(), reply)),
                None => Err(Refusal::new("it closes after a 407", Exit::NotAuthenticated)),
            };
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
