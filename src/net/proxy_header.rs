//! The PROXY protocol, versions 1 and 2: the header by which a proxy announces the client of a
//! connection (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>). Pure.

use std::io;
use std::net::SocketAddr;

use ppp::{v1, v2};

use super::endpoint::Endpoint;
use super::handshake::{Handshake, Next, Outcome, Progress, Refusal, Stop};
use crate::exit::Exit;

/// §2.1: the longest line of version 1, with its CRLF.
const LINE: usize = 107;
/// The shortest line of version 1: no header is shorter.
const SHORTEST: usize = "PROXY UNKNOWN\r\n".len();
/// §2.2: the first bytes of every header of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of a header of version 2.
const FIXED: usize = 16;
/// The longest header of version 2 that is read: addresses and a few certificates' names.
const LONGEST: usize = 4096;

/// The versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    One,
    /// Binary.
    Two,
}

impl Version {
    /// The one of this number.
    pub fn numbered(number: u8) -> Self {
        if number == 1 { Self::One } else { Self::Two }
    }
}

/// The header that announces a connection from `source` to `destination`: as the proxy's own
/// where these are no IP addresses of one family.
pub fn header(version: Version, source: &Endpoint, destination: &Endpoint) -> io::Result<Vec<u8>> {
    let pair = match (source, destination) {
        (Endpoint::Inet(from), Endpoint::Inet(to)) if from.is_ipv4() == to.is_ipv4() => {
            Some((*from, *to))
        }
        _ => None,
    };
    match (version, pair) {
        (Version::One, pair) => {
            let addresses = pair.map_or(v1::Addresses::Unknown, Into::into);
            Ok(addresses.to_string().into_bytes())
        }
        (Version::Two, Some(pair)) => {
            let command = v2::Version::Two | v2::Command::Proxy;
            v2::Builder::with_addresses(command, v2::Protocol::Stream, pair).build()
        }
        (Version::Two, None) => {
            let command = v2::Version::Two | v2::Command::Local;
            let family = v2::AddressFamily::Unspecified | v2::Protocol::Unspecified;
            v2::Builder::new(command, family).build()
        }
    }
}

/// The server's side: reads the header of a connection.
pub struct Reader;

impl Handshake for Reader {
    fn start(&mut self) -> (Vec<u8>, usize) {
        (Vec::new(), SHORTEST)
    }

    fn receive(&mut self, header: &[u8], _reply: &mut Vec<u8>) -> Progress {
        let next = match missing(header) {
            Ok(0) => {
                parse(header).map(|source| Next::Payload(Outcome { source, ..Outcome::default() }))
            }
            more => more.map(Next::Rest),
        };
        next.map_err(|why| Refusal::new(why, Exit::Broken))
    }

    fn stopped(&self, stop: Stop, header: &[u8]) -> Refusal {
        stop.refusal("the proxy", "PROXY header", header.len(), "")
    }
}

/// The least that must follow `bytes` to make a header; 0 where it is whole.
fn missing(bytes: &[u8]) -> Result<usize, &'static str> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(b"PROXY ") {
        match bytes.windows(2).position(|two| two == b"\r\n") {
            Some(at) if at + 2 == bytes.len() => return Ok(0),
            Some(_) => return Err("a malformed PROXY line"),
            None => {}
        }
        let end = if bytes.ends_with(b"\r") { 1 } else { 2 };
        let shortest = match bytes.get(6..10) {
            Some(b"TCP4") => "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n",
            Some(b"TCP6") => "PROXY TCP6 :: :: 0 0\r\n",
            _ => "PROXY UNKNOWN\r\n",
        };
        return match bytes.len() {
            got if got + end > LINE => Err("a PROXY line of more than 107 bytes"),
            got => Ok(end.max(shortest.len().saturating_sub(got))),
        };
    }
    if !begins(SIGNATURE) {
        return Err("no PROXY header");
    }
    let Some(&[high, low]) = bytes.get(FIXED - 2..FIXED) else {
        return Ok(FIXED - bytes.len());
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err("a PROXY header of more than 4096 bytes");
    }
    Ok(length - bytes.len())
}

/// The source in a header; `None` where the connection is the proxy's own (`LOCAL`, `UNKNOWN`), or
/// of a family that has no IP addresses.
fn parse(header: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    if header.starts_with(b"PROXY ") {
        let header = v1::Header::try_from(header).map_err(|_| "a malformed PROXY line")?;
        return Ok(match header.addresses {
            v1::Addresses::Tcp4(a) => Some((a.source_address, a.source_port).into()),
            v1::Addresses::Tcp6(a) => Some((a.source_address, a.source_port).into()),
            v1::Addresses::Unknown => None,
        });
    }
    let header = v2::Header::try_from(header).map_err(|_| "a malformed PROXY header")?;
    Ok(match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(a)) => {
            Some((a.source_address, a.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(a)) => {
            Some((a.source_address, a.source_port).into())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::handshake::tests::{begun, feed};

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[0x20 | command, family], &length, rest].concat()
    }

    fn four() -> Vec<u8> {
        v2(1, 0x11, &[192, 0, 2, 1, 198, 51, 100, 7, 0x1f, 0x90, 0, 80])
    }

    /// How much of `bytes` is read, and the source they tell.
    fn read(bytes: &[u8]) -> (usize, Option<SocketAddr>) {
        let run = feed(&mut begun(Reader), bytes, &[]);
        (run.read, run.outcome().source)
    }

    fn refusal(bytes: &[u8]) -> String {
        feed(&mut begun(Reader), bytes, &[]).refusal().reason
    }

    fn inet(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_form_is_read_and_nothing_behind_it() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 8080 80\r\nGET /";
        let source = Some(inet("192.0.2.1:8080"));
        assert_eq!(read(line), (line.len() - 5, source));
        assert_eq!(read(&[four(), b"GET /".to_vec()].concat()), (28, source));
        let line = b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n";
        assert_eq!(read(line), (line.len(), Some(inet("[2001:db8::1]:1"))));
        let mut six = vec![0; 36];
        (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
        assert_eq!(read(&v2(1, 0x21, &six)), (52, Some(inet("[::1]:3"))));
        for own in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
            v2(0, 0, b""),
            v2(0, 0x11, &[0; 12]),
            v2(1, 0x31, &[0; 216]),
        ] {
            assert_eq!(read(&own), (own.len(), None), "{own:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let end = |text: &str| Endpoint::from(inet(text));
        let (a, b) = (end("192.0.2.1:8080"), end("198.51.100.7:80"));
        let (six, other) = (end("[2001:db8::1]:1"), end("[::1]:65535"));
        let unix = Endpoint::Unix("/run/x".into());
        let line = header(Version::One, &a, &b).unwrap();
        assert_eq!(line, b"PROXY TCP4 192.0.2.1 198.51.100.7 8080 80\r\n");
        assert_eq!(header(Version::Two, &a, &b).unwrap(), four());
        assert_eq!(header(Version::One, &unix, &unix).unwrap(), b"PROXY UNKNOWN\r\n");
        for version in [Version::One, Version::Two] {
            let source = |from: &Endpoint, to: &Endpoint| {
                let bytes = header(version, from, to).unwrap();
                let (used, source) = read(&bytes);
                assert_eq!(used, bytes.len());
                source
            };
            assert_eq!(source(&a, &b), Some(inet("192.0.2.1:8080")));
            assert_eq!(source(&six, &other), Some(inet("[2001:db8::1]:1")));
            assert_eq!(source(&unix, &unix), None);
            assert_eq!(source(&a, &six), None);
        }
    }

    #[test]
    fn extensions_are_passed_over() {
        let mut rest = vec![192, 0, 2, 1, 198, 51, 100, 7, 0x1f, 0x90, 0, 80];
        rest.extend([4, 0, 3, b'a', b'b', b'c']);
        let header = v2(1, 0x11, &rest);
        assert_eq!(read(&header), (header.len(), Some(inet("192.0.2.1:8080"))));
    }

    #[test]
    fn anything_else_is_refused_as_soon_as_that_is_sure() {
        for (bytes, why) in [
            (&b"GET / HTTP/1.1\r\n"[..], "no PROXY header"),
            (b"PROXZ", "no PROXY header"),
            (b"\x16\x03\x01", "no PROXY header"),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "a malformed PROXY line"),
            (b"PROXY \r\n", "a malformed PROXY line"),
        ] {
            assert_eq!(refusal(bytes), why, "{bytes:?}");
        }
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat();
        assert!(refusal(&long).contains("107"));
        let mut huge = v2(1, 0x11, &[]);
        huge[14] = 0xff;
        assert!(refusal(&huge).contains("4096"));
        let mut version = four();
        version[12] = 0x31;
        assert_eq!(refusal(&version), "a malformed PROXY header");
    }
}
