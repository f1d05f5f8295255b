//! What must hold for any sequence of events, sensible or not.

mod support;

use std::{collections::HashSet, time::Duration};

use proptest::prelude::*;
use support::{JIFFY, PAYLOAD_END, RCV_NXT, flow, ms, rules};
use tracer_core::{
    classify::cause::Cause,
    classify::rules::classify,
    decode::decode,
    matching::incident::{Holder, MatchedReset, Trigger},
    matching::matcher::{Matcher, Outcome},
    model::event::{Event, EventKind, LastPayload, Origin, Role, Segment, Side, Socket, TcpState, Traffic},
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
        flags in any::<[bool; 2]>(),
    ) -> Traffic {
        let base = connection * 1_000_000_000;
        Traffic {
            sent,
            received,
            segments_sent: segments[0],
            segments_received: segments[1],
            requests: None,
            exact: false,
            last_sent: ms(times[0]),
            last_received: ms(times[1]),
            last_ack: ms(times[2]),
            last_payload,
            unacknowledged: counts[0],
            unsent: counts[1],
            unread: counts[2],
            unread_knew_all: flags[0],
            retransmitting: flags[1],
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
        role in prop::sample::select(vec![Role::Server, Role::Client, Role::Unknown]),
        flags in any::<[bool; 4]>(),
        probes_out in 0_u8..3,
        traffic in traffic(),
    ) -> Socket {
        let [orphan, peer_fin, linger_zero, no_file] = flags;
        Socket { state, role, orphan, peer_fin, linger_zero, no_file, probes_out, traffic }
    }
}

prop_compose! {
    fn segment()(connection in 0_u32..2, ack in 0_u32..3, len in 0_u32..120, opening in any::<bool>()) -> Segment {
        let base = connection * 1_000_000_000;
        Segment { seq: base + RCV_NXT, ack: base + PAYLOAD_END + ack - 1, len, opening }
    }
}

/// A passive reset without a segment does not exist: `decode` would not make one, but the matcher must not care.
fn kind() -> impl Strategy<Value = EventKind> {
    let side = prop::sample::select(vec![Side::Local, Side::Remote]);
    let reason = prop::option::of(0_u32..20);
    let closed = prop_oneof![
        (RCV_NXT..RCV_NXT + 200).prop_map(|rcv_nxt| Origin::TimeWait { rcv_nxt }),
        Just(Origin::Listener),
        Just(Origin::NoSocket),
    ];
    prop_oneof![
        (side, socket()).prop_map(|(by, socket)| EventKind::Fin { by, socket }),
        socket().prop_map(|socket| EventKind::Close { socket }),
        socket().prop_map(|socket| EventKind::ReceiveReset { socket, request_line: None }),
        (socket(), prop::option::of(segment()), reason.clone()).prop_map(|(socket, segment, reason)| {
            EventKind::SendReset { origin: Origin::Connection(socket), segment, reason, request_line: None }
        }),
        (closed, segment(), reason).prop_map(|(origin, segment, reason)| EventKind::SendReset {
            origin,
            segment: Some(segment),
            reason,
            request_line: None,
        }),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (kind(), 0_u64..90_000, 0_u16..3, 1_u32..3).prop_map(|(kind, at, port, netns)| {
        let mut flow = flow(40_000 + port);
        flow.netns = netns;
        Event { at: ms(at), flow, kind }
    });
    prop::collection::vec(event, 0..60)
}

fn run(events: &[Event], room: usize) -> Vec<Outcome> {
    let mut matcher = Matcher::new(ms(0), room);
    for event in events {
        matcher.handle(event.clone());
    }
    matcher.flush();
    matcher.outcomes().collect()
}

fn resets(outcomes: &[Outcome]) -> impl Iterator<Item = &MatchedReset> {
    outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Reset(reset) => Some(&**reset),
        _ => None,
    })
}

proptest! {
    #[test]
    fn every_reset_event_is_one_segment_of_one_incident(events in events(), room in 16_usize..20) {
        let outcomes = run(&events, room);
        let ids: HashSet<u64> = resets(&outcomes).map(|reset| reset.id).collect();
        prop_assert_eq!(ids.len(), resets(&outcomes).count(), "an incident came out twice");

        let later = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Segment { .. })).count();
        let counted: usize = resets(&outcomes).map(|reset| reset.segments as usize).sum::<usize>() + later;
        // A receive that turns out to be the kernel aborting an orphan was no segment.
        let taken_back = resets(&outcomes).filter(|reset| reset.own_abort).count();
        let seen = events.iter().filter(|event| {
            matches!(event.kind, EventKind::ReceiveReset { .. } | EventKind::SendReset { .. })
        });
        prop_assert_eq!(counted + taken_back, seen.count());
    }

    #[test]
    fn every_reset_gets_one_cause_and_no_invented_time(events in events()) {
        let outcomes = run(&events, 1_000);
        for reset in resets(&outcomes) {
            let verdict = classify(reset, &rules());
            prop_assert_eq!(verdict.race.is_some(), verdict.cause == Cause::KeepaliveRace);
            prop_assert_eq!(verdict.mechanism.is_none(), reset.trigger == Trigger::Received);
            if reset.socket.is_none() {
                let times = (verdict.idle, verdict.request_to_reset, verdict.since_response);
                prop_assert_eq!(times, (None, None, None), "times without a socket");
            }
            if reset.role == Role::Unknown {
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
        prop_assert_eq!(run(&events, 1_000), run(&events, 1_000));
    }

    #[test]
    fn a_reset_of_nothing_known_claims_nothing_of_a_request(events in events()) {
        let outcomes = run(&events, 1_000);
        for reset in resets(&outcomes) {
            let nothing = matches!(reset.holder, Holder::NoSocket | Holder::Listener | Holder::TimeWait)
                && reset.socket.is_none();
            let cause = classify(reset, &rules()).cause;
            let modest = [Cause::Refused, Cause::BacklogOverflow, Cause::StaleConnection, Cause::Unknown];
            prop_assert!(!nothing || modest.contains(&cause), "{:?} for {:?}", cause, reset);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..340)) {
        let _ = decode(&bytes, JIFFY);
    }

    #[test]
    fn whole_records_of_any_content_run_through_everything(
        mut records in prop::collection::vec(prop::collection::vec(any::<u8>(), 168), 0..20),
        shapes in prop::collection::vec((1_u8..5, 0_u8..4, 1_u8..13), 20),
    ) {
        let mut matcher = Matcher::new(ms(0), 16);
        for (record, (kind, socket, state)) in records.iter_mut().zip(shapes) {
            // Mostly valid where the decoder looks, anything elsewhere.
            record[56..60].copy_from_slice(&u32::from(kind).to_ne_bytes());
            record[156..158].copy_from_slice(&2_u16.to_ne_bytes());
            (record[160], record[161], record[162]) = (state, state, socket);
            if let Ok(event) = decode(record, JIFFY) {
                matcher.handle(event);
            }
        }
        matcher.flush();
        for outcome in matcher.outcomes() {
            if let Outcome::Reset(reset) = outcome {
                let _ = classify(&reset, &rules());
            }
        }
    }
}
