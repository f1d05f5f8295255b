//! What the API of a busy daemon says, to be replayed with other strings in it.

use std::collections::HashMap;
use std::iter::repeat_n;
use std::sync::LazyLock;

use anyhow::{Result, anyhow};
use serde_json::Value;
use tracer_lab::testbed::wait::until;

use crate::network::Network;
use crate::stand_in::StandIn;
use crate::traffic::Traffic;
use crate::{api, daemon, has_advice};

pub(crate) const PATHS: [&str; 3] = ["/api/v1/advice", "/api/v1/servers", "/api/v1/incidents"];

/// What each of them answers with: both ends are on one host, and advice is given once.
const ANSWERED: [usize; 3] = [1, 2, 2];

/// The answers after a mismatch and a race, asked once for all tests.
static ANSWERS: LazyLock<Result<HashMap<&'static str, Value>>> = LazyLock::new(|| {
    let network = Network::new()?;
    let daemon = daemon(&network)?;
    let traffic = Traffic::on(&network)?;
    traffic.closes_until(|| has_advice(&daemon))?;
    traffic.race()?;
    until("every answer to have something in it", || {
        let answers = PATHS.into_iter().map(|path| Ok((path, api(&daemon, path)?)));
        let answers = answers.collect::<Result<HashMap<_, _>>>()?;
        let full = PATHS.into_iter().zip(ANSWERED).all(|(path, count)| {
            answers.get(path).and_then(Value::as_array).is_some_and(|list| list.len() == count)
        });
        Ok(full.then_some(answers))
    })
});

/// A stand-in for that daemon, which says everything `times` times, with every text changed by `change`.
pub(crate) fn told_again(times: usize, change: fn(&str) -> String) -> Result<StandIn> {
    let answers = ANSWERS.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    let answers = answers.iter().map(|(path, answer)| {
        let list = repeat_n(answer.as_array(), times).flatten().flatten();
        let mut answer = Value::Array(list.cloned().collect());
        replace(&mut answer, change);
        (*path, answer.to_string())
    });
    StandIn::serve(answers, (200, "ready\n"))
}

fn replace(value: &mut Value, change: fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(list) => list.iter_mut().for_each(|value| replace(value, change)),
        Value::Object(fields) => {
            // A setting of no side is not shown at all.
            for (_, value) in fields.iter_mut().filter(|(name, _)| *name != "side") {
                replace(value, change);
            }
        }
        _ => (),
    }
}
