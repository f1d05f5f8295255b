//! Walkers: each asks again and again on a connection of its own, as a pool does, and rests in between.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::servers::failures::remedy::Remedy;
use crate::testbed::wait::let_pass;
use crate::traffic::session::{Head, Session};

/// As long as a client's are: what is shorter could be a last word.
const HEADERS: &str = "Host: lab\r\nUser-Agent: walker of the lab\r\nAccept: */*\r\nAccept-Language: en";
/// An upload: so many pieces, this long, at this pace.
const PIECES: usize = 33;
const PIECE: [u8; 3000] = [b'z'; 3000];
const PACE: Duration = Duration::from_millis(10);
/// Milliseconds from the first request of one walker to that of the next.
const STAGGER: u64 = 3;

/// What the walkers of one pair do.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Where the walkers are.
    pub(crate) client: IpAddr,
    pub(crate) server: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) walkers: u32,
    pub(crate) rounds: u32,
    /// They rest for a number of milliseconds between these.
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) actions: &'static [&'static str],
    /// In milliseconds.
    pub(crate) patience: u64,
    pub(crate) stagger: u64,
    /// Every other request is the first of a connection.
    pub(crate) renews: bool,
    /// The number of the first request; those of a walker follow each other.
    pub(crate) first: u64,
    /// What was advised, where it is followed.
    pub(crate) remedy: Option<Remedy>,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    pub(crate) at: Instant,
    /// The status, or what went wrong.
    pub(crate) got: Result<u16, String>,
    pub(crate) client: Option<SocketAddr>,
    /// Some of it came, whatever went wrong then.
    pub(crate) begun: bool,
}

impl Plan {
    pub(crate) const STAGGER: u64 = STAGGER;

    /// Which requests are its.
    pub(crate) fn has(&self, id: u64) -> bool {
        (self.first..self.first + u64::from(self.walkers * self.rounds)).contains(&id)
    }
}

/// Lets all walkers walk to their end; they are on the host of the calling thread.
pub(crate) fn walk(plan: &Plan) -> Vec<Answer> {
    let answers = Mutex::default();
    thread::scope(|scope| {
        for walker in 0..plan.walkers {
            let answers = &answers;
            scope.spawn(move || walk_alone(plan, walker, answers));
        }
    });
    answers.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn walk_alone(plan: &Plan, walker: u32, answers: &Mutex<Vec<Answer>>) {
    let mut session = None;
    let_pass(Duration::from_millis(plan.stagger * u64::from(walker)));
    for round in 0..plan.rounds {
        let id = plan.first + u64::from(walker * plan.rounds + round);
        let action = plan.actions[round as usize % plan.actions.len()];
        if plan.renews && round % 2 == 1 {
            session = None;
        }
        let mut answer = Answer { id, at: Instant::now(), got: Ok(0), client: None, begun: false };
        let path = format!("/w{walker}/x{id}/{action}");
        let got = ask(&mut session, plan, &path, action, &mut answer);
        (answer.at, answer.got) = (Instant::now(), got.map_err(|error| error.to_string()));
        answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        let rest = Duration::from_secs_f64((plan.from + fastrand::f64() * (plan.to - plan.from)) / 1e3);
        let allowed = plan.remedy.as_ref().map_or(rest, |remedy| Duration::from_millis(remedy.closes));
        let_pass(rest.min(allowed));
        if allowed < rest {
            session = None;
            let_pass(rest.saturating_sub(allowed));
        }
    }
}

/// Asks on the walker's connection, or on a new one, which is kept if the server does so.
fn ask(
    kept: &mut Option<Session>,
    plan: &Plan,
    path: &str,
    action: &str,
    answer: &mut Answer,
) -> io::Result<u16> {
    let patience = Duration::from_millis(plan.patience);
    let mut session = match kept.take() {
        Some(session) => session,
        None => Session::open_within(plan.server, patience)?,
    };
    answer.client = Some(session.local()?);
    session.wait_for(patience)?;
    let head = if action.starts_with("upload") {
        upload(&mut session, path)?
    } else {
        session.send(&format!("GET {path} HTTP/1.1\r\n{HEADERS}"), b"")?;
        if action == "half" {
            session.half_close()?;
        }
        session.head()?
    };
    answer.begun = true;
    session.rest(&head)?;
    // An error to an upload comes before its end, and a proxy closes behind it, whatever it says. As clients do that
    // look before they ask, this one opens another connection.
    let refused = action.starts_with("upload") && head.status >= 400;
    if head.keeps() && !refused {
        *kept = Some(session);
    }
    Ok(head.status)
}

/// Sends a body piece by piece, whatever the server says meanwhile.
fn upload(session: &mut Session, path: &str) -> io::Result<Head> {
    let length = PIECES * PIECE.len();
    session.send(&format!("POST {path} HTTP/1.1\r\n{HEADERS}\r\nContent-Length: {length}"), b"")?;
    for _ in 0..PIECES {
        if let Err(error) = session.send_more(&PIECE) {
            // An answer may have come all the same.
            return session.head().map_err(|_| error);
        }
        let_pass(PACE);
    }
    session.head()
}
