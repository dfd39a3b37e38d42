//! The environment of a program: UCSPI (<https://cr.yp.to/proto/ucspi.txt>), as tcpserver, s6 and
//! ucspi-unix set it, without secrets of ours and variables of another connection.
//!
//! | connection | `PROTO` | variables |
//! |------------|---------|-----------|
//! | TCP, IPv4 and IPv6 | `TCP` | `TCPLOCALIP TCPLOCALPORT TCPREMOTEIP TCPREMOTEPORT` |
//! | UNIX       | `UNIX`  | `UNIXREMOTEEUID UNIXREMOTEEGID UNIXREMOTEPID` |
//! | datagram   | `UDP`   | `UDPLOCALIP UDPLOCALPORT UDPREMOTEIP UDPREMOTEPORT` |
//!
//! With TLS the `SSL_` variables are added. A server's program also gets `TCPCONNNUM` or `UNIXLOCALPATH`; one of a connection that we dialled
//! `TCPREMOTEHOST` ([`Program::with_remote_host`](super::Program::with_remote_host)) or `UNIXREMOTEPATH`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::net::endpoint::Endpoint;
use crate::net::tlsinfo::TlsInfo;
use crate::session::About;

/// The protocols of UCSPI tools.
const PROTOCOLS: &str = "TCP TCP6 UDP UNIX IPC";
/// Their variables, each behind the name of the protocol.
const VARIABLES: &str = "LOCALIP LOCALPORT LOCALHOST LOCALPATH REMOTEIP REMOTEPORT REMOTEHOST \
    REMOTEINFO REMOTEPATH REMOTEEUID REMOTEEGID REMOTEPID CONNNUM";

/// The variables of a TLS session.
const TLS_VARIABLES: [&str; 5] = [
    "SSL_PROTOCOL",
    "SSL_CIPHER",
    "SSL_TLS_SNI_SERVERNAME",
    "SSL_PEER_CERT_HASH",
    "SSL_PEER_CERT_SUBJECT",
];

/// The descriptors of a service manager, which no program gets (`sd_listen_fds(3)`).
const DESCRIPTORS: &str = "LISTEN_FDS LISTEN_PID LISTEN_PIDFDID LISTEN_FDNAMES";
/// What else it says to our process alone (`sd_notify(3)`, `sd_watchdog_enabled(3)`).
const MANAGER: &str = "NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID";

/// The variables that describe a connection.
pub(super) fn variables(about: &About) -> Vec<(OsString, OsString)> {
    let protocol = match &about.peer {
        Endpoint::Unix(_) => "UNIX",
        _ if about.is_datagram => "UDP",
        _ => "TCP",
    };
    let mut all = vec![("PROTO".into(), protocol.into())];
    let mut set = |ending: &str, value: OsString| {
        all.push((format!("{protocol}{ending}").into(), value));
    };
    // A UNIX connection is known by one path: the listener's.
    let listening = if about.is_dialled { "REMOTE" } else { "LOCAL" };
    for (side, endpoint) in [("LOCAL", about.local.as_ref()), ("REMOTE", Some(&about.peer))] {
        match endpoint {
            Some(Endpoint::Inet(inet)) if protocol != "UNIX" => {
                set(&format!("{side}IP"), ip(&Endpoint::Inet(*inet)).into());
                set(&format!("{side}PORT"), inet.port().to_string().into());
            }
            Some(Endpoint::Unix(path)) if side == listening && protocol == "UNIX" => {
                set(&format!("{side}PATH"), OsString::from_vec(path.clone()));
            }
            Some(Endpoint::ViaProxy(target)) => {
                let port = target.rsplit(':').next().unwrap_or_default();
                set("REMOTEPORT", port.into());
            }
            _ => {}
        }
    }
    if protocol == "TCP" && !about.is_dialled {
        set("CONNNUM", about.neighbours.to_string().into());
    }
    if let Some(who) = &about.credentials
        && protocol == "UNIX"
    {
        set("REMOTEEUID", who.uid().to_string().into());
        set("REMOTEEGID", who.gid().to_string().into());
        set("REMOTEPID", who.pid().to_string().into());
    }
    if let Some(tls) = &about.tls {
        all.extend(tls_variables(tls));
    } else if let Some(key) = &about.key {
        all.push(("SOCKCTL_KEY_NAME".into(), key.as_ref().into()));
    }
    all
}

/// The variables of a TLS session, as s6-tlsserver and Apache's `mod_ssl` name them. The name is what the
/// client asked for, its certificate's hash and subject are there if it has shown one.
fn tls_variables(tls: &TlsInfo) -> impl Iterator<Item = (OsString, OsString)> {
    let shown = tls.certificate.as_ref();
    let [protocol, cipher, name, hash, subject] = TLS_VARIABLES;
    [
        (protocol, tls.version.map(str::to_owned)),
        (cipher, tls.cipher.clone()),
        (name, tls.name.clone()),
        (hash, shown.map(|it| format!("SHA256:{}", it.fingerprint))),
        (subject, shown.map(|it| it.subject.clone())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.into(), value?.into())))
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
    all.filter(|(name, _)| !is_private(name) && !is_of_our_process(name)).collect()
}

/// What of it a program in our place gets, which is the process that the rest is about.
pub(super) fn kept(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    all.filter(|(name, _)| !is_private(name))
}

/// Keys and passwords, and what describes descriptors that are not passed on.
fn is_private(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"SOCKCTL_") || is_one(DESCRIPTORS, name)
}

/// What a service manager says to our process, and the variables of our connection.
fn is_of_our_process(name: &OsStr) -> bool {
    let is_ucspi = |protocol: &str| {
        let rest = name.as_bytes().strip_prefix(protocol.as_bytes());
        rest.is_some_and(|rest| is_one(VARIABLES, OsStr::from_bytes(rest)))
    };
    name == "PROTO"
        || TLS_VARIABLES.iter().any(|it| name == *it)
        || is_one(MANAGER, name)
        || PROTOCOLS.split(' ').any(is_ucspi)
}

fn is_one(words: &str, name: &OsStr) -> bool {
    words.split(' ').any(|word| name == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Endpoint::Unix;

    fn inet(text: &str) -> Endpoint {
        Endpoint::Inet(text.parse().unwrap())
    }

    /// The variables for a client that `change` has made a special one.
    fn described(local: &Endpoint, peer: &Endpoint, change: fn(&mut About)) -> String {
        let mut about = About {
            is_datagram: false,
            is_dialled: false,
            local: Some(local.clone()),
            peer: peer.clone(),
            neighbours: 2,
            credentials: None,
            key: None,
            tls: None,
            has_codec: false,
        };
        change(&mut about);
        let all = variables(&about).into_iter();
        let all = all.map(|(name, value)| format!("{}={}", name.display(), value.display()));
        all.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_tcp_client_is_described_as_by_tcpserver() {
        let (local, peer) = (inet("127.0.0.1:80"), inet("192.0.2.1:5000"));
        assert_eq!(
            described(&local, &peer, |about| about.key = Some("alice".into())),
            "PROTO=TCP TCPLOCALIP=127.0.0.1 TCPLOCALPORT=80 TCPREMOTEIP=192.0.2.1 \
             TCPREMOTEPORT=5000 TCPCONNNUM=2 SOCKCTL_KEY_NAME=alice"
        );
    }

    #[test]
    fn an_ipv6_address_has_no_brackets() {
        let (local, peer) = (inet("[::1]:80"), inet("[2001:db8::1]:5000"));
        assert_eq!(
            described(&local, &peer, |about| about.is_datagram = true),
            "PROTO=UDP UDPLOCALIP=::1 UDPLOCALPORT=80 UDPREMOTEIP=2001:db8::1 UDPREMOTEPORT=5000"
        );
    }

    #[test]
    fn a_unix_client_is_described_by_its_credentials() {
        let path = Unix(b"/run/x".to_vec());
        assert_eq!(
            described(&path, &path, |about| {
                about.credentials = Some(libc::ucred { uid: 1, gid: 2, pid: 3 }.into());
            }),
            "PROTO=UNIX UNIXLOCALPATH=/run/x UNIXREMOTEEUID=1 UNIXREMOTEEGID=2 UNIXREMOTEPID=3"
        );
    }

    #[test]
    fn a_server_that_we_dialled_is_described_as_by_tcpclient() {
        let dialled = |about: &mut About| about.is_dialled = true;
        let local = inet("127.0.0.1:5000");
        assert_eq!(
            described(&local, &inet("192.0.2.1:80"), dialled),
            "PROTO=TCP TCPLOCALIP=127.0.0.1 TCPLOCALPORT=5000 TCPREMOTEIP=192.0.2.1 \
             TCPREMOTEPORT=80"
        );
        assert_eq!(
            described(&local, &Endpoint::ViaProxy("db.example:80".into()), dialled),
            "PROTO=TCP TCPLOCALIP=127.0.0.1 TCPLOCALPORT=5000 TCPREMOTEPORT=80"
        );
        let path = Unix(b"/run/x".to_vec());
        assert_eq!(
            described(&Unix(Vec::new()), &path, dialled),
            "PROTO=UNIX UNIXREMOTEPATH=/run/x"
        );
    }

    #[test]
    fn a_client_of_a_proxy_is_described_by_its_own_address() {
        let (local, peer) = (Unix(b"/run/x".to_vec()), inet("192.0.2.1:5000"));
        assert_eq!(
            described(&local, &peer, |_| ()),
            "PROTO=TCP TCPREMOTEIP=192.0.2.1 TCPREMOTEPORT=5000 TCPCONNNUM=2"
        );
    }

    #[test]
    fn secrets_and_other_connections_are_not_inherited() {
        let gone = "SOCKCTL_KEY SOCKCTL_PROXY_PASSWORD SOCKCTL_KEY_NAME LISTEN_FDS PROTO \
            NOTIFY_SOCKET LISTEN_PID LISTEN_FDNAMES WATCHDOG_USEC SSL_CIPHER \
            TCPREMOTEHOST TCPREMOTEINFO TCP6REMOTEIP UNIXREMOTEEUID UDPLOCALIP";
        let kept = "PATH HOME SSL_CERT_FILE TCPDUMP UNIX PROTOCOL UDPREMOTEIPS LISTEN_ADDRESS";
        let all = gone.split(' ').chain(kept.split(' '));
        let all = inherited(all.map(|name| (name.into(), OsString::new())));
        let names: Vec<_> = all.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names.join(" "), kept);
    }
}
