//! What must hold for any sequence of events, sensible or not.

use std::{
    collections::{HashMap, HashSet},
    mem::{offset_of, swap},
    time::Duration,
};

use proptest::prelude::*;
use tracer_common::{Record, RecordWithLine, RequestLine};

use crate::{
    classify::{Cause, Ended, ExplainedIncident, IncidentView, RacePolicy, RequestRead},
    decode::decode,
    engine::{Engine, EngineOptions, Outcome},
    matching::{Ending, Found, IDLE, Incident, Matched, Matcher},
    model::{
        Event, EventKind, Flow, KernelNs, LastPayload, Role, Segment, SendReset, ServerPorts, Side, Silence,
        SocketKind, SocketSnapshot, TcpState, Traffic, WallClock,
    },
    testing::{PAYLOAD_END, RCV_NXT, facts, flow, jiffy, ms},
};

const STATES: [TcpState; 11] = [
    TcpState::Established,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::TimeWait,
    TcpState::Close,
    TcpState::CloseWait,
    TcpState::LastAck,
    TcpState::Listen,
    TcpState::Closing,
];

prop_compose! {
    fn traffic()(
        sent in prop::sample::select(vec![0_u64, 1, 31, 200]),
        received in prop::sample::select(vec![0_u64, 1, 100]),
        segments in prop::array::uniform2(0_u32..4),
        times in prop::array::uniform3(0_u64..5_000),
        last_payload in prop::sample::select(vec![
            LastPayload::None, LastPayload::Local, LastPayload::Remote, LastPayload::Unknown,
        ]),
        counts in prop::array::uniform3(prop::sample::select(vec![0_u32, 1, 24, 31, 500])),
        connection in 0_u32..2,
        srtt in prop::option::of(0_u64..200),
        flags in any::<[bool; 5]>(),
        since_ack in prop::sample::select(vec![0_u32, 24, 100, 600]),
    ) -> Traffic {
        let base = connection * 1_000_000_000;
        Traffic {
            sent,
            received,
            segments_sent: segments[0],
            segments_received: segments[1],
            requests: None,
            exact: false,
            last_read: ms(times[1]),
            last_sent: ms(times[0]),
            last_received: ms(times[1]),
            last_ack: ms(times[2]),
            last_payload,
            unacknowledged: counts[0],
            unsent: counts[1],
            unread: counts[2],
            unread_sent_after_full_ack: flags[0],
            unread_is_fresh: flags[2],
            read_since_sent: Some(flags[4]),
            read_behind_ack: flags[4] && flags[3],
            received_since_ack: Some(since_ack),
            acknowledged_behind_payload: flags[3],
            retransmitting: flags[1],
            first_snd_seq: base + PAYLOAD_END,
            first_rcv_seq: base + RCV_NXT,
            snd_una: base + PAYLOAD_END,
            payload_end: base + PAYLOAD_END,
            rcv_nxt: base + RCV_NXT,
            srtt: srtt.map(Duration::from_millis),
        }
    }
}

prop_compose! {
    fn socket()(
        state in prop::sample::select(STATES.to_vec()),
        role in prop::sample::select(vec![Some(Role::Server), Some(Role::Client), None]),
        flags in any::<[bool; 5]>(),
        probes_out in 0_u8..3,
        traffic in traffic(),
    ) -> SocketSnapshot {
        let [orphan, peer_fin, linger_zero, detached, half_closed] = flags;
        SocketSnapshot { state, role, orphan, peer_fin, linger_zero, detached, half_closed, probes_out, traffic }
    }
}

prop_compose! {
    fn segment()(connection in 0_u32..2, ack in 0_u32..3, len in 0_u32..120, syn in any::<[bool; 2]>()) -> Segment {
        let base = connection * 1_000_000_000;
        let (seq, ack) = (base + RCV_NXT, base + PAYLOAD_END + ack - 1);
        Segment { seq, ack, len, opening: syn[0], accepting: syn[1] && !syn[0] }
    }
}

fn kind() -> impl Strategy<Value = EventKind> {
    let side = prop::sample::select(vec![Side::Local, Side::Remote]);
    let reason = prop::option::of(0_u32..20);
    let error = prop::sample::select(vec![
        None,
        Some(Silence::GivenUp),
        Some(Silence::Errno(110)),
        Some(Silence::Errno(111)),
    ]);
    let found = prop_oneof![
        socket().prop_map(SocketKind::Connection),
        (RCV_NXT..RCV_NXT + 200).prop_map(|rcv_nxt| SocketKind::TimeWait { rcv_nxt }),
        Just(SocketKind::Listener),
        Just(SocketKind::NoSocket),
    ];
    let reset = prop_oneof![
        socket().prop_map(SendReset::Active),
        (segment(), found).prop_map(|(segment, found)| SendReset::Passive { segment, found }),
    ];
    prop_oneof![
        (side, socket()).prop_map(|(by, socket)| EventKind::Fin { by, socket }),
        (socket(), error).prop_map(|(socket, error)| EventKind::Close { socket, error }),
        socket().prop_map(|socket| EventKind::ReceiveReset { socket }),
        (reset, reason).prop_map(|(reset, reason)| EventKind::SendReset { reset, reason }),
    ]
}

fn socket_of(kind: &mut EventKind) -> Option<&mut SocketSnapshot> {
    match kind {
        EventKind::Fin { socket, .. }
        | EventKind::Close { socket, .. }
        | EventKind::ReceiveReset { socket }
        | EventKind::SendReset { reset: SendReset::Active(socket), .. }
        | EventKind::SendReset {
            reset: SendReset::Passive { found: SocketKind::Connection(socket), .. },
            ..
        } => Some(socket),
        EventKind::SendReset { .. } => None,
    }
}

/// What the other end of the same connection would show in the same state.
fn seen_from_the_other_end(event: Event) -> Event {
    let Event { at, flow, mut kind, request_line } = event;
    if let Some(socket) = socket_of(&mut kind) {
        let traffic = &mut socket.traffic;
        swap(&mut traffic.first_snd_seq, &mut traffic.first_rcv_seq);
        (traffic.snd_una, traffic.payload_end, traffic.rcv_nxt) =
            (traffic.rcv_nxt, traffic.rcv_nxt, traffic.payload_end);
        socket.role = socket.role.map(|role| match role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        });
    }
    if let EventKind::SendReset { reset: SendReset::Passive { segment, .. }, .. } = &mut kind {
        swap(&mut segment.seq, &mut segment.ack);
    }
    Event { at, flow: Flow { local: flow.remote, remote: flow.local, ..flow }, kind, request_line }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (kind(), 0_u64..90_000, 0_u16..3, 1_u32..3, any::<bool>()).prop_map(
        |(mut kind, at, port, netns, other_end)| {
            let mut flow = flow(40_000 + port);
            flow.netns = netns;
            // No two connections have the same initial sequence numbers, and no end is now server, now client.
            if let Some(socket) = socket_of(&mut kind) {
                socket.traffic.first_snd_seq += u32::from(port) * 10 + netns;
                socket.role = socket.role.map(|_| if port == 2 { Role::Client } else { Role::Server });
            }
            if let EventKind::SendReset { reset: SendReset::Passive { segment, .. }, .. } = &mut kind {
                segment.seq += u32::from(port) * 10 + netns;
            }
            let event = Event { at: ms(at), flow, kind, request_line: None };
            if other_end { seen_from_the_other_end(event) } else { event }
        },
    );
    prop::collection::vec(event, 0..60)
}

fn engine(max_closed_connections: usize, server_ports: Vec<u16>) -> Engine {
    let options = EngineOptions {
        race: RacePolicy::default(),
        server_ports: ServerPorts::new(server_ports),
        own_server: None,
        max_closed_connections,
        max_servers: 2,
    };
    Engine::new(facts(), options)
}

fn run(events: &[Event], engine: &mut Engine) -> Vec<Outcome> {
    for event in events {
        engine.event(event.clone());
    }
    engine.finish();
    engine.outcomes()
}

fn resets(outcomes: &[Outcome]) -> impl Iterator<Item = &ExplainedIncident> {
    outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Incident(reset) => Some(&**reset),
        _ => None,
    })
}

/// Whether this end's numbers show that the last request was read by nobody.
fn proves_that_nobody_read(incident: &Incident, cause: Cause) -> bool {
    let Some(socket) = incident.socket() else { return cause == Cause::BacklogOverflow };
    let traffic = &socket.traffic;
    if incident.role != Some(Role::Server) {
        let no_connection = matches!(cause, Cause::Refused | Cause::Unreachable | Cause::BacklogOverflow);
        return no_connection && traffic.sent == 0;
    }
    let never_accepted = socket.detached && !socket.orphan;
    let rested = incident.fin_by(Side::Local).is_some_and(|fin| fin.rest() >= IDLE);
    let met_no_reader = incident.payload().is_some() && (rested || traffic.received == 0);
    let nothing_read = traffic.received == u64::from(traffic.unread);
    let new_and_unread = traffic.sent > 0
        && traffic.unread_sent_after_full_ack
        && !traffic.read_behind_ack
        && traffic.read_since_sent != Some(true);
    let unread = incident.by_rst() && traffic.unread > 0 && (nothing_read || new_and_unread);
    cause == Cause::BacklogOverflow || (cause == Cause::Killed && never_accepted) || met_no_reader || unread
}

proptest! {
    #[test]
    fn every_reset_event_is_one_segment_of_one_end(events in events(), room in 16_usize..20) {
        let mut matcher = Matcher::new(KernelNs(0), room);
        for event in &events {
            matcher.handle(event.clone());
        }
        matcher.flush();
        let (mut counted, mut taken_back) = (0, 0);
        for matched in matcher.matched() {
            match matched {
                Matched::Incident { incident, .. } => {
                    counted += incident.segments as usize;
                    // A receive that turns out to be the kernel aborting an orphan was no segment.
                    let aborted = matches!(incident.ending, Ending::Passive { found: Found::Aborted(_), .. });
                    taken_back += usize::from(aborted);
                }
                Matched::FurtherSegment { .. } => counted += 1,
                Matched::Close(_) => {}
            }
        }
        let seen = events.iter().filter(|event| {
            matches!(event.kind, EventKind::ReceiveReset { .. } | EventKind::SendReset { .. })
        });
        prop_assert_eq!(counted + taken_back, seen.count());
    }

    #[test]
    fn no_incident_comes_out_twice_and_both_ends_have_one_cause(mut events in events(), room in 16_usize..20) {
        events.sort_by_key(|event| event.at);
        let outcomes = run(&events, &mut engine(room, vec![]));
        let ids: HashSet<u64> = resets(&outcomes).map(|reset| reset.id).collect();
        prop_assert_eq!(ids.len(), resets(&outcomes).count(), "an incident came out twice");
        let mut causes = HashMap::new();
        for reset in resets(&outcomes).filter(|reset| reset.twin) {
            let (cause, at) = (reset.verdict.cause, reset.at());
            let told = *causes.entry(reset.connection()).or_insert((cause, at));
            // What was said is forgotten as connections that closed are.
            prop_assert!(told.0 == cause || at.since(told.1) > Duration::from_mins(1), "{:?}: {:?}", told, reset);
        }
    }

    #[test]
    fn a_request_is_called_never_read_only_where_numbers_prove_it(events in events()) {
        // Of ends of which was told before, too.
        let mut matcher = Matcher::new(KernelNs(0), 1_000);
        for event in &events {
            matcher.handle(event.clone());
        }
        matcher.flush();
        let all: Vec<_> = matcher.matched().filter_map(|matched| match matched {
            Matched::Incident { incident, .. } => Some(incident),
            _ => None,
        }).collect();
        let outcomes = run(&events, &mut engine(1_000, vec![]));
        for reset in resets(&outcomes).filter(|reset| reset.verdict.request_read == RequestRead::Never) {
            let cause = reset.verdict.cause;
            let ends: Vec<_> =
                all.iter().filter(|end| reset.twin && end.connection() == reset.connection()).collect();
            // What was never accepted was never read, by the word of the server's end.
            let twin_proves = (reset.twin && cause == Cause::BacklogOverflow)
                || ends.iter().any(|end| proves_that_nobody_read(end, cause));
            let proven = twin_proves || proves_that_nobody_read(&reset.incident, cause);
            prop_assert!(proven, "{:?} of {:?}", reset, ends);
        }
    }

    #[test]
    fn no_time_is_invented(events in events()) {
        for reset in resets(&run(&events, &mut engine(1_000, vec![]))) {
            let verdict = &reset.verdict;
            let received = matches!(reset.incident.ending, Ending::Received(_));
            prop_assert_eq!(verdict.ended == Ended::ResetReceived, received);
            if reset.incident.socket().is_none() {
                let times = (verdict.idle, verdict.request_to_reset, verdict.since_response);
                prop_assert_eq!(times, (None, None, None), "times without a socket");
            }
            if reset.role().is_none() {
                prop_assert_eq!(verdict.idle, None, "a request without a client");
            }
            // Nothing lasts longer than there is time since boot.
            for time in [verdict.idle, verdict.request_to_reset, verdict.since_response].into_iter().flatten() {
                prop_assert!(time <= Duration::from_secs(95), "{:?} of {:?}", time, reset);
            }
        }
    }

    #[test]
    fn the_same_events_give_the_same_outcomes(events in events()) {
        let said = || format!("{:?}", run(&events, &mut engine(1_000, vec![])));
        prop_assert_eq!(said(), said());
    }

    #[test]
    fn a_reset_of_nothing_known_claims_nothing_of_a_request(events in events()) {
        for reset in resets(&run(&events, &mut engine(1_000, vec![]))) {
            let modest =
                [Cause::NoRequest, Cause::Refused, Cause::BacklogOverflow, Cause::StaleConnection, Cause::Unknown];
            let cause = reset.verdict.cause;
            let is_modest = reset.unmatched().is_none() || modest.contains(&cause);
            prop_assert!(is_modest, "{:?} for {:?}", cause, reset);
        }
    }

    #[test]
    fn with_a_port_that_nobody_uses_nothing_is_remembered_and_nothing_comes_out(events in events()) {
        let mut engine = engine(1_000, vec![9]);
        prop_assert_eq!(run(&events, &mut engine).len(), 0);
        prop_assert_eq!((engine.connections(), engine.filtered()), (0, events.len() as u64));
    }

    #[test]
    fn with_the_port_of_every_server_nothing_changes(events in events()) {
        // Every flow is between port 80 here and these ports there, and either end may be the server.
        let all = vec![80, 40_000, 40_001, 40_002];
        let said = |ports| format!("{:?}", run(&events, &mut engine(1_000, ports)));
        prop_assert_eq!(said(all), said(vec![]));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..340)) {
        let _ = decode(&bytes, jiffy());
    }

    #[test]
    fn whole_records_of_any_content_run_through_everything(
        mut records in prop::collection::vec(prop::collection::vec(any::<u8>(), size_of::<RecordWithLine>()), 0..20),
        shapes in prop::collection::vec((1_u8..5, 0_u8..4, 1_u8..13), 20),
    ) {
        let mut engine = engine(16, vec![]);
        let mut now = 0;
        for (record, (kind, socket, state)) in records.iter_mut().zip(shapes) {
            // Mostly valid where the decoder looks, anything elsewhere.
            let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
            put(offset_of!(Record, kind), &u32::from(kind).to_ne_bytes());
            put(offset_of!(Record, family), &2_u16.to_ne_bytes());
            put(offset_of!(Record, old_state), &[state]);
            put(offset_of!(Record, new_state), &[state]);
            put(offset_of!(Record, socket), &[socket]);
            put(offset_of!(RecordWithLine, request_line), &[0; size_of::<RequestLine>()]);
            // What makes no sense is refused.
            let _ = engine.record(record);
            now += 1_000_000_000;
            engine.review(KernelNs(now));
        }
        engine.finish();
        for outcome in engine.outcomes() {
            if let Outcome::Incident(reset) = outcome {
                let view = IncidentView::new(&reset, WallClock::new(Duration::ZERO));
                prop_assert!(!view.to_string().is_empty());
            }
        }
    }
}
