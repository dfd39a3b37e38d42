//! `--proxy`: a connection through a SOCKS5 or HTTP proxy, which looks the name up itself.
//!
//! The handshakes are in `socks5.rs` and `http.rs`.

mod http;
mod socks5;
#[cfg(test)]
mod tests;

pub use http::Authorization;
use http::Http;
use socks5::Socks5;

use std::ffi::OsString;
use std::rc::Rc;
use std::sync::Arc;
use std::{fmt, io};

use nix::errno::Errno;
use zeroize::Zeroizing;

use super::address::{Address, Family, Host};
use super::deadline::Deadline;
use super::handshake::{Handshake, Refusal};
use super::resolve::{self, Query};
use crate::exit::{Exit, Failure};

/// The protocols of proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 1928, with the user and password of RFC 1929.
    Socks5,
    /// `CONNECT`, RFC 9110 section 9.3.6, with Digest (RFC 7616) or Basic (RFC 7617).
    Http,
}

impl Scheme {
    /// The longest user and password: RFC 1929 has one byte for their length, and a head of HTTP
    /// its limits.
    pub fn longest(self) -> usize {
        match self {
            Self::Socks5 => 255,
            Self::Http => 4096,
        }
    }
}

/// A proxy as it was written, without its password.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its protocol.
    pub scheme: Scheme,
    /// The user name.
    pub user: Option<String>,
    /// Its address.
    pub address: Address,
}

/// User and password.
pub struct Login {
    /// The user, without `:`.
    pub user: String,
    /// The password, UTF-8 for an HTTP proxy.
    pub password: Zeroizing<Vec<u8>>,
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
                "a password on the command line is visible to every user; \
                 use SOCKCTL_PROXY_PASSWORD or --proxy-password-file FILE",
            );
        }
        if let Some(user) = user.filter(|user| !(1..=scheme.longest()).contains(&user.len())) {
            let (most, got) = (scheme.longest(), user.len());
            return refuse(&format!("a user has 1 to {most} bytes, this one has {got}"));
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

    /// The handshake that asks the proxy for a connection to `host`.
    pub fn handshake(
        &self,
        login: Option<Arc<Login>>,
        host: &Host,
        port: u16,
        authorization: &Authorization,
    ) -> Box<dyn Handshake> {
        match self.scheme {
            Scheme::Socks5 => Box::new(Socks5::new(login.as_deref(), host, port)),
            Scheme::Http => Box::new(Http::new(login, host, port, Rc::clone(authorization))),
        }
    }
}

/// A proxy, and the target that it is asked for.
#[derive(Clone)]
pub struct Tunnel {
    proxy: Proxy,
    login: Option<Arc<Login>>,
    target: Address,
    host: Host,
    port: u16,
    authorization: Authorization,
}

impl Tunnel {
    /// `login` is needed where the proxy's URL names a user. The target's name is not looked up
    /// here, but its service is. Errors: a target that a proxy cannot reach.
    pub fn new(
        proxy: Proxy,
        login: Option<Arc<Login>>,
        target: Address,
        query: Query,
        until: Deadline,
    ) -> Result<Self, Failure> {
        let (host, port) = destination(&target, query, until)?;
        Ok(Self { proxy, login, target, host, port, authorization: Authorization::default() })
    }

    /// The same for another connection.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { authorization: Authorization::default(), ..self.clone() }
    }

    /// The address to dial.
    pub fn address(&self) -> &Address {
        &self.proxy.address
    }

    /// Our side of the handshake.
    pub fn handshake(&self) -> Box<dyn Handshake> {
        self.proxy.handshake(self.login.clone(), &self.host, self.port, &self.authorization)
    }

    /// Whether the proxy has closed a connection before it reacted to our authorization, which it
    /// gets on another one.
    pub fn has_authorization(&self) -> bool {
        self.authorization.borrow().is_some()
    }

    /// The failure of a proxy that could not be dialled.
    pub fn unreached(&self, mut failure: Failure) -> Failure {
        if failure.exit != Exit::Usage {
            failure.target = format!("{} for {}", self.proxy, self.target);
        }
        failure
    }

    /// The failure of a connection that broke during the handshake.
    pub fn broken(&self, error: &io::Error) -> Failure {
        Failure::system("connect to", self.name(), error)
    }

    /// The failure that the handshake ended with, with the errno that it amounts to.
    pub fn refused(&self, why: Refusal) -> Failure {
        let mut failure = Failure::new("connect to", self.name(), why.reason, why.exit);
        failure.code = match why.exit {
            Exit::Refused => Some(Errno::ECONNREFUSED as i32),
            Exit::Unreachable => Some(Errno::EHOSTUNREACH as i32),
            Exit::TimedOut => Some(Errno::ETIMEDOUT as i32),
            Exit::Permission => Some(Errno::EACCES as i32),
            _ => None,
        };
        failure
    }

    fn name(&self) -> String {
        format!("{} through {}", self.target, self.proxy)
    }
}

/// The target as a proxy is asked for it: a literal or a name, and a number.
fn destination(target: &Address, query: Query, until: Deadline) -> Result<(Host, u16), Failure> {
    let refuse = |why: &str| Err(Failure::usage(format!("--proxy: {target}: {why}")));
    match target.clone().resolve_default(Family::V4) {
        Address::Unix(_) => refuse("a proxy cannot reach a UNIX socket of this machine"),
        Address::Inet { host: Host::Scoped(..), .. } => {
            refuse("an IPv6 zone is local to this machine; a proxy cannot use it")
        }
        Address::Inet { host, port } => Ok((host, resolve::port(&port, query, until)?)),
    }
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
