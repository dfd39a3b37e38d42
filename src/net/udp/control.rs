//! Control messages of datagrams: the address of ours that one was sent to, the address that an
//! answer leaves from, the size of datagrams that came as one message.

use std::net::IpAddr;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg};

use super::Envelope;
use crate::net::endpoint::Endpoint;

/// Room for the control messages of a datagram: more than we ask for, as options may ask for more
/// (`IP_RECVTTL`, `SO_TIMESTAMP`).
pub fn room() -> Vec<u8> {
    nix::cmsg_space!([u8; 256])
}

/// The envelope of a message from this sender; the size of its datagrams where the kernel has merged several.
/// Control messages that did not fit are missing.
pub fn envelope<S>(message: &RecvMsg<'_, '_, S>, from: Endpoint) -> (Envelope, Option<usize>) {
    let mut envelope = Envelope {
        len: message.bytes,
        truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
        from,
        to: None,
    };
    let mut size = None;
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                envelope.to = Some(info.ipi_spec_dst.s_addr.to_ne_bytes().into());
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                envelope.to = Some(info.ipi6_addr.s6_addr.into());
            }
            ControlMessageOwned::UdpGroSegments(each) => size = usize::try_from(each).ok(),
            _ => {}
        }
    }
    (envelope, size)
}

/// The address that an answer leaves from, as sendmsg(2) takes it.
pub enum Source {
    /// The kernel chooses.
    Any,
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Source {
    /// The address that was asked, unless it is a group: that is no source.
    pub fn of(ip: Option<IpAddr>) -> Self {
        match ip.filter(|ip| !ip.is_multicast()) {
            None => Self::Any,
            Some(IpAddr::V4(ip)) => Self::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            Some(IpAddr::V6(ip)) => Self::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
                ipi6_ifindex: 0,
            }),
        }
    }

    /// The control message that sets it.
    pub fn control(&self) -> Option<ControlMessage<'_>> {
        match self {
            Self::Any => None,
            Self::V4(info) => Some(ControlMessage::Ipv4PacketInfo(info)),
            Self::V6(info) => Some(ControlMessage::Ipv6PacketInfo(info)),
        }
    }

    /// Room for exactly that; the kernel would read more as another message.
    pub fn room(&self) -> Option<Vec<u8>> {
        match self {
            Self::Any => None,
            Self::V4(_) => Some(nix::cmsg_space!(libc::in_pktinfo)),
            Self::V6(_) => Some(nix::cmsg_space!(libc::in6_pktinfo)),
        }
    }
}
