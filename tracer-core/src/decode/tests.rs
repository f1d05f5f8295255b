use tracer_common::{BY_PEER, BY_US, FLAG_PEER_FIN, MAX_PATH, METHOD_NONE, METHOD_OTHER, RecordWithLine};

use super::*;
use crate::model::{LastPayload, Role, SocketSnapshot};

const NONE: RequestLine = RequestLine::NONE;

fn jiffy() -> Jiffy {
    Jiffy::of_hz(250).unwrap()
}

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
    (record.data_segs_out, record.data_segs_in) = (2, 1);
    (record.snd_una, record.snd_nxt, record.write_seq) = (5_200, 5_200, 5_200);
    (record.rcv_nxt, record.copied_seq, record.snd_wl1) = (9_100, 9_100, 9_100);
    (record.since_sent, record.since_received, record.since_ack) = (2_499, 2_500, 2_490);
    record
}

fn zeroed() -> Record {
    Record::read_from_bytes(&[0; size_of::<Record>()]).unwrap()
}

fn socket_of(record: &Record) -> SocketSnapshot {
    match without_line(record).expect("a valid record").kind {
        EventKind::Fin { socket, .. }
        | EventKind::Close { socket, .. }
        | EventKind::ReceiveReset { socket, .. } => socket,
        EventKind::SendReset { reset, .. } => panic!("not about a socket: {reset:?}"),
    }
}

fn changed(change: impl Fn(&mut Record)) -> Record {
    let mut record = idle_server();
    change(&mut record);
    record
}

fn without_line(record: &Record) -> Option<Event> {
    event(record, &NONE, jiffy())
}

fn with_line(method: u8, path_len: u8, by: u8) -> Option<Event> {
    let path = [b'/'; MAX_PATH];
    let line = RequestLine { method, path_len, by, path, ..NONE };
    event(&changed(|record| record.kind = KIND_RECEIVE_RESET), &line, jiffy())
}

#[test]
fn a_request_line_is_what_the_kernel_side_found() {
    let line = |method, path_len, by| with_line(method, path_len, by).expect("a valid record").request_line;
    assert_eq!(line(METHOD_NONE, 0, 0), None);
    let found = line(METHOD_OTHER, 2, BY_PEER).expect("there is one");
    assert_eq!((found.method.name(), found.path.as_deref(), found.by), ("other", Some("//"), Side::Remote));
}

#[test]
fn bytes_that_are_no_record_are_told_apart_from_records_that_make_no_sense() {
    const SIZES: [usize; 2] = [size_of::<Record>(), size_of::<RecordWithLine>()];
    for len in [0, 1, SIZES[0] - 1, SIZES[0] + 1, SIZES[1] - 1, SIZES[1] + 1, 2 * SIZES[1]] {
        assert_eq!(decode(&vec![0; len], jiffy()), Err(Malformed::Size), "{len} bytes");
    }
    for len in SIZES {
        assert_eq!(decode(&vec![0; len], jiffy()), Err(Malformed::Value));
        assert_eq!(decode(&vec![0xff; len], jiffy()), Err(Malformed::Value));
    }
    for nonsense in [
        changed(|r| r.kind = 9),
        changed(|r| r.family = 1),
        changed(|r| r.old_state = 13),
        changed(|r| r.socket = SOCKET_TIME_WAIT),
        changed(|r| (r.kind, r.socket) = (KIND_SEND_RESET, 4)),
        changed(|r| (r.kind, r.socket) = (KIND_SEND_RESET, SOCKET_NONE)),
        changed(|r| (r.kind, r.socket) = (KIND_SEND_RESET, SOCKET_LISTENER)),
        changed(|r| (r.kind, r.socket) = (KIND_SEND_RESET, SOCKET_TIME_WAIT)),
    ] {
        assert_eq!(without_line(&nonsense), None, "{nonsense:?}");
    }
    for (method, path_len, by) in [(11, 1, BY_US), (1, 65, BY_US), (1, 1, 0)] {
        assert_eq!(with_line(method, path_len, by), None, "{method} {path_len} {by}");
    }
}

#[test]
fn only_a_connections_own_socket_resets_without_a_segment_to_answer() {
    for socket in [SOCKET_NONE, SOCKET_FULL, SOCKET_TIME_WAIT, SOCKET_LISTENER] {
        let kind = |flags| {
            without_line(&changed(|r| (r.kind, r.socket, r.flags) = (KIND_SEND_RESET, socket, flags)))
        };
        let kind = |flags| kind(flags).map(|event| event.kind);
        let answers =
            matches!(kind(FLAG_SEGMENT), Some(EventKind::SendReset { reset: SendReset::Passive { .. }, .. }));
        let acts = matches!(kind(0), Some(EventKind::SendReset { reset: SendReset::Active(_), .. }));
        assert_eq!((answers, acts), (true, socket == SOCKET_FULL), "{socket}");
    }
}

#[test]
fn who_opened_shows_in_the_sequence_numbers_that_were_used() {
    let rows = [
        ("a server", changed(|_| {}), Some(Role::Server)),
        ("a client's SYN was acknowledged too", changed(|r| r.bytes_acked += 1), Some(Role::Client)),
        (
            "a response is in flight",
            changed(|r| (r.snd_una, r.bytes_acked) = (5_100, 100)),
            Some(Role::Server),
        ),
        ("some was sent twice", changed(|r| (r.bytes_sent, r.bytes_retrans) = (250, 50)), Some(Role::Server)),
        (
            "our FIN is in flight",
            changed(|r| (r.old_state, r.snd_nxt, r.write_seq) = (4, 5_201, 5_201)),
            Some(Role::Server),
        ),
        (
            "our FIN was acknowledged",
            changed(|r| {
                (r.old_state, r.snd_una, r.snd_nxt, r.write_seq) = (5, 5_201, 5_201, 5_201);
                r.bytes_acked += 1;
            }),
            Some(Role::Server),
        ),
        (
            "our FIN waits behind payload",
            changed(|r| (r.old_state, r.write_seq) = (4, 5_301)),
            Some(Role::Server),
        ),
        ("a repaired socket", changed(|r| r.bytes_acked = 0), None),
        ("nothing was sent", changed(|r| (r.bytes_sent, r.bytes_acked) = (0, 0)), Some(Role::Server)),
        ("after CLOSE", changed(|r| r.old_state = 7), None),
        ("a SYN was sent", changed(|r| r.old_state = 2), Some(Role::Client)),
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
            (r.flags, r.rcv_nxt, r.bytes_received, r.copied_seq) = (FLAG_PEER_FIN, 9_101, 101, copied_seq);
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
fn segments_with_payload_are_counted_each_way() {
    let traffic = socket_of(&idle_server()).traffic;
    assert_eq!((traffic.segments_sent, traffic.segments_received), (2, 1));
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
