//! What the words of an ADDRESS mean, read left to right; every refusal shows the fix.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::host::{FORMS, host, ipv6, no_address};
use super::{Address, Host, Port, Target};
use crate::exit::{Failure, quoted, shortened};

/// The port when no address is given.
const DEFAULT_PORT: &str = "8520";

/// `sun_path` of unix(7) has 108 bytes; a path ends in a NUL, an abstract name begins with one.
const UNIX_MAX: usize = 107;

/// An address whose port is not parsed yet: it may be a list.
enum Split<'a> {
    Inet(Host, &'a str),
    Unix(&'a OsStr),
}

impl Address {
    /// Reads an ADDRESS off the front of `words`, and says how many of them it took: none where
    /// there is none (`127.0.0.1:8520`), one if the first is complete, else two: HOST and PORT.
    pub fn take(words: &[OsString]) -> Result<(Self, usize), Failure> {
        let (split, used) = split(words)?;
        let address = match split {
            Split::Inet(host, text) => Self::Inet { host, port: port(text)? },
            Split::Unix(name) => Self::Unix(name.into()),
        };
        Ok((address, used))
    }

    /// The same for `connect -z`, where the port may be a list, `22,http,8000-8100`: a target for
    /// each port.
    pub fn take_list(words: &[OsString]) -> Result<(Vec<Target>, usize), Failure> {
        let (split, used) = split(words)?;
        let (host, list) = match split {
            Split::Unix(name) => {
                return Ok((vec![Target { address: Self::Unix(name.into()), range: None }], used));
            }
            Split::Inet(host, list) => (host, list),
        };
        let mut each = Vec::new();
        for (entry, item) in list.split(',').enumerate() {
            let (ports, is_range) = range(item)?;
            let range = is_range.then_some(entry);
            each.extend(ports.into_iter().map(|port| {
                let address = Self::Inet { host: host.clone(), port };
                Target { address, range }
            }));
        }
        each.iter().try_for_each(|target| target.address.check_dial())?;
        Ok((each, used))
    }
}

/// The address that `words` begin with, and how many of them it took.
fn split(words: &[OsString]) -> Result<(Split<'_>, usize), Failure> {
    let Some(first) = words.first() else {
        return Ok((Split::Inet(Host::Loopback, DEFAULT_PORT), 0));
    };
    if let Some((scheme, name)) = first.as_bytes().split_at_checked(5)
        && scheme.eq_ignore_ascii_case(b"unix:")
    {
        return Ok((Split::Unix(unix(name)?), 1));
    }
    if is_path(first.as_bytes()) {
        let path = OsStr::from_bytes(&[b"unix:", first.as_bytes()].concat()).to_owned();
        return Err(Failure::usage(format!(
            "address {}: a path is written {}",
            quoted(first),
            shortened(path)
        )));
    }
    let word = without_scheme(text(first)?);
    if let Some((host, port)) = complete(word)? {
        return Ok((Split::Inet(host, port), 1));
    }
    match words.get(1) {
        Some(second) => Ok((Split::Inet(host(word)?, text(second)?), 2)),
        None => Err(lone(word)),
    }
}

/// Whether a word is the path of a UNIX socket, rather than a URL or a network.
fn is_path(word: &[u8]) -> bool {
    let starts = [&b"/"[..], b"./", b"../", b"~/"];
    starts.iter().any(|start| word.starts_with(start))
        || word.contains(&b'/') && word[0].is_ascii_alphabetic() && !word.contains(&b':')
}

/// `tcp://HOST:PORT` and socat's `TCP:HOST:PORT` as `HOST:PORT`. `tcp:80` is a host of this name.
fn without_scheme(word: &str) -> &str {
    match word.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tcp") && rest.contains(':') => {
            rest.strip_prefix("//").unwrap_or(rest)
        }
        _ => word,
    }
}

/// The failure for a word that is no address without another one behind it.
fn lone(word: &str) -> Failure {
    let numberish = |c: char| c.is_ascii_digit() || "+-".contains(c) || c.is_whitespace();
    if word.is_empty() || word.starts_with(numberish) && !word.contains(['.', ':']) {
        return bad_port(word);
    }
    match host(word) {
        Err(failure) => failure,
        Ok(host) => Failure::usage(format!(
            "address {}: a port is missing; write {}:PORT",
            quoted(word),
            fix(&host.to_string(), "HOST")
        )),
    }
}

/// Host and port of a word that has both, or a port alone; `None` for one that may be a HOST.
fn complete(word: &str) -> Result<Option<(Host, &str)>, Failure> {
    let in_list = |c: char| c.is_ascii_digit() || c == ',' || c == '-';
    if word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(in_list) {
        return Ok(Some((Host::Loopback, word)));
    }
    if word.starts_with('[') {
        let (literal, rest) = word.split_at(word.find(']').map_or(word.len(), |end| end + 1));
        let host = host(literal)?;
        return match rest.strip_prefix(':') {
            Some("") => Err(empty_port(word, &host)),
            Some(port) => Ok(Some((host, port))),
            None if rest.is_empty() => Ok(None),
            None => Err(no_address(word)),
        };
    }
    match word.rsplit_once(':') {
        None => Ok(None),
        Some((head, port)) if head.contains(':') => match colons(word, head, port) {
            Some(failure) => Err(failure),
            None => Ok(None),
        },
        Some(("", port)) => {
            let port = fix(port, "PORT");
            Err(Failure::usage(format!(
                "address {}: a host is missing; write 127.0.0.1:{port}, or, to listen on every \
                 address of this machine, *:{port}",
                quoted(word)
            )))
        }
        Some((head, "")) => Err(empty_port(word, &host(head)?)),
        Some((head, port)) => Ok(Some((host(head)?, port))),
    }
}

/// Why a word with several colons and no brackets is refused; `None` if it can only be a HOST.
fn colons(word: &str, head: &str, port: &str) -> Option<Failure> {
    let (whole, before) = (ipv6(word), ipv6(head));
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match (whole, before) {
        // Also in front of another word: that could be meant as a text to send.
        (Some(whole), Some(before)) if digits => Some(Failure::usage(format!(
            "address {} is ambiguous; write {before}:{port}, or {whole}:PORT",
            quoted(word)
        ))),
        (Some(_), _) => None,
        (None, Some(before)) => Some(Failure::usage(format!(
            "address {}: IPv6 needs brackets; write {before}:{}",
            quoted(word),
            fix(port, "PORT")
        ))),
        (None, None) => Some(no_address(word)),
    }
}

fn unix(name: &[u8]) -> Result<&OsStr, Failure> {
    let shown = || {
        let word = [b"unix:", name].concat();
        quoted(OsStr::from_bytes(&word))
    };
    let (bytes, what) = match name.strip_prefix(b"@") {
        Some(name) => (name, "name"),
        None => (name, "path"),
    };
    if bytes.is_empty() {
        return Err(Failure::usage(format!(
            "address {}: a {what} is missing; write unix:PATH or unix:@NAME",
            shown()
        )));
    }
    if bytes.len() > UNIX_MAX {
        return Err(Failure::usage(format!(
            "address {}: a UNIX socket's {what} has at most {UNIX_MAX} bytes, this one has {}",
            shown(),
            bytes.len()
        )));
    }
    Ok(OsStr::from_bytes(name))
}

/// Reads a PORT.
pub(super) fn port(text: &str) -> Result<Port, Failure> {
    // u16 would also take a sign.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Port::Number).map_err(|_| bad_port(text));
    }
    // Wider than RFC 6335: services(5) has names like `whois++` and `sql*net`.
    let in_name = |c: char| c.is_ascii_alphanumeric() || "-_.+*".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(in_name) {
        return Ok(Port::Service(text.to_owned()));
    }
    Err(bad_port(text))
}

/// The ports of one item of a port list, and whether it is a range.
fn range(item: &str) -> Result<(Vec<Port>, bool), Failure> {
    let (first, last) = match item.split_once('-') {
        // A service name may have a dash in it.
        Some(ends) if item.starts_with(|c: char| c.is_ascii_digit()) => ends,
        _ => return Ok((vec![port(item)?], false)),
    };
    let (Ok(Port::Number(first)), Ok(Port::Number(last))) = (port(first), port(last)) else {
        return Err(bad_port(item));
    };
    if first > last {
        return Err(Failure::usage(format!(
            "port range {}: the lower end comes first; write {last}-{first}",
            quoted(item)
        )));
    }
    Ok(((first..=last).map(Port::Number).collect(), true))
}

fn text(word: &OsStr) -> Result<&str, Failure> {
    word.to_str()
        .ok_or_else(|| Failure::usage(format!("address {} is not UTF-8; {FORMS}", quoted(word))))
}

/// `text` if it can be shown in a fix, else the placeholder.
fn fix<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    let fit = (1..=80).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fit { text } else { otherwise }
}

fn empty_port(word: &str, host: &Host) -> Failure {
    Failure::usage(format!(
        "address {}: the port is empty; write {}:PORT, a port is 0–65535",
        quoted(word),
        fix(&host.to_string(), "HOST")
    ))
}

fn bad_port(text: &str) -> Failure {
    Failure::usage(format!(
        "port {}: a port is a number 0–65535, or a service name behind a host",
        quoted(text)
    ))
}
