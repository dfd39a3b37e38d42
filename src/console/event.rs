//! Events: one type behind the lines for people and the JSON objects.
//!
//! Over 300 lines: each event has its two forms side by side.

use std::fmt::{self, Display};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::decoration::Tone;
use crate::exit::{Failure, quoted};
use crate::net::endpoint::Endpoint;
use crate::net::signal;
use crate::net::tcpinfo::TcpInfo;
use crate::net::tlsinfo::TlsInfo;
use crate::net::trace::Call;

/// Something that happened. Human text is `Display`; JSON is `Serialize`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[allow(missing_docs, reason = "the fields are those of the JSON objects, listed in the man page")]
pub enum Event<'a> {
    /// listen(2) succeeded.
    Listening {
        local: &'a Endpoint,
        /// Of the certificate, with TLS.
        #[serde(skip_serializing_if = "Option::is_none")]
        tls_pin: Option<&'a str>,
    },
    /// A connection was admitted.
    Accepted {
        id: u64,
        peer: &'a Endpoint,
        local: &'a Endpoint,
        /// It joined a conversation: shown without `-v`.
        #[serde(skip)]
        joined: bool,
    },
    /// We connected.
    Connected {
        id: u64,
        peer: &'a Endpoint,
        local: &'a Endpoint,
        /// There is a prompt.
        #[serde(skip)]
        greet: bool,
        /// In place of one that was lost.
        #[serde(skip)]
        again: bool,
    },
    /// A peer proved that it holds a key, or failed to.
    Auth {
        id: u64,
        peer: &'a Endpoint,
        ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a str>,
    },
    /// A TLS handshake is over.
    Tls {
        id: u64,
        peer: &'a Endpoint,
        #[serde(flatten)]
        info: &'a TlsInfo,
    },
    /// A client was joined to a target.
    Relay {
        id: u64,
        target: &'a str,
        /// Our end of the connection to it.
        local: &'a Endpoint,
        attempts: u32,
    },
    /// A line of a conversation, or a datagram.
    Message {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<usize>,
        #[serde(flatten)]
        payload: Payload<'a>,
    },
    /// A connection is over.
    Closed {
        /// A datagram that is refused has none.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        peer: &'a Endpoint,
        #[serde(skip_serializing_if = "Option::is_none")]
        received: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sent: Option<u64>,
        seconds: f64,
        reason: Reason,
        /// The rule that refused it.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<&'a str>,
        /// It left a conversation: shown without `-v`.
        #[serde(skip)]
        left: bool,
    },
    /// A program was started for a client; with a status, it ended.
    Exec {
        id: u64,
        pid: i32,
        #[serde(flatten)]
        status: Option<Status>,
    },
    /// An expectation was met or not.
    Expect {
        pattern: &'a str,
        ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        matched: Option<&'a str>,
        /// What matched, where it is not UTF-8.
        #[serde(skip_serializing_if = "Option::is_none")]
        base64: Option<String>,
    },
    /// The result of `connect --check` for one address.
    Check {
        address: &'a str,
        /// `open`, `closed` or `unknown`.
        state: &'static str,
        /// 0, or the errno value.
        result: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        errno: Option<String>,
        ms: f64,
        /// What came of TLS.
        #[serde(flatten)]
        tls: Option<&'a TlsInfo>,
        /// It is as it should be: not shown with `-q`.
        #[serde(skip)]
        met: bool,
    },
    /// How a TCP connection fared, with `--tcp-info`.
    #[serde(rename = "tcp_info")]
    TcpInfo {
        id: u64,
        peer: &'a Endpoint,
        #[serde(flatten)]
        info: &'a TcpInfo,
    },
    /// A socket call, with `--trace`.
    Call(&'a Call<'a>),
    /// A failure, fatal or survived.
    Error {
        op: &'a str,
        target: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        errno: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// Why, where it is no error of the system.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
        exit: u8,
        /// The failure as one line of text.
        #[serde(skip)]
        shown: &'a dyn Display,
    },
}

/// Bytes from a peer in an event: text where they are UTF-8.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload<'a> {
    /// They are UTF-8.
    Text(&'a str),
    /// They are not.
    Base64(String),
}

impl<'a> Payload<'a> {
    /// The form these bytes take.
    pub fn of(bytes: &'a [u8]) -> Self {
        use base64::Engine;
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Base64(base64::engine::general_purpose::STANDARD.encode(bytes)),
        }
    }
}

/// How a program ended. In JSON a signal's status is 128 + its number, as shells have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this status.
    Exited(i32),
    /// The signal of this number ended it.
    Killed(i32),
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        match self {
            Self::Exited(code) => map.serialize_entry("status", code)?,
            Self::Killed(number) => {
                map.serialize_entry("status", &(128 + number))?;
                map.serialize_entry("signal", &signal::name(*number))?;
            }
        }
        map.end()
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Killed(number) => write!(f, "killed by {}", signal::name(*number)),
        }
    }
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Both sides ended in good order.
    Eof,
    /// Our side had more to send, which is given up: the peer has ended its side, or the run is stopping.
    #[serde(rename = "eof")]
    Incomplete,
    /// Reset by the peer.
    Reset,
    /// Idle timeout.
    Idle,
    /// `--max-bytes` is reached.
    Limit,
    /// Refused: `--allow` and `--deny` do not admit its address.
    Access,
    /// Refused: its address has as many connections as `--per-ip` allows.
    #[serde(rename = "limit")]
    PerAddress,
    /// Refused: there are as many connections as `--max-conns` allows.
    #[serde(rename = "limit")]
    Full,
    /// Refused: `--once` serves another one.
    #[serde(rename = "limit")]
    Once,
    /// It took nothing while others waited for it.
    Slow,
    /// The operator kicked it.
    Kicked,
    /// The server is stopping.
    Shutdown,
    /// It did not prove that it holds a key.
    Auth,
    /// Another failure.
    Error,
}

impl Display for Reason {
    /// For people, where a refusal has no text of its own: the variant's name in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.is_end() { Self::Eof } else { *self };
        f.write_str(&format!("{shown:?}").to_lowercase())
    }
}

impl Reason {
    /// Whether it is the end of a connection that did what it was for. A failure that follows is
    /// reported instead.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Eof | Self::Incomplete)
    }

    /// Why a connection was refused before it was admitted.
    pub fn refusal(self) -> Option<&'static str> {
        Some(match self {
            Self::Access => "address not allowed (--allow, --deny)",
            Self::PerAddress => "too many connections from its address (--per-ip)",
            Self::Full => "too many connections (--max-conns)",
            Self::Once => "another connection is being served (--once)",
            _ => return None,
        })
    }
}

/// How much is written: each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors (`-q`), and the output of `--trace` and `--tcp-info`.
    Quiet,
    /// Connections, and clients that join or leave.
    Normal,
    /// Connection detail (`-v`).
    Verbose,
    /// Never as text: only in JSON.
    Never,
}

impl<'a> Event<'a> {
    /// The event of a failure.
    pub fn failure(failure: &'a Failure) -> Self {
        Self::Error {
            op: failure.op.split(' ').next().unwrap_or_default(),
            target: &failure.target,
            errno: failure.errno(),
            code: failure.code,
            reason: Some(&*failure.cause)
                .filter(|cause| failure.code.is_none() && !cause.is_empty()),
            exit: failure.exit as u8,
            shown: failure,
        }
    }

    /// The event of a line that a client sent.
    pub fn line_from(id: Option<u64>, name: Option<&'a str>, line: &'a [u8]) -> Self {
        let payload = Payload::of(line);
        Self::Message { id, name, peer: None, bytes: None, payload }
    }

    /// The event of an expectation: met by these bytes, or not.
    pub fn expected(pattern: &'a str, matched: Option<&'a [u8]>) -> Self {
        let (text, base64) = match matched.map(Payload::of) {
            None => (None, None),
            Some(Payload::Text(text)) => (Some(text), None),
            Some(Payload::Base64(text)) => (None, Some(text)),
        };
        Self::Expect { pattern, ok: matched.is_some(), matched: text, base64 }
    }

    /// What it is to a person.
    pub fn tone(&self) -> Tone {
        match self {
            Self::Error { .. } => Tone::Error,
            // What was asked for, and what one looks for first.
            Self::Listening { .. } | Self::Check { .. } | Self::TcpInfo { .. } => Tone::Plain,
            _ => Tone::Notice,
        }
    }

    /// The level from which on it is written as text.
    pub fn level(&self) -> Level {
        match self {
            Self::Error { .. }
            | Self::Call(_)
            | Self::TcpInfo { .. }
            | Self::Check { met: false, .. } => Level::Quiet,
            Self::Listening { .. }
            | Self::Accepted { joined: true, .. }
            | Self::Connected { greet: true, .. }
            | Self::Closed { left: true, .. }
            | Self::Auth { ok: false, .. }
            | Self::Check { .. } => Level::Normal,
            // Its error line says all of it.
            Self::Tls { info, .. } if info.code.is_some() && info.certificate.is_none() => {
                Level::Never
            }
            Self::Accepted { .. }
            | Self::Connected { .. }
            | Self::Closed { .. }
            | Self::Exec { .. }
            | Self::Auth { .. }
            | Self::Tls { .. }
            | Self::Relay { .. }
            | Self::Expect { ok: true, .. } => Level::Verbose,
            Self::Message { .. } | Self::Expect { .. } => Level::Never,
        }
    }

    /// The human line, without its newline; `detail` is what `-v` adds.
    /// Over 50 lines: an event an arm.
    pub fn line(&self, detail: bool) -> String {
        match self {
            Self::Listening { local, tls_pin: None } => format!("listening on {local}"),
            Self::Listening { local, tls_pin: Some(pin) } => {
                format!("listening on {local} (--tls-pin {pin})")
            }
            Self::Accepted { id, peer, local, joined } => {
                let verb = if *joined { "joined" } else { "accepted" };
                let on = if detail { format!(" on {local}") } else { String::new() };
                format!("[{id}] {peer} {verb}{on}")
            }
            Self::Connected { id, peer, local, again, .. } => {
                let verb = if *again { "reconnected" } else { "connected" };
                if detail {
                    format!("[{id}] {verb} to {peer} from {local}")
                } else {
                    format!("{verb} to {peer}")
                }
            }
            Self::Auth { id, peer, ok: true, key, .. } => {
                let key = key.map_or_else(String::new, |name| format!(" with key {name}"));
                format!("[{id}] {peer} authenticated{key}")
            }
            Self::Auth { id, peer, reason, .. } => {
                format!("[{id}] {peer} refused: {}", reason.unwrap_or("authentication failed"))
            }
            Self::Relay { id, target, local, .. } => {
                format!("[{id}] relayed to {target} from {local}")
            }
            Self::Tls { id, peer, info } => {
                let cipher = info.cipher.as_deref().unwrap_or("no cipher");
                format!("[{id}] {peer} {info} ({cipher})")
            }
            Self::Closed { id, peer, rule: Some(rule), .. } => {
                let who = peer.ip().map_or_else(|| peer.to_string(), |ip| ip.to_string());
                format!("{}{peer} refused: {who} is not allowed ({rule})", number(*id))
            }
            Self::Closed { id, peer, received, sent, seconds, reason, left, .. } => {
                let id = number(*id);
                if let Some(why) = reason.refusal() {
                    return format!("{id}{peer} refused: {why}");
                }
                let verb = if *left { "left" } else { "closed" };
                let why = match reason {
                    Reason::Eof if !detail => String::new(),
                    _ if !detail => format!(" ({reason})"),
                    _ => {
                        let moved = match (received, sent) {
                            (Some(received), Some(sent)) => {
                                format!("received {received}, sent {sent} bytes in ")
                            }
                            _ => String::new(),
                        };
                        format!(" ({reason}; {moved}{seconds:.3} s)")
                    }
                };
                format!("{id}{peer} {verb}{why}")
            }
            Self::Check { address, errno, result, tls, .. } => {
                let state = if *result == 0 || tls.is_some() { " open" } else { "" };
                let failure = match (errno, tls) {
                    (Some(errno), _) => format!(" {errno} ({result})"),
                    (None, Some(tls)) => tls.failure(),
                    (None, None) => String::new(),
                };
                let session = tls.map_or_else(String::new, |tls| tls.session(detail));
                format!("{address}{state}{failure}{session}")
            }
            Self::TcpInfo { info, .. } => format!("tcp: {info}"),
            Self::Exec { id, pid, status } => match status {
                None => format!("[{id}] started process {pid}"),
                Some(status) => format!("[{id}] process {pid} ended: {status}"),
            },
            Self::Call(call) => call.to_string(),
            Self::Error { shown, .. } => format!("sockctl: {shown}"),
            Self::Expect { pattern, matched: Some(matched), .. } if !matched.is_empty() => {
                format!("expected {}: {}", quoted(pattern), quoted(matched))
            }
            Self::Expect { pattern, .. } => format!("expected {}: matched", quoted(pattern)),
            Self::Message { .. } => String::new(),
        }
    }
}

/// The number of a connection before its line.
fn number(id: Option<u64>) -> String {
    id.map_or_else(String::new, |id| format!("[{id}] "))
}
