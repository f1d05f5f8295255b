//! How often the daemon is right where being wrong costs most: races, requests that may be sent again, and both ends of
//! one connection.

use std::collections::HashMap;
use std::fmt;

use crate::soak::kinds::{Kind, Request};
use crate::testbed::reset::Reset;

/// One answer of yes or no, given many times.
#[derive(Clone, Copy, Default)]
struct Score {
    right: u32,
    wrong: u32,
    missed: u32,
}

impl Score {
    fn add(&mut self, said: bool, is: bool) {
        match (said, is) {
            (true, true) => self.right += 1,
            (true, false) => self.wrong += 1,
            (false, true) => self.missed += 1,
            (false, false) => {}
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { right, wrong, missed } = *self;
        let share = |of: u32| if of == 0 { 1.0 } else { f64::from(right) / f64::from(of) };
        write!(out, "{right} right, {wrong} wrong, {missed} missed: ")?;
        write!(out, "precision {:.4}, recall {:.4}", share(right + wrong), share(right + missed))
    }
}

/// The figures of a soak.
#[derive(Default)]
pub(crate) struct Figures {
    /// `keepalive_race`, at both ends.
    race: Score,
    /// `request_read` `never`, at the server.
    never_at_server: Score,
    /// The same at the client.
    never_at_client: Score,
    /// What was said of the first end of each connection that is named, until the second comes.
    first: HashMap<String, Reset>,
    /// Servers' lines that do not say `never` though nothing was read.
    not_never: Vec<String>,
    joined: usize,
    /// Both ends of a connection, with different causes or races, or not judged together.
    disagree: Vec<String>,
}

impl Figures {
    /// Adds what was said of one end of a connection of this kind.
    pub(crate) fn add(&mut self, kind: &Kind, side: &str, line: &Reset) {
        let causes = if side == "S" { kind.server } else { kind.client };
        self.race.add(line.cause == "keepalive_race", causes == ["keepalive_race"]);
        let never = if side == "S" { &mut self.never_at_server } else { &mut self.never_at_client };
        if side == "S" && kind.request == Request::Untouched && line.request_read != "never" {
            self.not_never.push(format!("{}: {line:?}", kind.name));
        }
        if kind.request != Request::Unproven {
            never.add(line.request_read == "never", kind.request == Request::Untouched);
        }
        self.join(kind, line);
    }

    /// Nothing was said of an end of which something had to be.
    pub(crate) fn miss(&mut self, kind: &Kind, side: &str) {
        let causes = if side == "S" { kind.server } else { kind.client };
        self.race.add(false, causes == ["keepalive_race"]);
        let never = if side == "S" { &mut self.never_at_server } else { &mut self.never_at_client };
        never.add(false, kind.request == Request::Untouched);
    }

    fn join(&mut self, kind: &Kind, line: &Reset) {
        let Some(connection) = &line.connection else { return };
        let Some(other) = self.first.remove(connection) else {
            self.first.insert(connection.clone(), line.clone());
            return;
        };
        self.joined += 1;
        let told =
            |line: &Reset| (line.cause.clone(), line.race.clone(), line.request_read.clone(), line.twin);
        if told(&other) != told(line) || !line.twin {
            self.disagree.push(format!("{}: {other:?} and {line:?}", kind.name));
        }
    }

    /// What is not as it should be.
    pub(crate) fn differences(&self) -> Vec<String> {
        let mut differences = self.disagree.iter().take(2).cloned().collect::<Vec<_>>();
        if self.disagree.len() > 2 {
            differences.push(format!("{} twins disagree", self.disagree.len()));
        }
        for (what, score) in
            [("never, at the server", self.never_at_server), ("never, at the client", self.never_at_client)]
        {
            if score.wrong > 0 {
                differences.push(format!("request_read: {what}: {score}"));
            }
        }
        // Of a hundred, one may have met a socket that kept no proof.
        if self.never_at_server.missed * 100 > self.never_at_server.right {
            differences.push(format!("request_read: never, at the server: {}", self.never_at_server));
            differences.extend(self.not_never.iter().take(2).cloned());
        }
        differences
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "keepalive_race               {}", self.race)?;
        writeln!(out, "request_read never  S        {}", self.never_at_server)?;
        writeln!(out, "request_read never  C        {}", self.never_at_client)?;
        writeln!(out, "twins                        {} joined, {} disagree", self.joined, self.disagree.len())
    }
}
