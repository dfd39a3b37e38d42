//! The PROXY protocol, versions 1 and 2: what a proxy says in front of a connection about whose
//! it is (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>). Pure.

use std::io;
use std::net::SocketAddr;

use ppp::{v1, v2};

use super::endpoint::Endpoint;

/// §2.1: the longest line of version 1, with its CRLF.
const LINE: usize = 107;
/// §2.2: what every header of version 2 begins with.
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

/// A header that may come in pieces.
#[derive(Debug, Default)]
pub struct Header {
    held: Vec<u8>,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// The connection is this client's, and was made to this address.
    For {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// It is the proxy's own (`LOCAL`, `UNKNOWN`), or of a family that has no IP addresses.
    Own,
}

impl Header {
    /// Takes what can be seen of a connection. Returns how much of it belongs to the header, and
    /// what the header says once it is whole; nothing behind it is ever taken. The error is a
    /// cause: these bytes are no header.
    pub fn feed(&mut self, seen: &[u8]) -> Result<(usize, Option<Proxied>), &'static str> {
        let before = self.held.len();
        self.held.extend_from_slice(seen);
        let Some(length) = length(&self.held)? else {
            return Ok((seen.len(), None));
        };
        let said = parse(&self.held[..length])?;
        Ok((length.saturating_sub(before), Some(said)))
    }
}

/// The length of the header that `bytes` begin with; `None` while that is not all of it.
fn length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(b"PROXY ") {
        let end = bytes.windows(2).take(LINE - 1).position(|two| two == b"\r\n");
        return match end {
            None if bytes.len() >= LINE => Err("a PROXY line of more than 107 bytes"),
            end => Ok(end.map(|end| end + 2)),
        };
    }
    if !begins(SIGNATURE) {
        return Err("no PROXY header");
    }
    let Some(&[high, low]) = bytes.get(FIXED - 2..FIXED) else {
        return Ok(None);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err("a PROXY header of more than 4096 bytes");
    }
    Ok((bytes.len() >= length).then_some(length))
}

fn parse(header: &[u8]) -> Result<Proxied, &'static str> {
    let addresses =
        |source: SocketAddr, destination: SocketAddr| Proxied::For { source, destination };
    if header.starts_with(b"PROXY ") {
        let header = v1::Header::try_from(header).map_err(|_| "a malformed PROXY line")?;
        return Ok(match header.addresses {
            v1::Addresses::Tcp4(a) => addresses(
                (a.source_address, a.source_port).into(),
                (a.destination_address, a.destination_port).into(),
            ),
            v1::Addresses::Tcp6(a) => addresses(
                (a.source_address, a.source_port).into(),
                (a.destination_address, a.destination_port).into(),
            ),
            v1::Addresses::Unknown => Proxied::Own,
        });
    }
    let header = v2::Header::try_from(header).map_err(|_| "a malformed PROXY header")?;
    Ok(match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(a)) => addresses(
            (a.source_address, a.source_port).into(),
            (a.destination_address, a.destination_port).into(),
        ),
        (v2::Command::Proxy, v2::Addresses::IPv6(a)) => addresses(
            (a.source_address, a.source_port).into(),
            (a.destination_address, a.destination_port).into(),
        ),
        _ => Proxied::Own,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[0x20 | command, family], &length, rest].concat()
    }

    fn four() -> Vec<u8> {
        v2(1, 0x11, &[192, 0, 2, 1, 198, 51, 100, 7, 0x1f, 0x90, 0, 80])
    }

    fn read(bytes: &[u8]) -> Result<(usize, Option<Proxied>), &'static str> {
        Header::default().feed(bytes)
    }

    fn of(source: &str, destination: &str) -> Proxied {
        Proxied::For { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn each_form_is_read_and_nothing_behind_it() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 8080 80\r\nGET /";
        let v4 = Some(of("192.0.2.1:8080", "198.51.100.7:80"));
        assert_eq!(read(line), Ok((line.len() - 5, v4)));
        assert_eq!(read(&[four(), b"GET /".to_vec()].concat()), Ok((28, v4)));
        let line = b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n";
        assert_eq!(read(line), Ok((line.len(), Some(of("[2001:db8::1]:1", "[::1]:65535")))));
        let mut six = vec![0; 36];
        (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
        assert_eq!(read(&v2(1, 0x21, &six)), Ok((52, Some(of("[::1]:3", "[::2]:4")))));
        for own in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
            v2(0, 0, b""),
            v2(0, 0x11, &[0; 12]),
            v2(1, 0x31, &[0; 216]),
        ] {
            assert_eq!(read(&own), Ok((own.len(), Some(Proxied::Own))), "{own:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let end = |text: &str| Endpoint::from(text.parse::<SocketAddr>().unwrap());
        let (a, b) = (end("192.0.2.1:8080"), end("198.51.100.7:80"));
        let (six, other) = (end("[2001:db8::1]:1"), end("[::1]:65535"));
        let unix = Endpoint::Unix("/run/x".into());
        let line = header(Version::One, &a, &b).unwrap();
        assert_eq!(line, b"PROXY TCP4 192.0.2.1 198.51.100.7 8080 80\r\n");
        assert_eq!(header(Version::Two, &a, &b).unwrap(), four());
        assert_eq!(header(Version::One, &unix, &unix).unwrap(), b"PROXY UNKNOWN\r\n");
        for version in [Version::One, Version::Two] {
            let said = |from: &Endpoint, to: &Endpoint| {
                let bytes = header(version, from, to).unwrap();
                let (used, said) = read(&bytes).unwrap();
                assert_eq!(used, bytes.len());
                said.unwrap()
            };
            assert_eq!(said(&a, &b), of("192.0.2.1:8080", "198.51.100.7:80"));
            assert_eq!(said(&six, &other), of("[2001:db8::1]:1", "[::1]:65535"));
            assert_eq!(said(&unix, &unix), Proxied::Own);
            assert_eq!(said(&a, &six), Proxied::Own);
        }
    }

    #[test]
    fn extensions_are_passed_over() {
        let mut rest = vec![192, 0, 2, 1, 198, 51, 100, 7, 0x1f, 0x90, 0, 80];
        rest.extend([4, 0, 3, b'a', b'b', b'c']);
        let header = v2(1, 0x11, &rest);
        assert_eq!(
            read(&header),
            Ok((header.len(), Some(of("192.0.2.1:8080", "198.51.100.7:80"))))
        );
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
            assert_eq!(read(bytes), Err(why), "{bytes:?}");
        }
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat();
        assert!(read(&long).is_err_and(|why| why.contains("107")));
        let mut huge = v2(1, 0x11, &[]);
        huge[14] = 0xff;
        assert!(read(&huge).is_err_and(|why| why.contains("4096")));
        let mut version = four();
        version[12] = 0x31;
        assert!(read(&version).is_err());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(which in 0usize..3, tail: Vec<u8>, cut: prop::sample::Index) {
            let header = match which {
                0 => four(),
                1 => b"PROXY TCP4 192.0.2.1 198.51.100.7 8080 80\r\n".to_vec(),
                _ => b"PROXY UNKNOWN\r\n".to_vec(),
            };
            let whole = [header.clone(), tail].concat();
            let at = cut.index(header.len());
            let mut reader = Header::default();
            prop_assert_eq!(reader.feed(&whole[..at]), Ok((at, None)));
            let (used, said) = reader.feed(&whole[at..]).unwrap();
            prop_assert_eq!(at + used, header.len());
            prop_assert_eq!(said, read(&header).unwrap().1);
        }

        #[test]
        fn nothing_panics_and_no_more_is_taken_than_seen(bytes: Vec<u8>, v1: bool) {
            let bytes = [if v1 { b"PROXY ".to_vec() } else { SIGNATURE.to_vec() }, bytes].concat();
            if let Ok((used, _)) = read(&bytes) {
                prop_assert!(used <= bytes.len());
            }
        }
    }
}
