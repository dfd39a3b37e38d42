//! The environment of a program: UCSPI (<https://cr.yp.to/proto/ucspi.txt>), as tcpserver, s6 and
//! ucspi-unix set it, and nothing that is a secret of ours or was true of another connection.
//!
//! | connection | `PROTO` | variables |
//! |------------|---------|-----------|
//! | TCP, IPv4 and IPv6 | `TCP` | `TCPLOCALIP TCPLOCALPORT TCPREMOTEIP TCPREMOTEPORT TCPCONNNUM` |
//! | UNIX       | `UNIX`  | `UNIXLOCALPATH UNIXREMOTEEUID UNIXREMOTEEGID UNIXREMOTEPID` |
//! | datagram   | `UDP`   | `UDPLOCALIP UDPLOCALPORT UDPREMOTEIP UDPREMOTEPORT` |

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::net::endpoint::Endpoint;
use crate::net::socket::Credentials;

/// The protocols whose variables we set or may have inherited.
const PROTOCOLS: [&str; 5] = ["TCP", "TCP6", "UDP", "UNIX", "IPC"];
/// What UCSPI tools tell about a connection, behind the name of its protocol.
const ENDINGS: [&str; 13] = [
    "LOCALIP",
    "LOCALPORT",
    "LOCALHOST",
    "LOCALPATH",
    "REMOTEIP",
    "REMOTEPORT",
    "REMOTEHOST",
    "REMOTEINFO",
    "REMOTEPATH",
    "REMOTEEUID",
    "REMOTEEGID",
    "REMOTEPID",
    "CONNNUM",
];

/// What a program is started for.
#[derive(Debug)]
pub struct Request<'a> {
    /// A datagram, not a connection.
    pub datagram: bool,
    /// Our end, where it is known.
    pub local: Option<&'a Endpoint>,
    /// The client's end.
    pub peer: &'a Endpoint,
    /// Connections from the client's address, this one included.
    pub neighbours: usize,
    /// The process that connected, for UNIX sockets.
    pub credentials: Option<Credentials>,
    /// The name of the key that was proved.
    pub key: Option<&'a str>,
}

impl Request<'_> {
    /// The variables that tell a program about it.
    pub(super) fn variables(&self) -> Vec<(OsString, OsString)> {
        let protocol = match self.peer {
            Endpoint::Unix(_) => "UNIX",
            _ if self.datagram => "UDP",
            _ => "TCP",
        };
        let mut all = vec![("PROTO".into(), protocol.into())];
        let mut set = |ending: &str, value: OsString| {
            all.push((format!("{protocol}{ending}").into(), value));
        };
        for (side, endpoint) in [("LOCAL", self.local), ("REMOTE", Some(self.peer))] {
            match endpoint {
                Some(Endpoint::Inet(inet)) if protocol != "UNIX" => {
                    set(&format!("{side}IP"), ip(&Endpoint::Inet(*inet)).into());
                    set(&format!("{side}PORT"), inet.port().to_string().into());
                }
                // A UNIX client is known by the path that it came in by, which is ours.
                Some(Endpoint::Unix(path)) if side == "LOCAL" && protocol == "UNIX" => {
                    set("LOCALPATH", OsString::from_vec(path.clone()));
                }
                _ => {}
            }
        }
        if protocol == "TCP" {
            set("CONNNUM", self.neighbours.to_string().into());
        }
        if let Some(who) = &self.credentials
            && protocol == "UNIX"
        {
            set("REMOTEEUID", who.user.to_string().into());
            set("REMOTEEGID", who.group.to_string().into());
            set("REMOTEPID", who.process.to_string().into());
        }
        if let Some(key) = self.key {
            all.push(("SOCKCTL_KEY_NAME".into(), key.into()));
        }
        all
    }
}

/// The address without its port and brackets, with its zone.
fn ip(endpoint: &Endpoint) -> String {
    let shown = endpoint.to_string();
    let ip = shown.rsplit_once(':').map_or("", |(ip, _)| ip);
    ip.trim_matches(['[', ']']).to_string()
}

/// What of our own environment a program gets.
pub(super) fn inherited(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    all.filter(|(name, _)| !is_ours(name)).collect()
}

/// Keys and passwords; sockets of a service manager, which are not passed on; what was told of
/// another connection.
fn is_ours(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"SOCKCTL_")
        || name.starts_with(b"LISTEN_")
        || name == b"PROTO"
        || PROTOCOLS.iter().any(|protocol| {
            let rest = name.strip_prefix(protocol.as_bytes());
            rest.is_some_and(|rest| ENDINGS.iter().any(|ending| ending.as_bytes() == rest))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(request: &Request<'_>) -> Vec<String> {
        let all = request.variables().into_iter();
        all.map(|(name, value)| format!("{}={}", name.display(), value.display())).collect()
    }

    fn inet(text: &str) -> Endpoint {
        Endpoint::Inet(text.parse().unwrap())
    }

    fn request<'a>(local: &'a Endpoint, peer: &'a Endpoint) -> Request<'a> {
        Request {
            datagram: false,
            local: Some(local),
            peer,
            neighbours: 2,
            credentials: None,
            key: None,
        }
    }

    #[test]
    fn a_tcp_client_is_told_as_tcpserver_does() {
        let (local, peer) = (inet("127.0.0.1:80"), inet("192.0.2.1:5000"));
        let mut request = request(&local, &peer);
        request.key = Some("alice");
        assert_eq!(
            told(&request),
            [
                "PROTO=TCP",
                "TCPLOCALIP=127.0.0.1",
                "TCPLOCALPORT=80",
                "TCPREMOTEIP=192.0.2.1",
                "TCPREMOTEPORT=5000",
                "TCPCONNNUM=2",
                "SOCKCTL_KEY_NAME=alice"
            ]
        );
    }

    #[test]
    fn an_ipv6_address_has_no_brackets() {
        let (local, peer) = (inet("[::1]:80"), inet("[2001:db8::1]:5000"));
        let told = told(&request(&local, &peer));
        assert_eq!(told[1], "TCPLOCALIP=::1");
        assert_eq!(told[3], "TCPREMOTEIP=2001:db8::1");
        let datagram = Request { datagram: true, ..request(&local, &peer) };
        assert_eq!(
            self::told(&datagram),
            [
                "PROTO=UDP",
                "UDPLOCALIP=::1",
                "UDPLOCALPORT=80",
                "UDPREMOTEIP=2001:db8::1",
                "UDPREMOTEPORT=5000"
            ]
        );
    }

    #[test]
    fn a_unix_client_is_told_by_its_credentials() {
        let path = Endpoint::Unix(b"/run/x".to_vec());
        let mut request = request(&path, &path);
        request.credentials = Some(Credentials { user: 1, group: 2, process: 3 });
        assert_eq!(
            told(&request),
            [
                "PROTO=UNIX",
                "UNIXLOCALPATH=/run/x",
                "UNIXREMOTEEUID=1",
                "UNIXREMOTEEGID=2",
                "UNIXREMOTEPID=3"
            ]
        );
    }

    #[test]
    fn a_client_of_a_proxy_is_told_by_its_own_address() {
        let (local, peer) = (Endpoint::Unix(b"/run/x".to_vec()), inet("192.0.2.1:5000"));
        let told = told(&request(&local, &peer));
        assert_eq!(
            told,
            ["PROTO=TCP", "TCPREMOTEIP=192.0.2.1", "TCPREMOTEPORT=5000", "TCPCONNNUM=2"]
        );
    }

    #[test]
    fn secrets_and_other_connections_are_not_inherited() {
        let gone = [
            "SOCKCTL_KEY",
            "SOCKCTL_PROXY_PASSWORD",
            "SOCKCTL_KEY_NAME",
            "LISTEN_FDS",
            "PROTO",
            "TCPREMOTEHOST",
            "TCPREMOTEINFO",
            "TCP6REMOTEIP",
            "UNIXREMOTEEUID",
            "UDPLOCALIP",
        ];
        let kept = ["PATH", "HOME", "TCPDUMP", "UNIX", "PROTOCOL", "UDPREMOTEIPS"];
        let all = gone.into_iter().chain(kept);
        let all = inherited(all.map(|name| (name.into(), OsString::new())));
        let names: Vec<_> = all.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, kept);
    }
}
