//! Short words for what the wire shows and the tracer says.

use crate::oracle::evidence::Evidence;
use crate::testbed::reset::Reset;

/// What the wire shows of the RSTs and the last request.
pub(crate) fn describe_wire(evidence: &Evidence) -> String {
    let mut parts = Vec::new();
    for (from_to, count) in [("S→C", evidence.rsts_from_server), ("C→S", evidence.rsts_from_client)] {
        match count {
            0 => {}
            1 => parts.push(format!("{from_to} R")),
            _ => parts.push(format!("{from_to} R×{count}")),
        }
    }
    if parts.is_empty() {
        parts.push("no RST".to_owned());
    }
    parts.extend(evidence.idle.map(|idle| format!("idle {idle:.3} s")));
    parts.extend(
        evidence.request_to_end.first().map(|end| format!("{} after {:.1} ms", end.by, end.seconds * 1e3)),
    );
    parts.join(", ")
}

/// The tracer's line in short.
pub(crate) fn describe(reset: &Reset) -> String {
    let direction = reset.direction.as_deref().unwrap_or("-");
    let mut words = vec![format!("{} {direction}", reset.ended_by), reset.role.clone(), reset.cause.clone()];
    if let Some(race) = &reset.race {
        words[2] = format!("{}/{race}", reset.cause);
    }
    words.push(format!("read {}", reset.request_read));
    words.extend(reset.mechanism.clone());
    words.extend(reset.errno.clone());
    if reset.rst_segments > 1 {
        words.push(format!("R×{}", reset.rst_segments));
    }
    words.push(reset.idle_seconds.map_or("idle unknown".to_owned(), |idle| format!("idle {idle:.3}")));
    words.join(" ")
}
