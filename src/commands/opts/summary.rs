//! What a live socket is, beside its options: its two addresses, its descriptor, its mode.

use std::io::{self, Write};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::Serialize;
use socket2::Domain;

use crate::net::endpoint::Endpoint;
use crate::net::options::Value;
use crate::net::process::Held;
use crate::net::socket::{Socket, domain_name, kind_name};
use crate::net::tcpinfo::{TcpInfo, with_unit};

/// A live socket's addresses, state and mode.
#[derive(Serialize)]
pub(super) struct Summary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    fileno: i32,
    family: &'static str,
    r#type: &'static str,
    state: &'static str,
    getsockname: String,
    getpeername: Option<String>,
    blocking: bool,
    /// Seconds; nothing where there is no limit.
    rcvtimeo: Option<f64>,
    sndtimeo: Option<f64>,
    /// TCP only: the kernel's numbers, in its units.
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_info: Option<Value>,
}

impl Summary {
    /// Of a socket; the descriptor is that of the process which holds it.
    pub(super) fn of(socket: &Socket, held: Option<Held>) -> io::Result<Self> {
        let options = socket.options();
        let (domain, kind) = (options.domain()?, options.r#type()?);
        let flags = OFlag::from_bits_truncate(fcntl(socket, FcntlArg::F_GETFL)?);
        let seconds = |limit: io::Result<Option<std::time::Duration>>| {
            limit.ok().flatten().map(|limit| limit.as_secs_f64())
        };
        let shown = |end: Endpoint| match domain {
            Domain::IPV4 | Domain::IPV6 | Domain::UNIX => end.to_string(),
            _ => "-".to_owned(),
        };
        let tcp_info = TcpInfo::read(socket).ok();
        Ok(Self {
            pid: held.map(|held| held.pid),
            fileno: held.map_or_else(|| std::os::fd::AsRawFd::as_raw_fd(socket), |held| held.fd),
            family: domain_name(domain),
            r#type: kind_name(kind),
            state: state(socket, tcp_info.as_ref()),
            getsockname: shown(socket.local()?),
            getpeername: socket.peer().ok().map(shown),
            blocking: !flags.contains(OFlag::O_NONBLOCK),
            rcvtimeo: seconds(options.read_timeout()),
            sndtimeo: seconds(options.write_timeout()),
            tcp_info: tcp_info.map(|info| Value::Record(info.fields().to_vec())),
        })
    }

    /// The cells of a line in a list of sockets.
    pub(super) fn cells(&self, name: &str) -> [String; 8] {
        [
            self.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            name.to_owned(),
            self.fileno.to_string(),
            self.family.to_owned(),
            self.r#type.to_owned(),
            self.state.to_owned(),
            self.getsockname.clone(),
            self.getpeername.clone().unwrap_or_else(|| "-".into()),
        ]
    }

    /// A property a line.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let blocking = if self.blocking {
            "yes: a call waits (O_NONBLOCK is off)"
        } else {
            "no: a call returns at once with EAGAIN (O_NONBLOCK is on)"
        };
        let timeout = |seconds: Option<f64>, option: &str| match (seconds, self.blocking) {
            (None, _) => format!("none ({option} is 0)"),
            (Some(seconds), true) => {
                format!("{seconds} s: then a waiting call fails with EAGAIN ({option})")
            }
            (Some(seconds), false) => {
                format!("{seconds} s, without effect on a socket that does not block ({option})")
            }
        };
        let peer = self.getpeername.as_deref().unwrap_or("not connected");
        for (name, value) in [
            ("getsockname", self.getsockname.as_str()),
            ("getpeername", peer),
            ("family", self.family),
            ("type", self.r#type),
            ("state", self.state),
            ("fileno", &self.fileno.to_string()),
            ("blocking", blocking),
            ("receive timeout", &timeout(self.rcvtimeo, "SO_RCVTIMEO")),
            ("send timeout", &timeout(self.sndtimeo, "SO_SNDTIMEO")),
        ] {
            writeln!(out, "{name:<16} {value}")?;
        }
        let Some(Value::Record(fields)) = &self.tcp_info else {
            return Ok(());
        };
        writeln!(out, "\nTCP_INFO")?;
        for (name, number) in fields {
            writeln!(out, "{name:<19} {}", with_unit(name, *number))?;
        }
        Ok(())
    }
}

/// The state of a TCP socket as the kernel names it; of others, what there is to it.
fn state(socket: &Socket, info: Option<&TcpInfo>) -> &'static str {
    let options = socket.options();
    match info {
        Some(info) => info.state(),
        None if options.is_listener().unwrap_or(false) => "LISTEN",
        None if options.peer_addr().is_ok() => "CONNECTED",
        None => "UNCONNECTED",
    }
}
