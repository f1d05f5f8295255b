//! Bytes of the ring → [`Event`]. The only place that knows the record's layout and the kernel's codes.

mod facts;
mod reasons;
mod request_line;
mod snapshot;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tracer_common::{
    FLAG_SEGMENT, KIND_CLOSE, KIND_FIN, KIND_RECEIVE_RESET, KIND_SEND_RESET, NO_REASON, Record, RequestLine,
    SOCKET_FULL, SOCKET_LISTENER, SOCKET_NONE, SOCKET_TIME_WAIT,
};
use zerocopy::FromBytes as _;

use self::snapshot::snapshot;
use crate::model::{
    Event, EventKind, Flow, Jiffy, KernelNs, Segment, SendReset, Side, Silence, SocketKind, TcpState,
};

pub(crate) use self::reasons::Reason;
pub use self::{facts::KernelFacts, reasons::Reasons, request_line::request_line};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const TCP_SYN: u8 = 0x02;
const TCP_ACK: u8 = 0x10;

/// Why a record of the ring was refused: counted, never fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not the size of a [`Record`], with or without a [`RequestLine`] behind it.
    Size,
    /// A kind, address family, socket kind or state that this version does not know, or a combination of them that
    /// means nothing.
    Value,
}

/// Turns one ring entry into an event. `jiffy` is the running kernel's tick.
pub(crate) fn decode(bytes: &[u8], jiffy: Jiffy) -> Result<Event, Malformed> {
    let (record, line) = Record::read_from_prefix(bytes).map_err(|_| Malformed::Size)?;
    let line = match line {
        [] => RequestLine::NONE,
        line => RequestLine::read_from_bytes(line).map_err(|_| Malformed::Size)?,
    };
    event(&record, &line, jiffy).ok_or(Malformed::Value)
}

fn event(record: &Record, line: &RequestLine, jiffy: Jiffy) -> Option<Event> {
    let kind = match (record.kind, record.socket) {
        (KIND_FIN, SOCKET_FULL) => {
            let socket = snapshot(record, jiffy)?;
            match TcpState::from_kernel(record.new_state)? {
                TcpState::CloseWait => EventKind::Fin { by: Side::Remote, socket },
                _ => EventKind::Fin { by: Side::Local, socket },
            }
        }
        (KIND_CLOSE, SOCKET_FULL) => {
            let socket = snapshot(record, jiffy)?;
            let error = silence(record, socket.state);
            EventKind::Close { socket, error }
        }
        (KIND_RECEIVE_RESET, SOCKET_FULL) => EventKind::ReceiveReset { socket: snapshot(record, jiffy)? },
        (KIND_SEND_RESET, _) => EventKind::SendReset {
            reset: send_reset(record, jiffy)?,
            reason: (record.reason != NO_REASON).then_some(record.reason),
        },
        _ => return None,
    };
    let request_line = request_line(line)?;
    Some(Event { at: KernelNs(record.at_ns), flow: flow(record)?, request_line, kind })
}

/// What ended a connection that reached CLOSE, if neither a FIN nor a RST did. An application that gives up on a SYN
/// leaves no error.
fn silence(record: &Record, state: TcpState) -> Option<Silence> {
    match record.error {
        0 if state == TcpState::SynSent => Some(Silence::GivenUp),
        0 => None,
        errno => Some(Silence::Errno(errno)),
    }
}

/// Only a connection's own socket resets without a segment to answer.
fn send_reset(record: &Record, jiffy: Jiffy) -> Option<SendReset> {
    let found = match record.socket {
        SOCKET_FULL => SocketKind::Connection(snapshot(record, jiffy)?),
        SOCKET_TIME_WAIT => SocketKind::TimeWait { rcv_nxt: record.rcv_nxt },
        SOCKET_LISTENER => SocketKind::Listener,
        SOCKET_NONE => SocketKind::NoSocket,
        _ => return None,
    };
    match (segment(record), found) {
        (Some(segment), found) => Some(SendReset::Passive { segment, found }),
        (None, SocketKind::Connection(socket)) => Some(SendReset::Active(socket)),
        (None, _) => None,
    }
}

fn flow(record: &Record) -> Option<Flow> {
    let endpoint = |bytes: &[u8; 16], port| {
        let address = match record.family {
            AF_INET => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
            AF_INET6 => Ipv6Addr::from(*bytes).to_canonical(),
            _ => return None,
        };
        Some(SocketAddr::new(address, port))
    };
    Some(Flow {
        netns: record.netns,
        local: endpoint(&record.local_addr, record.local_port)?,
        remote: endpoint(&record.remote_addr, record.remote_port)?,
    })
}

/// The segment that a passive reset answers.
fn segment(record: &Record) -> Option<Segment> {
    (record.flags & FLAG_SEGMENT != 0).then_some(Segment {
        seq: record.segment_seq,
        ack: record.segment_ack,
        len: record.segment_len,
        opening: record.segment_flags & (TCP_SYN | TCP_ACK) == TCP_SYN,
        accepting: record.segment_flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK,
    })
}

#[cfg(test)]
mod tests;
