//! Requests that a FIN left without an answer.

use super::*;

#[test]
fn a_first_upload_that_is_cut_was_a_request_unless_its_server_answers_nobody() {
    // Pieces of an upload arrive from 1.000 s on, for so long; then the server closes without a word.
    let cut = |milliseconds: u64, answers: Option<bool>, bytes: u32| {
        let end = ms(1_000 + milliseconds);
        let socket = change(server(), |s| {
            (s.traffic.sent, s.traffic.received) = (0, bytes.into());
            (s.traffic.segments_sent, s.traffic.segments_received) = (0, 40);
            (s.traffic.last_sent, s.traffic.last_received) = (ms(1_000), end);
            s.traffic.last_payload = LastPayload::Remote;
            s.traffic.received_since_ack = Some(bytes);
        });
        let fin = Some(FirstFin::new(end, Side::Local, &socket));
        let ended = Incident { at: end, fin, ..incident(Ending::Fin { by: Side::Local, socket }) };
        let knowledge = Knowledge { answers, ..Knowledge::default() };
        let context = Context { facts: &facts(), policy: RacePolicy::default(), knowledge };
        classify(&ended, None, None, context).map(|verdict| verdict.cause)
    };
    let lost = Some(Cause::AwaitingResponse);
    for (milliseconds, answers, bytes, cause) in [
        (200, None, 50_000, lost),
        (200, None, 3_000, None),
        (5_000, None, 50_000, None),
        (5_000, Some(true), 50_000, lost),
        (200, Some(false), 50_000, None),
    ] {
        let what = format!("{milliseconds} ms, {answers:?}, {bytes} bytes");
        assert_eq!(cut(milliseconds, answers, bytes), cause, "{what}");
    }
}
