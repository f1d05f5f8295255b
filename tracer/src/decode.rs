//! Bytes of the ring → [`Event`]. The only place that knows the record's layout and the kernel's codes.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tracer_common::{
    FLAG_LINGER_ZERO, FLAG_NO_FILE, FLAG_ORPHAN, FLAG_PEER_FIN, FLAG_RETRANSMITTING, FLAG_SEGMENT,
    KIND_CLOSE, KIND_FIN, KIND_RECEIVE_RESET, KIND_SEND_RESET, NO_REASON, Record, SOCKET_FULL,
    SOCKET_LISTENER, SOCKET_NONE, SOCKET_TIME_WAIT,
};

use crate::{
    event::{Event, EventKind, Flow, LastPayload, Origin, Role, Segment, Side, Socket, TcpState, Traffic},
    time::KernelNs,
};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// How long an ACK may take: `TCP_DELACK_MAX` (`include/net/tcp.h`) and a long way. Keepalive probes wait for
/// a second at least.
const ACK_DELAY: Duration = Duration::from_millis(500);
const TCP_SYN: u8 = 0x02;
const TCP_ACK: u8 = 0x10;

/// Why bytes from the ring were not taken: counted, never fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not the size of a [`Record`].
    Size,
    /// A kind, address family, socket kind or state that this version does not know.
    Value,
}

/// Turns one ring entry into an event. `jiffy` is the running kernel's tick.
pub fn decode(bytes: &[u8], jiffy: Duration) -> Result<Event, Malformed> {
    event(&record(bytes).ok_or(Malformed::Size)?, jiffy).ok_or(Malformed::Value)
}

/// Copies a record out of the ring's bytes.
#[must_use]
#[expect(unsafe_code, reason = "the one place that casts ring bytes")]
pub fn record(bytes: &[u8]) -> Option<Record> {
    if bytes.len() != size_of::<Record>() {
        return None;
    }
    // SAFETY: the length was checked, the read is unaligned, and any bit pattern is a valid `Record`.
    Some(unsafe { bytes.as_ptr().cast::<Record>().read_unaligned() })
}

fn event(record: &Record, jiffy: Duration) -> Option<Event> {
    let kind = match (record.kind, record.socket) {
        (KIND_FIN, SOCKET_FULL) => EventKind::Fin {
            by: match TcpState::from_kernel(record.new_state)? {
                TcpState::CloseWait => Side::Remote,
                _ => Side::Local,
            },
            socket: socket(record, jiffy)?,
        },
        (KIND_CLOSE, SOCKET_FULL) => EventKind::Close { socket: socket(record, jiffy)? },
        (KIND_RECEIVE_RESET, SOCKET_FULL) => EventKind::ReceiveReset { socket: socket(record, jiffy)? },
        (KIND_SEND_RESET, origin) => EventKind::SendReset {
            origin: match origin {
                SOCKET_FULL => Origin::Connection(socket(record, jiffy)?),
                SOCKET_TIME_WAIT => Origin::TimeWait { rcv_nxt: record.rcv_nxt, snd_nxt: record.snd_nxt },
                SOCKET_LISTENER => Origin::Listener,
                SOCKET_NONE => Origin::NoSocket,
                _ => return None,
            },
            segment: (record.flags & FLAG_SEGMENT != 0).then(|| segment(record)),
            reason: (record.reason != NO_REASON).then_some(record.reason),
        },
        _ => return None,
    };
    Some(Event { at: KernelNs(record.at_ns), flow: flow(record)?, kind })
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

fn segment(record: &Record) -> Segment {
    Segment {
        seq: record.segment_seq,
        ack: record.segment_ack,
        len: record.segment_len,
        opening: record.segment_flags & (TCP_SYN | TCP_ACK) == TCP_SYN,
    }
}

fn socket(record: &Record, jiffy: Duration) -> Option<Socket> {
    let state = TcpState::from_kernel(record.old_state)?;
    let flag = |bit| record.flags & bit != 0;
    Some(Socket {
        state,
        role: role(record, state),
        orphan: flag(FLAG_ORPHAN),
        peer_fin: flag(FLAG_PEER_FIN),
        linger_zero: flag(FLAG_LINGER_ZERO),
        no_file: flag(FLAG_NO_FILE),
        probes_out: record.probes_out,
        traffic: traffic(record, state, jiffy),
    })
}

fn payload_sent(record: &Record) -> u64 {
    record.bytes_sent.saturating_sub(record.bytes_retrans)
}

/// `bytes_received` counts sequence numbers, the peer's FIN among them (`tcp_rcv_nxt_update`,
/// `net/ipv4/tcp_input.c`).
fn payload_received(record: &Record) -> u64 {
    record.bytes_received.saturating_sub(u64::from(peer_fin(record)))
}

fn peer_fin(record: &Record) -> u32 {
    u32::from(record.flags & FLAG_PEER_FIN != 0)
}

#[expect(clippy::cast_possible_truncation, reason = "sequence numbers count modulo 2^32")]
fn low_half(bytes: u64) -> u32 {
    bytes as u32
}

/// Who opened the connection, from the socket's own bookkeeping.
///
/// `bytes_acked` counts sequence space (`tcp_snd_una_update`, `net/ipv4/tcp_input.c`). The active opener's SYN
/// is acknowledged through `tcp_ack` and counts as one byte; the passive opener starts behind its SYN
/// (`tcp_create_openreq_child`). So all sequence space ever used, less payload, less our FIN, is 1 for the
/// client and 0 for the server. This holds for connections opened long before the tracer started.
fn role(record: &Record, state: TcpState) -> Role {
    if state == TcpState::SynSent {
        return Role::Client;
    }
    if matches!(state, TcpState::Close | TcpState::Listen) {
        return Role::Unknown;
    }
    let in_flight = u64::from(record.snd_nxt.wrapping_sub(record.snd_una));
    let fin = u64::from(fin_left(record, state));
    let used = record.bytes_acked.wrapping_add(in_flight);
    match used.wrapping_sub(payload_sent(record)).wrapping_sub(fin) {
        0 => Role::Server,
        1 => Role::Client,
        // Fast open and repaired sockets count otherwise: say nothing rather than something wrong.
        _ => Role::Unknown,
    }
}

fn traffic(record: &Record, state: TcpState, jiffy: Duration) -> Traffic {
    let at = KernelNs(record.at_ns);
    let ago = |jiffies: u32| at.minus(jiffy * jiffies);
    let peer_fin = peer_fin(record);
    let unread = record.rcv_nxt.wrapping_sub(record.copied_seq).saturating_sub(peer_fin);
    // The segment that last acknowledged something new began where the unread payload begins.
    let unread_begins = record.rcv_nxt.wrapping_sub(unread).wrapping_sub(peer_fin);
    Traffic {
        sent: payload_sent(record),
        received: payload_received(record),
        last_sent: ago(record.since_sent),
        last_received: ago(record.since_received),
        last_ack: ago(record.since_ack),
        last_payload: last_payload(record, state, jiffy),
        unacknowledged: unacknowledged(record, state),
        unsent: record.write_seq.wrapping_sub(record.snd_nxt),
        unread,
        unread_knew_all: unread > 0 && unacknowledged(record, state) == 0 && record.snd_wl1 == unread_begins,
        retransmitting: record.flags & FLAG_RETRANSMITTING != 0,
        first_rcv_seq: record.rcv_nxt.wrapping_sub(low_half(record.bytes_received)),
        snd_una: record.snd_una,
        payload_end: record.write_seq.wrapping_sub(u32::from(state.fin_sent())),
        rcv_nxt: record.rcv_nxt,
        srtt: (record.srtt_us != 0).then(|| Duration::from_micros(u64::from(record.srtt_us >> 3))),
    }
}

/// Payload bytes of ours that the peer has not acknowledged.
fn unacknowledged(record: &Record, state: TcpState) -> u32 {
    let in_flight = record.snd_nxt.wrapping_sub(record.snd_una);
    in_flight.saturating_sub(u32::from(fin_left(record, state)))
}

/// Whether our FIN is on its way: it leaves only behind all that was written. At the step to `FIN_WAIT1` it is
/// not queued yet.
fn fin_left(record: &Record, state: TcpState) -> bool {
    state.fin_sent() && record.snd_nxt == record.write_seq
}

/// Whose payload came last: by the kernel's two times, and where they fall into one jiffy by sequence numbers.
///
/// `snd_wl1` is where the segment began that last acknowledged something new (`tcp_ack`,
/// `net/ipv4/tcp_input.c`). If that is before the end of what was received, payload of the peer's carried the
/// acknowledgment and came last. If it is behind, it was a bare ACK of something we sent after that payload,
/// provided it came as soon as ACKs do: the answer to a keepalive probe looks the same. FINs use sequence
/// numbers and acknowledgments of their own, so all this holds only while there was none.
fn last_payload(record: &Record, state: TcpState, jiffy: Duration) -> LastPayload {
    let no_fin = state == TcpState::Established && peer_fin(record) == 0;
    match (payload_sent(record) > 0, payload_received(record) > 0) {
        (false, false) => LastPayload::None,
        (true, false) => LastPayload::Local,
        (false, true) => LastPayload::Remote,
        _ if record.since_sent < record.since_received => LastPayload::Local,
        _ if record.since_sent > record.since_received => LastPayload::Remote,
        _ if unacknowledged(record, state) > 0 => LastPayload::Local,
        _ if no_fin && record.snd_wl1 != record.rcv_nxt => LastPayload::Remote,
        _ if no_fin && jiffy * record.since_sent.saturating_sub(record.since_ack) <= ACK_DELAY => {
            LastPayload::Local
        }
        _ => LastPayload::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JIFFY: Duration = Duration::from_millis(4);

    /// A server that took a request of 100 bytes and sent a response of 200, all acknowledged, 10 s later.
    fn idle_server() -> Record {
        let mut record = zeroed();
        record.at_ns = 60_000_000_000;
        record.kind = KIND_FIN;
        record.socket = SOCKET_FULL;
        (record.old_state, record.new_state) = (1, 4);
        record.family = AF_INET;
        record.local_addr[..4].copy_from_slice(&[10, 0, 0, 1]);
        record.remote_addr[..4].copy_from_slice(&[10, 0, 0, 2]);
        (record.local_port, record.remote_port) = (80, 40_000);
        (record.bytes_sent, record.bytes_acked, record.bytes_received) = (200, 200, 100);
        (record.snd_una, record.snd_nxt, record.write_seq) = (5_200, 5_200, 5_200);
        (record.rcv_nxt, record.copied_seq, record.snd_wl1) = (9_100, 9_100, 9_100);
        (record.since_sent, record.since_received, record.since_ack) = (2_499, 2_500, 2_490);
        record
    }

    fn zeroed() -> Record {
        record(&[0; size_of::<Record>()]).unwrap()
    }

    fn socket_of(record: &Record) -> Socket {
        match event(record, JIFFY).expect("a valid record").kind {
            EventKind::Fin { socket, .. }
            | EventKind::Close { socket }
            | EventKind::ReceiveReset { socket } => socket,
            EventKind::SendReset { origin, .. } => panic!("not about a socket: {origin:?}"),
        }
    }

    fn changed(change: impl Fn(&mut Record)) -> Record {
        let mut record = idle_server();
        change(&mut record);
        record
    }

    #[test]
    fn bytes_that_are_no_record_are_told_apart_from_records_that_make_no_sense() {
        for len in [0, 1, 167, 169, 336] {
            assert_eq!(decode(&vec![0; len], JIFFY), Err(Malformed::Size), "{len} bytes");
        }
        assert_eq!(decode(&[0; 168], JIFFY), Err(Malformed::Value));
        assert_eq!(decode(&[0xff; 168], JIFFY), Err(Malformed::Value));
        for nonsense in [
            changed(|r| r.kind = 9),
            changed(|r| r.family = 1),
            changed(|r| r.old_state = 13),
            changed(|r| r.socket = SOCKET_TIME_WAIT),
            changed(|r| (r.kind, r.socket) = (KIND_SEND_RESET, 4)),
        ] {
            assert_eq!(event(&nonsense, JIFFY), None, "{nonsense:?}");
        }
    }

    #[test]
    fn who_opened_shows_in_the_sequence_numbers_that_were_used() {
        let rows = [
            ("a server", changed(|_| {}), Role::Server),
            ("a client's SYN was acknowledged too", changed(|r| r.bytes_acked += 1), Role::Client),
            ("a response is in flight", changed(|r| (r.snd_una, r.bytes_acked) = (5_100, 100)), Role::Server),
            ("some was sent twice", changed(|r| (r.bytes_sent, r.bytes_retrans) = (250, 50)), Role::Server),
            (
                "our FIN is in flight",
                changed(|r| (r.old_state, r.snd_nxt, r.write_seq) = (4, 5_201, 5_201)),
                Role::Server,
            ),
            (
                "our FIN was acknowledged",
                changed(|r| {
                    (r.old_state, r.snd_una, r.snd_nxt, r.write_seq) = (5, 5_201, 5_201, 5_201);
                    r.bytes_acked += 1;
                }),
                Role::Server,
            ),
            (
                "our FIN waits behind payload",
                changed(|r| (r.old_state, r.write_seq) = (4, 5_301)),
                Role::Server,
            ),
            ("a repaired socket", changed(|r| r.bytes_acked = 0), Role::Unknown),
            ("nothing was sent", changed(|r| (r.bytes_sent, r.bytes_acked) = (0, 0)), Role::Server),
            ("after CLOSE", changed(|r| r.old_state = 7), Role::Unknown),
            ("a SYN was sent", changed(|r| r.old_state = 2), Role::Client),
        ];
        for (name, record, role) in rows {
            assert_eq!(socket_of(&record).role, role, "{name}");
        }
    }

    #[test]
    fn the_last_payload_is_told_by_times_and_within_a_jiffy_by_sequence_numbers() {
        let tie = |change: fn(&mut Record)| {
            changed(move |r| {
                r.since_sent = r.since_received;
                change(r);
            })
        };
        let rows = [
            ("sent later", changed(|_| {}), LastPayload::Local),
            ("received later", changed(|r| r.since_received = 10), LastPayload::Remote),
            ("nothing received", changed(|r| r.bytes_received = 0), LastPayload::Local),
            ("nothing sent", changed(|r| r.bytes_sent = 0), LastPayload::Remote),
            (
                "only a FIN received",
                changed(|r| (r.bytes_sent, r.bytes_received, r.flags) = (0, 1, FLAG_PEER_FIN)),
                LastPayload::None,
            ),
            ("tie: a bare ACK came behind all payload", tie(|_| {}), LastPayload::Local),
            (
                "tie: the bare ACK may have answered a keepalive probe",
                tie(|r| r.since_ack = 2_000),
                LastPayload::Unknown,
            ),
            ("tie: payload carried the last ACK", tie(|r| r.snd_wl1 = 9_000), LastPayload::Remote),
            (
                "tie: ours is not acknowledged yet",
                tie(|r| (r.snd_una, r.snd_wl1) = (5_000, 9_000)),
                LastPayload::Local,
            ),
            ("tie: a FIN blurs it", tie(|r| r.flags = FLAG_PEER_FIN), LastPayload::Unknown),
            (
                "tie: our own FIN blurs it",
                tie(|r| (r.old_state, r.snd_nxt, r.write_seq) = (4, 5_201, 5_201)),
                LastPayload::Unknown,
            ),
        ];
        for (name, record, last) in rows {
            assert_eq!(socket_of(&record).traffic.last_payload, last, "{name}");
        }
    }

    #[test]
    fn a_received_fin_is_no_payload_whether_it_was_read_or_not() {
        for copied_seq in [9_100, 9_101] {
            let record = changed(|r| {
                (r.flags, r.rcv_nxt, r.bytes_received, r.copied_seq) =
                    (FLAG_PEER_FIN, 9_101, 101, copied_seq);
            });
            let traffic = socket_of(&record).traffic;
            assert_eq!((traffic.received, traffic.unread, traffic.first_rcv_seq), (100, 0, 9_000));
        }
    }

    #[test]
    fn our_fin_stands_behind_the_payload_and_is_none() {
        let record = changed(|r| (r.old_state, r.snd_nxt, r.write_seq) = (4, 5_201, 5_201));
        let traffic = socket_of(&record).traffic;
        assert_eq!((traffic.payload_end, traffic.unacknowledged), (5_200, 0));
    }

    #[test]
    fn ages_in_jiffies_become_moments() {
        let traffic = socket_of(&idle_server()).traffic;
        assert_eq!(traffic.last_received, KernelNs(50_000_000_000));
        assert_eq!(traffic.last_sent, KernelNs(50_004_000_000));
    }

    #[test]
    fn addresses_of_every_family_are_shown_as_people_write_them() {
        let mapped = |tail: [u8; 4]| {
            let mut address = [0; 16];
            address[10..12].copy_from_slice(&[0xff, 0xff]);
            address[12..].copy_from_slice(&tail);
            address
        };
        let rows = [
            (idle_server(), "10.0.0.1:80"),
            (changed(|r| (r.family, r.local_addr) = (AF_INET6, mapped([10, 0, 0, 1]))), "10.0.0.1:80"),
            (
                changed(|r| {
                    (r.family, r.local_addr) = (AF_INET6, [0; 16]);
                    r.local_addr[15] = 1;
                }),
                "[::1]:80",
            ),
        ];
        for (record, local) in rows {
            assert_eq!(flow(&record).unwrap().local.to_string(), local);
        }
    }
}
