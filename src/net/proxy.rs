//! `--proxy`: a connection through a SOCKS5 or HTTP proxy, which looks the name up itself.
//!
//! The handshakes are pure (`socks5.rs`, `http.rs`): they are shown what has come, and say how much
//! of it is theirs. What is behind the last byte of a handshake is never read here.

mod http;
mod socks5;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::PollFlags;
use zeroize::Zeroizing;

use super::address::Address;
use super::deadline::{Deadline, wait};
use super::dial::timed_out;
use super::socket::{Socket, would_block};
use crate::exit::{Exit, Failure};

/// The most that is looked at together.
const GLANCE: usize = 4096;

/// The languages of proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RFC 1928, with the user and password of RFC 1929.
    Socks5,
    /// `CONNECT`, RFC 9110 section 9.3.6, with basic authentication, RFC 7617.
    Http,
}

/// A proxy as it was written, without its password.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// What it speaks.
    pub kind: Kind,
    /// Who we are to it.
    pub user: Option<String>,
    /// Where it listens.
    pub address: Address,
}

/// User and password.
pub struct Login {
    /// The user, at most 255 bytes, without `:`.
    pub user: String,
    /// The password.
    pub password: Zeroizing<Vec<u8>>,
}

/// Where the proxy is to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name, which the proxy looks up.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

/// What a handshake asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More from the proxy.
    More,
    /// To send this.
    Send(Zeroizing<Vec<u8>>),
    /// Nothing: what comes now comes from the target.
    Done,
}

/// Why a proxy did not do it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// In words, the proxy's own number or line in brackets.
    pub cause: String,
    /// What that means for the run.
    pub exit: Exit,
}

impl Proxy {
    /// Reads `socks5://[USER@]HOST:PORT` or `http://[USER@]HOST:PORT`. The message of a refusal
    /// does not repeat what stands before the `@`: people write passwords there.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let forms = "expected socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT";
        let refuse = |cause: &str| Err(Failure::usage(format!("--proxy: {cause}")));
        let Some((scheme, rest)) = text.split_once("://") else {
            return refuse(forms);
        };
        let kind = match scheme {
            "socks5" | "socks5h" => Kind::Socks5,
            "http" => Kind::Http,
            _ => return refuse(forms),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return refuse(
                "a password is not for the command line, where everybody can read it; \
                 use SOCKCTL_PROXY_PASSWORD or --proxy-password-file FILE",
            );
        }
        if user.is_some_and(|user| user.is_empty() || user.len() > 255) {
            return refuse("a user has 1 to 255 bytes");
        }
        let word = [OsString::from(host)];
        let (address, words) = match Address::take(&word) {
            Err(failure) => return refuse(&failure.to_string()),
            Ok(_) if host.is_empty() => return refuse(forms),
            Ok(taken) => taken,
        };
        if words != 1 {
            return refuse(forms);
        }
        address.check_dial()?;
        Ok(Self { kind, user: user.map(Into::into), address })
    }

    /// Asks the proxy at the other end of `socket` for a connection to `place`; from then on the
    /// socket is one to there. `name` is what failures call the target.
    pub fn tunnel(
        &self,
        socket: &Socket,
        login: Option<&Login>,
        (place, port): (&Place, u16),
        name: &Address,
        until: Deadline,
    ) -> Result<(), Failure> {
        let target = format!("{name} through {self}");
        let (mut handshake, first) = match self.kind {
            Kind::Socks5 => socks5::begin(login, place, port),
            Kind::Http => http::begin(login, place, port),
        };
        let broken = |e| match Failure::system("connect to", &target, &e) {
            failure if failure.exit == Exit::TimedOut => failure.hint("the proxy is silent"),
            failure => failure,
        };
        socket.send_all(&first, until).map_err(broken)?;
        let mut seen = [0; GLANCE];
        loop {
            let count = match socket.peek(&mut seen) {
                Ok(0) => {
                    let cause = "the proxy ended the connection";
                    return Err(Failure::new("connect to", target, cause, Exit::Broken));
                }
                Ok(count) => count,
                Err(e) if would_block(&e) => {
                    if until.passed() {
                        return Err(timed_out("connect to", target).hint("the proxy is silent"));
                    }
                    wait([(socket.as_fd(), PollFlags::POLLIN)], until).map_err(broken)?;
                    continue;
                }
                Err(e) => return Err(broken(e)),
            };
            let (used, step) =
                handshake.feed(&seen[..count]).map_err(|refused| refused.tell(&target))?;
            // What was seen is there to be read.
            socket.recv(&mut seen[..used]).map_err(broken)?;
            match step {
                Step::More => {}
                Step::Send(bytes) => socket.send_all(&bytes, until).map_err(broken)?,
                Step::Done => return Ok(()),
            }
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Socks5 => "socks5",
            Kind::Http => "http",
        };
        write!(f, "the {kind} proxy {}", self.address)
    }
}

impl Refused {
    fn tell(self, target: &str) -> Failure {
        let mut failure = Failure::new("connect to", target, self.cause, self.exit);
        // The errno that a connection of our own would have failed with.
        failure.code = match self.exit {
            Exit::Refused => Some(Errno::ECONNREFUSED as i32),
            Exit::Unreachable => Some(Errno::EHOSTUNREACH as i32),
            Exit::TimedOut => Some(Errno::ETIMEDOUT as i32),
            Exit::Permission => Some(Errno::EACCES as i32),
            _ => None,
        };
        failure
    }
}

/// A handshake under way.
pub(super) trait Handshake {
    /// Takes what can be seen of what the proxy said: how much of that belongs to the handshake,
    /// and what is to be done then.
    fn feed(&mut self, seen: &[u8]) -> Result<(usize, Step), Refused>;
}
