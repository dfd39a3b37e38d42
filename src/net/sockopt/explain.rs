//! Why an option was refused, or reads as another value than was set, by the system at hand.

use std::cmp::Ordering;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::time::{ClockId, clock_getres};
use socket2::{Domain, Type};

use super::Setting;
use crate::net::options::{Number, SocketOption, Sockets, Value, ValueFormat, listed};
use crate::net::socket::Socket;

/// Why this value was refused.
pub(super) fn refusal(socket: &Socket, setting: &Setting, error: &io::Error) -> Option<String> {
    let option = setting.option();
    let why = match (Errno::from_raw(error.raw_os_error()?), option.name.as_ref()) {
        (Errno::ENOENT, "TCP_CONGESTION") => {
            return available("net.ipv4.tcp_available_congestion_control");
        }
        (Errno::ENOENT, "TCP_ULP") => return available("net.ipv4.tcp_available_ulp"),
        (Errno::ENOENT, "SO_DETACH_FILTER") => "no program is attached",
        (Errno::EPERM, "TCP_CONGESTION") => {
            let allowed = sysctl("net.ipv4.tcp_allowed_congestion_control")?;
            return Some(format!("without CAP_NET_ADMIN only {allowed}"));
        }
        (Errno::EPERM | Errno::EACCES, _) if option.needs.is_some() => {
            return option.needs.map(|needs| format!("needs {needs}"));
        }
        (Errno::EINVAL, _) if !option.on.contains(kind_of(socket)) => {
            return Some(foreign(socket, option));
        }
        (Errno::EINVAL | Errno::EDOM, _) if accepted(setting).is_some() => {
            return accepted(setting);
        }
        (Errno::ENODEV, _) => "no such interface",
        (Errno::EADDRNOTAVAIL, _) => "no such interface or address",
        (Errno::ENOPROTOOPT, "UDP_ENCAP") => "this kind is not in this kernel",
        (Errno::EOPNOTSUPP, "SO_RESERVE_MEM") => "needs a control group that counts socket memory",
        _ => return reason(socket, option, error),
    };
    Some(why.into())
}

/// What the kernel accepts, where the value is not that.
fn accepted(setting: &Setting) -> Option<String> {
    let option = setting.option();
    if let ValueFormat::Names(names) | ValueFormat::Bits(names) = option.format
        && names.len() < 10
    {
        return Some(listed(names, ", "));
    }
    let (mut least, most) = option.range?;
    if matches!(option.name.as_ref(), "TCP_RTO_MIN_US" | "TCP_DELACK_MAX_US") {
        // Rounded up, it has to be two ticks.
        least = i64::try_from(tick()?.as_micros()).ok()? + 1;
    }
    match setting.requested() {
        Value::Number(asked) if (least.into()..=most.into()).contains(&asked) => None,
        _ if most == i64::from(i32::MAX) => Some(format!("{least} or more")),
        _ => Some(format!("{least}–{most}")),
    }
}

/// What an error of reading or setting an option means, whatever the value.
pub fn reason(socket: &Socket, option: &SocketOption, error: &io::Error) -> Option<String> {
    let why = match (Errno::from_raw(error.raw_os_error()?), option.name.as_ref()) {
        (
            Errno::EPERM | Errno::EINVAL,
            "TCP_REPAIR_QUEUE" | "TCP_QUEUE_SEQ" | "TCP_REPAIR_OPTIONS" | "TCP_REPAIR_WINDOW"
            | "TCP_TIMESTAMP" | "TCP_AO_REPAIR",
        ) => "only under TCP_REPAIR",
        (Errno::ENOTCONN, _) | (Errno::ENODATA, "SO_PEERGROUPS") => "only on a connection",
        (Errno::ENOENT, "SO_ORIGINAL_DST" | "IP6T_SO_ORIGINAL_DST") => {
            "not a redirected connection"
        }
        (Errno::ENOENT, "IPV6_FLOWLABEL_MGR") => "no flow label",
        (Errno::EAFNOSUPPORT, _) => "no IPv6 on this system",
        (Errno::ENOPROTOOPT | Errno::EOPNOTSUPP, _) => return Some(foreign(socket, option)),
        _ => return None,
    };
    Some(why.into())
}

/// Why a socket does not know an option: it belongs to other sockets, or the kernel lacks it.
fn foreign(socket: &Socket, option: &SocketOption) -> String {
    let domain = socket.options().domain().ok();
    match option.level {
        _ if !option.on.contains(kind_of(socket)) => format!("an option of {} sockets", option.on),
        _ if option.name.contains(':') => "not in this kernel, or not of this socket".into(),
        libc::IPPROTO_IPV6 if domain == Some(Domain::IPV4) => "an option of IPv6 sockets".into(),
        _ => "not in this kernel".into(),
    }
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
pub(super) fn difference(socket: &Socket, setting: &Setting, effective: &Value) -> String {
    let option = setting.option();
    let why = match (option.name.as_ref(), setting.requested(), effective) {
        (_, Value::Number(asked), Value::Number(got)) => {
            return number(socket, option, asked, *got);
        }
        (_, Value::Duration(_), Value::Duration(got)) if got.is_zero() => {
            "too long to count: no limit"
        }
        (_, Value::Duration(asked), Value::Duration(got)) if *got < asked => {
            "cut to the longest time the kernel counts"
        }
        (_, Value::Duration(_), Value::Duration(_)) => return ticks(),
        (_, Value::Interface(_), Value::Text(_)) => "the kernel tells the address only",
        ("IP_TOS" | "IPV6_TCLASS", Value::Number(asked), _) => tos(socket, asked),
        ("IP_TOS" | "IPV6_TCLASS", ..) => tos(socket, 0),
        ("TCP_REPAIR", ..) => "both leave repair",
        (_, Value::Flag(_), _) => return format!("accepted, and ignored: it stays {effective}"),
        _ if matches!(option.format, ValueFormat::Bits(_)) => {
            "with the kernel's choice for what was left open"
        }
        (_, requested, _) => return format!("{requested} became {effective}"),
    };
    why.into()
}

fn number(socket: &Socket, option: &SocketOption, asked: Number, got: Number) -> String {
    let default = |name: &str| format!("{asked} is the default, {}", with_value(name));
    let why = match option.name.as_ref() {
        "SO_RCVBUF" | "SO_SNDBUF" => return buffer(option.sysctl, asked, got),
        "SO_RCVBUFFORCE" | "SO_SNDBUFFORCE" => return buffer(None, asked, got),
        "SO_RCVLOWAT" if asked == 0 => "at least one byte",
        "SO_RCVLOWAT" => "cut to half of the receive buffer",
        "SO_RESERVE_MEM" => "rounded up to pages",
        "TCP_DEFER_ACCEPT" if asked < 0 => "any negative number is 0: off",
        "TCP_DEFER_ACCEPT" if got < asked => "cut to the largest number of SYN-ACK retransmissions",
        "TCP_DEFER_ACCEPT" => "rounded up to the next retransmission of the SYN-ACK",
        "TCP_LINGER2" if asked == 0 => return default("net.ipv4.tcp_fin_timeout"),
        "TCP_LINGER2" if asked < 0 => "any negative number is -1: no waiting",
        "TCP_LINGER2" => return format!("cut to the kernel's limit of {got} s"),
        "TCP_FASTOPEN" => return format!("cut to {}", with_value("net.core.somaxconn")),
        "TCP_WINDOW_CLAMP" => return format!("minimum {got}"),
        "TCP_MAXSEG" if asked == 0 => "0 gives the choice back to the kernel",
        "TCP_MAXSEG" => "a connection shows the segment size in use",
        "TCP_RTO_MIN_US" | "TCP_DELACK_MAX_US" | "TCP_RTO_MAX_MS" => return ticks(),
        "IP_TTL" if asked == -1 => return default("net.ipv4.ip_default_ttl"),
        "IPV6_UNICAST_HOPS" if asked == -1 => return default("net.ipv6.conf.default.hop_limit"),
        "IP_MULTICAST_TTL" | "IPV6_MULTICAST_HOPS" | "IPV6_TCLASS" if asked == -1 => {
            return format!("-1 is the default, {got}");
        }
        "IP_TOS" | "IPV6_TCLASS" => tos(socket, asked),
        _ => return format!("the kernel keeps {got}"),
    };
    why.into()
}

/// Buffers are cut to a sysctl and doubled, for the kernel's own bookkeeping; never below a
/// minimum, which is what the kernel then says.
fn buffer(limit: Option<&str>, asked: Number, got: Number) -> String {
    let most = limit.and_then(|name| sysctl(name)?.parse::<Number>().ok());
    let (kept, why) = match (limit, most) {
        (Some(name), Some(most)) if asked > most => {
            (most, format!("cut to {name} = {most}, then doubled by the kernel"))
        }
        _ => (asked, "doubled by the kernel".to_owned()),
    };
    match got.cmp(&(2 * kept)) {
        Ordering::Greater => format!("{why}, minimum {got}"),
        Ordering::Less => format!("{why}, maximum {got}"),
        Ordering::Equal => why,
    }
}

/// The tick of the kernel's timer, in which it counts many times.
fn tick() -> Option<Duration> {
    clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).ok().map(Duration::from)
}

fn ticks() -> String {
    let length = tick().map(|tick| format!(" of {} ms", tick.as_secs_f64() * 1000.0));
    format!("rounded up to the kernel's tick{}", length.unwrap_or_default())
}

/// The type of service: TCP keeps the two ECN bits of the field for itself.
fn tos(socket: &Socket, asked: Number) -> &'static str {
    if !(0..=255).contains(&asked) {
        "only the lowest 8 bits are kept"
    } else if kind_of(socket).contains(Sockets::TCP) {
        "the two lowest bits are ECN's, which TCP keeps for itself"
    } else {
        "cut to what the field holds"
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
