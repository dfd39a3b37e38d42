//! `--proxy`: a connection through a SOCKS5 or HTTP proxy, which looks the name up itself.
//!
//! The handshakes are in `socks5.rs` and `http.rs`.

mod http;
mod socks5;
#[cfg(test)]
mod tests;

use http::Http;
use socks5::Socks5;

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::PollFlags;
use zeroize::Zeroizing;

use super::address::Address;
use super::deadline::{Deadline, wait};
use super::handshake::{Handshake, Progress, Refusal};
use super::socket::{Socket, would_block};
use crate::exit::{Exit, Failure, cause};

/// The protocols of proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 1928, with the user and password of RFC 1929.
    Socks5,
    /// `CONNECT`, RFC 9110 section 9.3.6, with basic authentication, RFC 7617.
    Http,
}

/// A proxy as it was written, without its password.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its protocol.
    pub scheme: Scheme,
    /// Our name there.
    pub user: Option<String>,
    /// Its address.
    pub address: Address,
}

/// User and password.
pub struct Login {
    /// The user, at most 255 bytes, without `:`.
    pub user: String,
    /// The password.
    pub password: Zeroizing<Vec<u8>>,
}

/// The target of a proxied connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name, which the proxy looks up.
    Name(String),
    /// An address.
    Ip(IpAddr),
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
        let scheme = match scheme {
            "socks5" | "socks5h" => Scheme::Socks5,
            "http" => Scheme::Http,
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
        Ok(Self { scheme, user: user.map(Into::into), address })
    }

    /// What asks the proxy for a connection to `place`; from then on the connection is one to
    /// there.
    pub fn handshake(&self, login: Option<&Login>, place: &Place, port: u16) -> Box<dyn Handshake> {
        match self.scheme {
            Scheme::Socks5 => Box::new(Socks5::new(login, place, port)),
            Scheme::Http => Box::new(Http::new(login, place, port)),
        }
    }

    /// The failure that a refusal is, with the errno that a connection of our own to `target` would
    /// have failed with.
    pub fn failure(&self, target: &Address, why: Refusal) -> Failure {
        let mut failure =
            Failure::new("connect to", format!("{target} through {self}"), why.reason, why.exit);
        failure.code = match why.exit {
            Exit::Refused => Some(Errno::ECONNREFUSED as i32),
            Exit::Unreachable => Some(Errno::EHOSTUNREACH as i32),
            Exit::TimedOut => Some(Errno::ETIMEDOUT as i32),
            Exit::Permission => Some(Errno::EACCES as i32),
            _ => None,
        };
        failure
    }

    /// Asks the proxy at the other end of `socket` for a connection to `place`. `target` is what
    /// failures call it.
    pub fn tunnel(
        &self,
        socket: &Socket,
        login: Option<&Login>,
        (place, port): (&Place, u16),
        target: &Address,
        until: Deadline,
    ) -> Result<(), Failure> {
        let broken = |e| {
            let failure = Failure::system("connect to", format!("{target} through {self}"), &e);
            if failure.exit == Exit::TimedOut { failure.hint(SILENT) } else { failure }
        };
        let mut handshake = self.handshake(login, place, port);
        let greeting = Zeroizing::new(handshake.greeting());
        socket.send_all(&greeting, until).map_err(broken)?;
        let mut buffer = [0; 512];
        loop {
            let wanted = handshake.wanted().min(buffer.len());
            let count = match socket.recv(&mut buffer[..wanted]) {
                Ok(0) => return Err(self.failure(target, handshake.on_eof())),
                Ok(count) => count,
                Err(e) if would_block(&e) => {
                    if until.passed() {
                        return Err(self.failure(target, handshake.on_timeout()));
                    }
                    wait([(socket.as_fd(), PollFlags::POLLIN)], until).map_err(broken)?;
                    continue;
                }
                Err(e) => return Err(broken(e)),
            };
            let mut reply = Zeroizing::new(Vec::new());
            let progress = handshake.feed(&buffer[..count], &mut reply);
            socket.send_all(&reply, until).map_err(broken)?;
            match progress {
                Progress::More => {}
                Progress::Done(_) => return Ok(()),
                Progress::Refused(why) => return Err(self.failure(target, why)),
            }
        }
    }
}

const SILENT: &str = "the proxy is silent";

/// The end of a connection before the proxy has answered.
fn ended() -> Refusal {
    Refusal::new("the proxy ended the connection", Exit::Broken)
}

/// The deadline before the proxy has answered.
fn silent() -> Refusal {
    let timed_out = cause(&Errno::ETIMEDOUT.into());
    Refusal::new(format!("{timed_out}; {SILENT}"), Exit::TimedOut)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Socks5 => "socks5",
            Scheme::Http => "http",
        };
        write!(f, "the {scheme} proxy {}", self.address)
    }
}
