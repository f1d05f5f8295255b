//! What a capture proves about a connection, judged without asking the tracer.

use std::net::SocketAddr;
use std::time::Duration;

use crate::oracle::request_line::RequestLine;
use crate::testbed::capture::{ACK, FIN, RST, SYN, Segment};

/// Bytes of the last word that the lab's servers send: a TLS `close_notify` under AES-GCM.
pub(crate) const CLOSE_NOTIFY_BYTES: u32 = 31;

/// The tracer holds an incident for 100 ms: what comes later than this may miss its line.
pub(crate) const HELD: Duration = Duration::from_millis(90);

/// The host whose interface the capture is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    /// The host that took over the server's address.
    Standby,
    Client,
}

/// The evidence of one capture about one connection. Times are in seconds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Evidence {
    pub(crate) rsts_from_server: u32,
    pub(crate) rsts_from_client: u32,
    /// RSTs that come later than the tracer's hold, which its line may not count.
    pub(crate) late_rsts: u32,
    /// From the last payload in either direction, else the establishment, to the first payload of the last request.
    pub(crate) idle: Option<f64>,
    /// From the first payload of the last request to each segment that may have ended the connection: the first RST,
    /// and each FIN.
    pub(crate) request_to_end: Vec<End>,
    /// From the server's FIN to the first payload of the last request; negative if the request came first.
    pub(crate) fin_to_request: Option<f64>,
    /// The same from the last payload of a response.
    pub(crate) since_response: Vec<End>,
    /// Both initial sequence numbers, as the contract writes them.
    pub(crate) connection: Option<String>,
    /// Requests that a response followed.
    pub(crate) answered: u32,
    /// Method and path of the last request, where it begins with a request line.
    pub(crate) request_line: Option<RequestLine>,
    /// The last request line on the wire: that of a request which was answered and goes on.
    pub(crate) latest_request_line: Option<RequestLine>,
    /// The last request came with the SYN.
    pub(crate) came_with_syn: bool,
    /// The server acknowledged the last request before the first RST.
    pub(crate) acknowledged: bool,
    /// How the last request and the server's close crossed, if they did.
    pub(crate) race: Option<&'static str>,
}

/// What may have ended a connection, and how long it took until then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    /// In the contract's words: `rst` or `fin`.
    pub(crate) by: &'static str,
    pub(crate) seconds: f64,
}

/// Weighs `segments`, in the order in which one host saw them, for the connection between these endpoints.
pub(crate) fn weigh(segments: &[Segment], client: SocketAddr, server: SocketAddr) -> Evidence {
    let of_connection = |segment: &&Segment| {
        [(client, server), (server, client)].contains(&(segment.source, segment.destination))
    };
    let segments: Vec<&Segment> = segments.iter().filter(of_connection).collect();
    // The same endpoints may have had a connection before; a SYN may have been sent more than once.
    let opens = |segment: &&&Segment| segment.has(SYN) && segment.source == client;
    let last = segments.iter().rfind(opens).map(|segment| segment.sequence);
    let first = segments.iter().position(|segment| opens(&segment) && Some(segment.sequence) == last);
    let segments = &segments[first.unwrap_or(0)..];
    let rsts = |which: &dyn Fn(&Segment) -> bool| {
        let count = segments.iter().filter(|segment| segment.has(RST) && which(segment)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    let reset = segments.iter().find(|segment| segment.has(RST)).copied();
    let fin = segments.iter().find(|segment| segment.has(FIN) && segment.source == server).copied();
    let last = last_request(segments, client);
    let response = with_payload(segments).filter(|(_, segment)| segment.source == server).last();
    let ends = ends(segments);
    let to_end =
        |from: &Segment| ends.iter().map(|&(by, end)| End { by, seconds: between(from, end) }).collect();
    Evidence {
        rsts_from_server: rsts(&|segment| segment.source == server),
        rsts_from_client: rsts(&|segment| segment.source == client),
        late_rsts: rsts(&|segment| reset.is_some_and(|first| segment.time > first.time + HELD)),
        idle: last.and_then(|last| Some(between(last.quiet_since?, last.request))),
        request_to_end: last.map_or(Vec::new(), |last| to_end(last.request)),
        fin_to_request: last.and_then(|last| Some(between(fin?, last.request))),
        since_response: response.map_or(Vec::new(), |(_, response)| to_end(response)),
        connection: connection(segments, client, server),
        answered: answered(segments, client),
        request_line: last.and_then(|last| RequestLine::of(&last.request.begin)),
        latest_request_line: with_payload(segments)
            .filter(|(_, segment)| segment.source == client)
            .filter_map(|(_, segment)| RequestLine::of(&segment.begin))
            .last(),
        came_with_syn: last.is_some_and(|last| last.request.has(SYN)),
        acknowledged: last.is_some_and(|last| acknowledged(segments, last.request)),
        race: last.and_then(|last| race(last.request, fin, reset)),
    }
}

/// The segments that may have ended the connection.
fn ends<'a>(segments: &[&'a Segment]) -> Vec<(&'static str, &'a Segment)> {
    let all = |flag| segments.iter().filter(move |segment| segment.has(flag)).copied();
    let resets = all(RST).take(1).map(|reset| ("rst", reset));
    resets.chain(all(FIN).map(|fin| ("fin", fin))).collect()
}

/// The connection's name: the initial sequence numbers of the client and of the server.
fn connection(segments: &[&Segment], client: SocketAddr, server: SocketAddr) -> Option<String> {
    let initial = |from| segments.iter().find(|segment| segment.has(SYN) && segment.source == from);
    Some(format!("{:08x}{:08x}", initial(client)?.sequence, initial(server)?.sequence))
}

#[derive(Clone, Copy)]
struct LastRequest<'a> {
    /// Its first segment.
    request: &'a Segment,
    /// The payload before it, else the client's part of the handshake that established the connection.
    quiet_since: Option<&'a Segment>,
}

/// A request is a run of payload from the client that starts after a response, or is the first.
fn last_request<'a>(segments: &[&'a Segment], client: SocketAddr) -> Option<LastRequest<'a>> {
    let opened = segments.iter().any(|segment| segment.has(SYN));
    let established = segments
        .iter()
        .find(|segment| opened && !segment.has(SYN) && segment.has(ACK) && segment.source == client);
    let mut before: Option<&Segment> = None;
    let mut last = None;
    for (at, segment) in with_payload(segments) {
        if segment.source != client && is_close_notify(&segments[at..]) {
            continue;
        }
        if segment.source == client && before.is_none_or(|before| before.source != client) {
            last = Some(LastRequest { request: segment, quiet_since: before.or(established.copied()) });
        }
        before = Some(segment);
    }
    last
}

fn answered(segments: &[&Segment], client: SocketAddr) -> u32 {
    let (mut answered, mut open) = (0, false);
    for (at, segment) in with_payload(segments) {
        if segment.source == client {
            open = true;
        } else if open && !is_close_notify(&segments[at..]) {
            answered += 1;
            open = false;
        }
    }
    answered
}

/// The segments with payload, and where they are. A retransmission is not when something was said: a kernel makes one
/// of what lies in a held queue for 200 ms.
fn with_payload<'a>(segments: &[&'a Segment]) -> impl Iterator<Item = (usize, &'a Segment)> {
    segments.iter().copied().enumerate().filter(|&(at, segment)| {
        segment.payload > 0 && !segments[..at].iter().any(|earlier| earlier.repeats(segment))
    })
}

/// A few bytes of the server's with its FIN at their heels are no response.
fn is_close_notify(segments: &[&Segment]) -> bool {
    let [close_notify, after @ ..] = segments else { return false };
    let next = after.iter().find(|segment| segment.source == close_notify.source);
    close_notify.payload == CLOSE_NOTIFY_BYTES
        && (close_notify.has(FIN) || next.is_some_and(|next| next.has(FIN)))
}

/// The request met the server's FIN, or the RST of a close that had no FIN.
fn race(request: &Segment, fin: Option<&Segment>, reset: Option<&Segment>) -> Option<&'static str> {
    match fin {
        Some(fin) if request.acknowledgement == fin.sequence.wrapping_add(fin.payload).wrapping_add(1) => {
            Some("fin_unprocessed")
        }
        Some(_) => Some("fin_in_flight"),
        None => reset.map(|_| "fin_not_sent"),
    }
}

/// Whether a segment before the first RST says that the request has arrived.
fn acknowledged(segments: &[&Segment], request: &Segment) -> bool {
    let end = request.sequence.wrapping_add(request.payload);
    let until_reset = segments.iter().take_while(|segment| !segment.has(RST));
    until_reset.into_iter().any(|segment| {
        segment.source == request.destination && segment.acknowledgement.wrapping_sub(end).cast_signed() >= 0
    })
}

/// Seconds from `earlier` to `later`, negative if it was the other way round.
fn between(earlier: &Segment, later: &Segment) -> f64 {
    later.time.as_secs_f64() - earlier.time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CLIENT: &str = "10.77.2.1:50000";
    const SERVER: &str = "10.77.1.1:8080";

    /// `who flags ms sequence acknowledgement payload`.
    fn segment(line: &str) -> Segment {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [who, flags, rest @ ..] = words.as_slice() else { panic!("{line}") };
        let [ms, sequence, acknowledgement, payload] =
            [0, 1, 2, 3].map(|index| rest[index].parse::<u32>().unwrap());
        let (source, destination) = if *who == "C" { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        Segment {
            time: Duration::from_millis(ms.into()),
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            flags: flags.chars().map(bit).sum(),
            sequence,
            acknowledgement,
            payload,
            begin: Vec::new(),
        }
    }

    fn bit(letter: char) -> u8 {
        match letter {
            'S' => SYN,
            'F' => FIN,
            'R' => RST,
            _ => ACK,
        }
    }

    #[track_caller]
    fn check(lines: &str, expected: &str) {
        let segments: Vec<Segment> = lines.lines().map(segment).collect();
        let evidence = weigh(&segments, CLIENT.parse().unwrap(), SERVER.parse().unwrap());
        let ms =
            |seconds: Option<f64>| seconds.map_or("-".into(), |seconds| format!("{:.0}", seconds * 1000.0));
        let first = |ends: &[End]| ms(ends.first().map(|end| end.seconds));
        let said = format!(
            "R {}/{} idle {} reset {} fin {} response {} {}",
            evidence.rsts_from_server,
            evidence.rsts_from_client,
            ms(evidence.idle),
            first(&evidence.request_to_end),
            ms(evidence.fin_to_request),
            first(&evidence.since_response),
            evidence.race.unwrap_or("-"),
        );
        assert_eq!(said, expected);
    }

    const EXCHANGE: &str =
        "C S 0 9 0 0\nS SA 0 99 10 0\nC A 1 10 100 0\nC A 2 10 100 5\nS A 3 100 15 7\nC A 3 15 107 0";

    #[test]
    fn a_request_crosses_the_fin() {
        let lines = format!(
            "{EXCHANGE}\nS FA 600 107 15 0\nC A 603 15 107 5\nS R 603 107 0 0\nC A 610 20 108 0\nS R 610 108 0 0"
        );
        check(&lines, "R 2/0 idle 600 reset 0 fin 3 response 600 fin_in_flight");
    }

    #[test]
    fn a_request_follows_the_fin() {
        let lines =
            format!("{EXCHANGE}\nS FA 600 107 15 0\nC A 600 15 108 0\nC A 700 15 108 5\nS R 701 108 0 0");
        check(&lines, "R 1/0 idle 697 reset 1 fin 100 response 698 fin_unprocessed");
    }

    #[test]
    fn a_request_is_acknowledged_and_reset() {
        let lines = format!("{EXCHANGE}\nC A 600 15 107 5\nS A 600 107 20 0\nS RA 650 107 20 0");
        check(&lines, "R 1/0 idle 597 reset 50 fin - response 647 fin_not_sent");
    }

    #[test]
    fn a_request_is_only_reset() {
        let lines = format!("{EXCHANGE}\nC A 600 15 107 5\nS RA 601 107 20 0");
        check(&lines, "R 1/0 idle 597 reset 1 fin - response 598 fin_not_sent");
    }

    #[test]
    fn a_request_is_thrown_away_behind_the_fin() {
        let lines =
            format!("{EXCHANGE}\nS FA 600 107 15 0\nC A 603 15 107 5\nS A 604 108 20 0\nC FA 610 20 108 0");
        check(&lines, "R 0/0 idle 600 reset -3 fin 3 response 597 fin_in_flight");
    }

    #[test]
    fn a_connection_is_named_by_both_initial_sequence_numbers() {
        let segments: Vec<Segment> = EXCHANGE.lines().map(segment).collect();
        let evidence = weigh(&segments, CLIENT.parse().unwrap(), SERVER.parse().unwrap());
        assert_eq!(evidence.connection.as_deref(), Some("0000000900000063"));
    }

    #[test]
    fn a_close_notify_is_no_response() {
        let lines = format!(
            "{EXCHANGE}\nS A 600 107 15 31\nS FA 600 138 15 0\nC A 600 15 139 0\nC A 700 15 139 5\nS R 701 139 0 0"
        );
        check(&lines, "R 1/0 idle 697 reset 1 fin 100 response 101 fin_unprocessed");
    }

    #[test]
    fn a_retransmission_is_not_when_it_was_said() {
        let lines = format!(
            "{EXCHANGE}\nS A 600 107 15 31\nS FA 600 138 15 0\nS FA 815 107 15 31\nC A 850 15 139 5\nS R 851 139 0 0"
        );
        check(&lines, "R 1/0 idle 847 reset 1 fin 250 response 251 fin_unprocessed");
    }

    #[test]
    fn requests_count_once_they_are_answered() {
        let count = |lines: &str| {
            let segments: Vec<Segment> = lines.lines().map(segment).collect();
            answered(&segments.iter().collect::<Vec<_>>(), CLIENT.parse().unwrap())
        };
        assert_eq!(count(EXCHANGE), 1);
        let next = format!("{EXCHANGE}\nC A 600 15 107 5\nC A 600 20 107 5");
        assert_eq!(count(&next), 1);
        assert_eq!(count(&format!("{next}\nS A 601 107 25 7\nS A 601 114 25 7")), 2);
        assert_eq!(count(&format!("{next}\nS A 601 107 25 31\nS FA 601 138 25 0")), 1);
    }

    #[test]
    fn the_first_request_idles_from_establishment() {
        check(EXCHANGE, "R 0/0 idle 1 reset - fin - response - -");
    }

    #[test]
    fn a_syn_that_is_sent_again_begins_no_other_connection() {
        let lines = "C S 0 9 0 0\nS SA 1 1 1 0\nC R 1 1 0 0\nC S 9 9 0 0";
        check(lines, "R 0/1 idle - reset - fin - response - -");
    }

    #[test]
    fn an_unknown_connection_has_no_idle_time() {
        check("C A 600 15 107 5\nS R 600 107 0 0", "R 1/0 idle - reset 0 fin - response - fin_not_sent");
    }
}
