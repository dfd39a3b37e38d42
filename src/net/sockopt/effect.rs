//! Requested, effective, why: what the kernel made of a setting, explained by the system at hand.

use std::fmt;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::time::{ClockId, clock_getres};
use socket2::{Domain, Type};

use super::parse;
use super::setting::{Reading, Setting, read};
use super::value::{Number, Value};
use crate::exit::{Failure, errno_name};
use crate::net::options::{Access, Kind, Level, Row, Sockets, named};
use crate::net::socket::Socket;

/// What the kernel made of a setting.
#[derive(Debug)]
pub struct Effect {
    /// The setting.
    pub setting: Setting,
    /// What the option reads as afterwards; nothing for one that cannot be read; the error of
    /// setting it.
    pub effective: io::Result<Option<Reading>>,
    /// Why it is not what was asked for.
    pub why: Option<String>,
}

impl Effect {
    /// The failure to set it, as an error line.
    pub fn failure(&self) -> Option<Failure> {
        let error = self.effective.as_ref().err()?;
        Some(failure(&self.setting, error, self.why.as_deref()))
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> ", self.setting)?;
        match &self.effective {
            Ok(Some(reading)) => write!(f, "{}", reading.value)?,
            Ok(None) => f.write_str("set")?,
            Err(error) => f.write_str(&name_of(error))?,
        }
        self.why.iter().try_for_each(|why| write!(f, ": {why}"))
    }
}

/// The failure to set an option, with what can be done about it.
pub(super) fn failure(setting: &Setting, error: &io::Error, why: Option<&str>) -> Failure {
    let failure = Failure::system("set", setting, error);
    match why {
        Some(why) => failure.hint(why),
        None => failure,
    }
}

/// Sets an option; the error comes with what can be said about it.
pub(super) fn put(socket: &Socket, setting: &Setting) -> Result<(), (io::Error, Option<String>)> {
    setting.put(socket).map_err(|error| {
        let why = refusal(socket, setting, &error);
        (error, why)
    })
}

/// Sets an option and reads it back.
pub fn set(socket: &Socket, setting: &Setting) -> Effect {
    let setting = setting.clone();
    if let Err((error, why)) = put(socket, &setting) {
        return Effect { setting, effective: Err(error), why };
    }
    let (effective, why) = match read_back(socket, setting.row()) {
        None => (None, Some("cannot be read back".to_owned())),
        Some(Err(error)) if error.raw_os_error() == Some(Errno::ENOTCONN as i32) => {
            (None, Some("can be read on a connection only".to_owned()))
        }
        Some(Err(error)) => (None, Some(format!("reading it back gives {}", name_of(&error)))),
        Some(Ok(reading)) => {
            let why = (reading.value != setting.requested())
                .then(|| explain(socket, &setting, &reading.value));
            (Some(reading), why)
        }
    };
    Effect { setting, effective: Ok(effective), why }
}

/// Reads an option, or for one that can only be set the one that shows what it did.
fn read_back(socket: &Socket, row: &Row) -> Option<io::Result<Reading>> {
    match row.name.as_ref() {
        "SO_RCVBUFFORCE" => Some(named("SO_RCVBUF").and_then(|row| read(socket, row))),
        "SO_SNDBUFFORCE" => Some(named("SO_SNDBUF").and_then(|row| read(socket, row))),
        _ => (row.access != Access::Set).then(|| read(socket, row)),
    }
}

fn name_of(error: &io::Error) -> String {
    errno_name(error.raw_os_error().unwrap_or_default())
}

/// Why this value was refused.
fn refusal(socket: &Socket, setting: &Setting, error: &io::Error) -> Option<String> {
    let row = setting.row();
    let errno = Errno::from_raw(error.raw_os_error()?);
    match (errno, row.name.as_ref()) {
        (Errno::ENOENT, "TCP_CONGESTION") => available("net.ipv4.tcp_available_congestion_control"),
        (Errno::ENOENT, "TCP_ULP") => available("net.ipv4.tcp_available_ulp"),
        (Errno::ENOENT, "SO_DETACH_FILTER") => Some("no program is attached".into()),
        (Errno::EPERM, "TCP_CONGESTION") => {
            let allowed = sysctl("net.ipv4.tcp_allowed_congestion_control")?;
            Some(format!("without CAP_NET_ADMIN only {allowed}"))
        }
        (Errno::EPERM | Errno::EACCES, _) if row.needs.is_some() => {
            row.needs.map(|needs| format!("needs {needs}"))
        }
        (Errno::EINVAL, _) if !row.on.contains(kind_of(socket)) => Some(foreign(socket, row)),
        (Errno::EINVAL | Errno::EDOM, _) if accepted(setting).is_some() => accepted(setting),
        (Errno::ENODEV, _) => Some("no such interface".into()),
        (Errno::EADDRNOTAVAIL, _) => Some("no such interface or address".into()),
        (Errno::ENOPROTOOPT, "UDP_ENCAP") => Some("this kind is not in this kernel".into()),
        (Errno::EOPNOTSUPP, "SO_RESERVE_MEM") => {
            Some("needs a control group that counts socket memory".into())
        }
        _ => reason(socket, row, error),
    }
}

/// What the kernel accepts, where the value is not that.
fn accepted(setting: &Setting) -> Option<String> {
    let row = setting.row();
    if let Kind::Names(names) | Kind::Bits(names) = row.kind
        && names.len() < 10
    {
        return Some(parse::listed(names));
    }
    let (mut least, most) = row.range?;
    if matches!(row.name.as_ref(), "TCP_RTO_MIN_US" | "TCP_DELACK_MAX_US") {
        // Rounded up, it has to be two ticks.
        least = i64::try_from(tick()?.as_micros()).ok()? + 1;
    }
    match setting.requested() {
        Value::Number(asked) if (least.into()..=most.into()).contains(&asked) => None,
        _ if most == i64::from(i32::MAX) => Some(format!("{least} or more")),
        _ => Some(format!("{least}–{most}")),
    }
}

/// What an errno value of reading or setting an option means for this option on this socket, whatever its value.
pub fn reason(socket: &Socket, row: &Row, error: &io::Error) -> Option<String> {
    let errno = Errno::from_raw(error.raw_os_error()?);
    match (errno, row.name.as_ref()) {
        (
            Errno::EPERM | Errno::EINVAL,
            "TCP_REPAIR_QUEUE" | "TCP_QUEUE_SEQ" | "TCP_REPAIR_OPTIONS" | "TCP_REPAIR_WINDOW"
            | "TCP_TIMESTAMP" | "TCP_AO_REPAIR",
        ) => Some("only under TCP_REPAIR".into()),
        (Errno::ENOTCONN, _) | (Errno::ENODATA, "SO_PEERGROUPS") => {
            Some("only on a connection".into())
        }
        (Errno::ENOENT, "SO_ORIGINAL_DST" | "IP6T_SO_ORIGINAL_DST") => {
            Some("not a redirected connection".into())
        }
        (Errno::ENOENT, "IPV6_FLOWLABEL_MGR") => Some("no flow label".into()),
        (Errno::ENOPROTOOPT | Errno::EOPNOTSUPP, _) => Some(foreign(socket, row)),
        (Errno::EAFNOSUPPORT, _) => Some("no IPv6 on this system".into()),
        _ => None,
    }
}

/// Why a socket does not know an option: it is another socket's, or the kernel lacks it.
fn foreign(socket: &Socket, row: &Row) -> String {
    let kind = kind_of(socket);
    if !row.on.contains(kind) {
        return format!("an option of {} sockets", row.on);
    }
    let domain = socket.options().domain().ok();
    if row.level == Level::Ipv6 && domain == Some(Domain::IPV4) {
        return "an option of IPv6 sockets".into();
    }
    if matches!(row.level, Level::Other(_)) {
        return "not in this kernel, or not of this socket".into();
    }
    "not in this kernel".into()
}

fn available(name: &str) -> Option<String> {
    sysctl(name).map(|names| format!("available: {names} ({name})"))
}

/// The value of a sysctl, in one line.
fn sysctl(name: &str) -> Option<String> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// `net.core.rmem_max = 212992`, or the name alone where /proc is missing.
fn with_value(name: &str) -> String {
    sysctl(name).map_or_else(|| name.to_owned(), |value| format!("{name} = {value}"))
}

/// Why the option reads as `effective` and not as what was asked for.
fn explain(socket: &Socket, setting: &Setting, effective: &Value) -> String {
    let row = setting.row();
    match (setting.requested(), effective) {
        (Value::Number(asked), Value::Number(got)) => number(socket, row, asked, *got),
        (Value::Duration(asked), Value::Duration(got)) => duration(asked, *got),
        (Value::Interface(_), Value::Text(_)) => "the kernel tells the address only".into(),
        _ => words(socket, row, setting, effective),
    }
}

fn number(socket: &Socket, row: &Row, asked: Number, got: Number) -> String {
    let default = |name: &str| format!("{asked} is the default, {}", with_value(name));
    match row.name.as_ref() {
        "SO_RCVBUF" | "SO_SNDBUF" => buffer(row.sysctl, asked, got),
        "SO_RCVBUFFORCE" | "SO_SNDBUFFORCE" => buffer(None, asked, got),
        "SO_RCVLOWAT" if asked == 0 => "at least one byte".into(),
        "SO_RCVLOWAT" => "cut to half of the receive buffer".into(),
        "SO_RESERVE_MEM" => "rounded up to pages".into(),
        "TCP_DEFER_ACCEPT" if asked < 0 => "any negative number is 0: off".into(),
        "TCP_DEFER_ACCEPT" if got < asked => {
            "cut to the largest number of SYN-ACK retransmissions".into()
        }
        "TCP_DEFER_ACCEPT" => "rounded up to the next retransmission of the SYN-ACK".into(),
        "TCP_LINGER2" if asked == 0 => default("net.ipv4.tcp_fin_timeout"),
        "TCP_LINGER2" if asked < 0 => "any negative number is -1: no waiting".into(),
        "TCP_LINGER2" => format!("cut to the kernel's limit of {got} s"),
        "TCP_FASTOPEN" => format!("cut to {}", with_value("net.core.somaxconn")),
        "TCP_WINDOW_CLAMP" => format!("minimum {got}"),
        "TCP_MAXSEG" if asked == 0 => "0 gives the choice back to the kernel".into(),
        "TCP_MAXSEG" => "a connection shows the segment size in use".into(),
        "TCP_RTO_MIN_US" | "TCP_DELACK_MAX_US" | "TCP_RTO_MAX_MS" => ticks(),
        "IP_TTL" if asked == -1 => default("net.ipv4.ip_default_ttl"),
        "IP_MULTICAST_TTL" if asked == -1 => format!("-1 is the default, {got}"),
        "IPV6_UNICAST_HOPS" if asked == -1 => default("net.ipv6.conf.default.hop_limit"),
        "IPV6_MULTICAST_HOPS" | "IPV6_TCLASS" if asked == -1 => {
            format!("-1 is the default, {got}")
        }
        "IP_TOS" | "IPV6_TCLASS" => tos(socket, asked),
        _ => format!("the kernel keeps {got}"),
    }
}

/// Buffers are cut to a sysctl and doubled, for the kernel's own bookkeeping; never below a
/// minimum, which is what the kernel then says.
fn buffer(limit: Option<&str>, asked: Number, got: Number) -> String {
    let most = limit.and_then(|name| sysctl(name)?.parse::<Number>().ok());
    let (kept, mut why) = match (limit, most) {
        (Some(name), Some(most)) if asked > most => {
            (most, format!("cut to {name} = {most}, then doubled by the kernel"))
        }
        _ => (asked, "doubled by the kernel".to_owned()),
    };
    if got > kept.saturating_mul(2) {
        why = format!("{why}, minimum {got}");
    } else if got < kept.saturating_mul(2) {
        why = format!("{why}, maximum {got}");
    }
    why
}

fn duration(asked: Duration, got: Duration) -> String {
    if got.is_zero() {
        return "too long to count: no limit".into();
    }
    if got < asked {
        return "cut to the longest time the kernel counts".into();
    }
    ticks()
}

/// The tick of the kernel's timer, in which it counts many times.
fn tick() -> Option<Duration> {
    clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).ok().map(Duration::from)
}

fn ticks() -> String {
    match tick() {
        Some(tick) => {
            let tick = tick.as_secs_f64() * 1000.0;
            format!("rounded up to the kernel's tick of {tick} ms")
        }
        None => "rounded up to the kernel's tick".into(),
    }
}

/// TCP keeps the two ECN bits of the field for itself.
fn tos(socket: &Socket, asked: Number) -> String {
    if !(0..=255).contains(&asked) {
        return "only the lowest 8 bits are kept".into();
    }
    if kind_of(socket).contains(Sockets::TCP) {
        return "the two lowest bits are ECN's, which TCP keeps for itself".into();
    }
    "cut to what the field holds".into()
}

fn words(socket: &Socket, row: &Row, setting: &Setting, effective: &Value) -> String {
    match (row.name.as_ref(), setting.requested()) {
        ("IP_TOS" | "IPV6_TCLASS", Value::Number(asked)) => tos(socket, asked),
        ("IP_TOS" | "IPV6_TCLASS", _) => tos(socket, 0),
        ("TCP_REPAIR", _) => "both leave repair".into(),
        _ if matches!(row.kind, Kind::Flag) => {
            format!("accepted, and ignored: it stays {effective}")
        }
        _ if matches!(row.kind, Kind::Bits(_)) => {
            "with the kernel's choice for what was left open".into()
        }
        (_, requested) => format!("{requested} became {effective}"),
    }
}

/// Which kind of socket this is.
pub fn kind_of(socket: &Socket) -> Sockets {
    let options = socket.options();
    match (options.domain(), options.r#type()) {
        (Ok(Domain::UNIX), _) => Sockets::UNIX,
        (_, Ok(Type::STREAM)) => Sockets::TCP,
        (_, Ok(Type::DGRAM)) => Sockets::UDP,
        _ => Sockets::RAW,
    }
}
