//! What a record tells of a socket: roles, byte counts and the order of payload are worked out here, once.

use std::time::Duration;

use tracer_common::{
    FLAG_DETACHED, FLAG_LINGER_ZERO, FLAG_ORPHAN, FLAG_PEER_FIN, FLAG_REQUESTS, FLAG_RETRANSMITTING,
    RCV_SHUTDOWN, Record, SEND_SHUTDOWN,
};

use crate::model::{Jiffy, KernelNs, LastPayload, Role, SocketSnapshot, TcpState, Traffic};

/// How long an ACK may take: `TCP_DELACK_MAX` (`include/net/tcp.h`) and a wide margin. Keepalive probes wait for a
/// second at least.
const ACK_DELAY: Duration = Duration::from_millis(500);

/// The socket of a record; `None` where its state is not one.
pub(super) fn snapshot(record: &Record, jiffy: Jiffy) -> Option<SocketSnapshot> {
    let state = TcpState::from_kernel(record.old_state)?;
    let flag = |bit| record.flags & bit != 0;
    Some(SocketSnapshot {
        state,
        role: role(record, state),
        orphan: flag(FLAG_ORPHAN),
        peer_fin: flag(FLAG_PEER_FIN),
        linger_zero: flag(FLAG_LINGER_ZERO),
        detached: flag(FLAG_DETACHED),
        half_closed: record.shutdown & (SEND_SHUTDOWN | RCV_SHUTDOWN) == SEND_SHUTDOWN,
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
fn role(record: &Record, state: TcpState) -> Option<Role> {
    match state {
        TcpState::SynSent => return Some(Role::Client),
        // With payload already, where it was opened fast.
        TcpState::SynRecv => return Some(Role::Server),
        _ => {}
    }
    if matches!(state, TcpState::Close | TcpState::Listen) {
        return None;
    }
    let in_flight = u64::from(record.snd_nxt.wrapping_sub(record.snd_una));
    let fin = u64::from(fin_left(record, state));
    let used = record.bytes_acked.wrapping_add(in_flight);
    match used.wrapping_sub(payload_sent(record)).wrapping_sub(fin) {
        0 => Some(Role::Server),
        1 => Some(Role::Client),
        // Fast open and repaired sockets count otherwise: say nothing rather than something wrong.
        _ => None,
    }
}

fn traffic(record: &Record, state: TcpState, jiffy: Jiffy) -> Traffic {
    let at = KernelNs(record.at_ns);
    let ago = |jiffies: u32| at.minus(jiffy.times(jiffies));
    let (last_sent, sent_exactly) = exact(ago(record.since_sent), record.sent_ns, jiffy);
    let (last_received, read_exactly) = exact(ago(record.since_received), record.read_ns, jiffy);
    let peer_fin = peer_fin(record);
    let unread = record.rcv_nxt.wrapping_sub(record.copied_seq).saturating_sub(peer_fin);
    // The segment that last acknowledged something new began where the unread payload begins.
    let unread_begins = record.rcv_nxt.wrapping_sub(unread).wrapping_sub(peer_fin);
    Traffic {
        sent: payload_sent(record),
        received: payload_received(record),
        segments_sent: record.data_segs_out,
        segments_received: record.data_segs_in,
        requests: (record.flags & FLAG_REQUESTS != 0).then_some(record.requests),
        last_sent,
        last_received,
        exact: sent_exactly || read_exactly,
        last_read: KernelNs(record.last_read_ns),
        last_ack: ago(record.since_ack),
        last_payload: last_payload(record, state, jiffy),
        unacknowledged: unacknowledged(record, state),
        unsent: record.write_seq.wrapping_sub(record.snd_nxt),
        unread,
        unread_sent_after_full_ack: unread > 0
            && unacknowledged(record, state) == 0
            && record.snd_wl1 == unread_begins,
        unread_is_fresh: unread > 0 && record.rcv_wup == unread_begins,
        read_since_sent: read_since(record, last_sent, jiffy),
        read_behind_ack: unread > 0
            && record.rcv_wup != 0
            && unread_begins.wrapping_sub(record.rcv_wup).cast_signed() > 0,
        received_since_ack: received_since_ack(record),
        acknowledged_behind_payload: record.snd_wl1 == record.rcv_nxt,
        retransmitting: record.flags & FLAG_RETRANSMITTING != 0,
        first_snd_seq: first_snd_seq(record, state),
        first_rcv_seq: record.rcv_nxt.wrapping_sub(low_half(record.bytes_received)),
        snd_una: record.snd_una,
        payload_end: record.write_seq.wrapping_sub(u32::from(state.fin_sent())),
        rcv_nxt: record.rcv_nxt,
        srtt: (record.srtt_us != 0).then(|| Duration::from_micros(u64::from(record.srtt_us >> 3))),
    }
}

/// Whether the application read since we last sent payload, where the kernel's measure of its reads shows that.
fn read_since(record: &Record, last_sent: KernelNs, jiffy: Jiffy) -> Option<bool> {
    if record.rcv_rtt_us == 0 {
        return None;
    }
    let read = KernelNs(record.last_read_ns);
    let at_latest = read.plus(Duration::from_micros(u64::from(record.rcv_rtt_us >> 3)));
    match (read.since(last_sent) > jiffy.length(), at_latest.since(last_sent) > jiffy.length()) {
        (true, _) => Some(true),
        (false, true) => None,
        (false, false) => Some(false),
    }
}

/// What came since the peer last acknowledged something new, which is what it sent since it knew all of that; all it
/// sent, while we had sent nothing.
fn received_since_ack(record: &Record) -> Option<u32> {
    let received = low_half(payload_received(record));
    if payload_sent(record) == 0 {
        return Some(received);
    }
    let since = record.rcv_nxt.wrapping_sub(peer_fin(record)).wrapping_sub(record.snd_wl1);
    (since <= received && (since > 0 || peer_fin(record) == 0)).then_some(since)
}

/// Where our payload began: `bytes_acked` counts an active opener's SYN, see [`role`].
fn first_snd_seq(record: &Record, state: TcpState) -> u32 {
    let syn = u32::from(role(record, state) == Some(Role::Client));
    record.snd_una.wrapping_sub(low_half(record.bytes_acked)).wrapping_add(syn)
}

/// A time that is known to the tick, made exact where another source agrees with it, and whether it does. That source
/// may tell of something else: then the two disagree.
fn exact(by_tick: KernelNs, exact: u64, jiffy: Jiffy) -> (KernelNs, bool) {
    let exact = KernelNs(exact);
    let apart = exact.since(by_tick).max(by_tick.since(exact));
    if apart <= jiffy.length() { (exact, true) } else { (by_tick, false) }
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
fn last_payload(record: &Record, state: TcpState, jiffy: Jiffy) -> LastPayload {
    let no_fin = state == TcpState::Established && peer_fin(record) == 0;
    match (payload_sent(record) > 0, payload_received(record) > 0) {
        (false, false) => LastPayload::None,
        (true, false) => LastPayload::Local,
        (false, true) => LastPayload::Remote,
        _ if record.since_sent < record.since_received => LastPayload::Local,
        _ if record.since_sent > record.since_received => LastPayload::Remote,
        _ if unacknowledged(record, state) > 0 => LastPayload::Local,
        _ if no_fin && record.snd_wl1 != record.rcv_nxt => LastPayload::Remote,
        _ if no_fin && jiffy.times(record.since_sent.saturating_sub(record.since_ack)) <= ACK_DELAY => {
            LastPayload::Local
        }
        _ => LastPayload::Unknown,
    }
}
