//! What requests to `/api/v1` may ask for. What is wrong with one is told in a sentence.

use tracer_core::{
    classify::{CAUSES, CauseRow},
    model::Role,
};

use crate::query::Filter;

/// What the lists return when not told how many.
const DEFAULT_LIMIT: usize = 100;

/// Upper bound on what they return: many slow readers must not hold much memory.
const MAX_LIMIT: usize = 1000;

const LIMIT: &str = "limit must be a whole number\n";
const SERVER: &str = "server must be an address and a port, such as 10.0.0.5:80 or [::1]:80\n";
const ROLE: &str = "role must be server, client or unknown\n";

/// The parameters of a list that has no other: how long it may be.
pub(super) fn limit(query: &str) -> Result<usize, String> {
    parse(query, |_, _| Err("the only parameter is limit\n".into()))
}

/// How many incidents, and which of those that `filter` lets through.
pub(super) fn incidents(query: &str, mut filter: Filter) -> Result<(usize, Filter), String> {
    let limit = parse(query, |name, value| {
        match name {
            "server" => filter.server = Some(value.parse().map_err(|_| SERVER)?),
            "cause" => filter.cause = Some(cause(value)?),
            "role" => filter.role = Some(role(value).ok_or(ROLE)?),
            _ => return Err("the parameters are limit, server, cause and role\n".into()),
        }
        Ok(())
    })?;
    Ok((limit, filter))
}

/// Reads `limit`, and leaves other parameters to `other`.
fn parse(query: &str, mut other: impl FnMut(&str, &str) -> Result<(), String>) -> Result<usize, String> {
    let mut limit = DEFAULT_LIMIT;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "limit" => limit = value.parse().map_err(|_| LIMIT)?,
            name => other(name, &value)?,
        }
    }
    Ok(limit.min(MAX_LIMIT))
}

fn cause(value: &str) -> Result<&'static str, String> {
    let names = || CAUSES.iter().map(|CauseRow { name, .. }| *name);
    names()
        .find(|name| *name == value)
        .ok_or_else(|| format!("cause must be one of {}\n", names().collect::<Vec<_>>().join(", ")))
}

fn role(value: &str) -> Option<&'static str> {
    [Some(Role::Server), Some(Role::Client), None].map(Role::label).into_iter().find(|name| *name == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_a_whole_number_or_the_default() {
        assert_eq!(limit(""), Ok(DEFAULT_LIMIT));
        assert_eq!(limit("limit=5"), Ok(5));
        assert_eq!(limit("limit=1000000"), Ok(MAX_LIMIT));
        for query in ["limit=", "limit=-1", "limit=ten", "limit=1e3", "order=asc", "limit", "cause=refused"] {
            assert!(limit(query).is_err(), "{query}");
        }
    }

    #[test]
    fn incidents_are_chosen_by_server_cause_and_role() {
        let all = Filter::default();
        let server = |text: &str| Some(text.parse().unwrap());
        for (query, filter) in [
            ("", all),
            ("server=10.0.0.5:80", Filter { server: server("10.0.0.5:80"), ..all }),
            ("server=%5B%3A%3A1%5D%3A80", Filter { server: server("[::1]:80"), ..all }),
            (
                "cause=never_read&role=client",
                Filter { cause: Some("never_read"), role: Some("client"), ..all },
            ),
            ("role=unknown", Filter { role: Some("unknown"), ..all }),
        ] {
            assert_eq!(incidents(query, all), Ok((DEFAULT_LIMIT, filter)), "{query}");
        }
        let resets = Filter { ended_by: Some("rst"), ..all };
        assert_eq!(incidents("limit=3", resets), Ok((3, resets)));
    }

    #[test]
    fn what_is_wrong_is_told_in_one_sentence() {
        for (query, sentence) in [
            ("server=10.0.0.5", SERVER),
            ("server=web:80", SERVER),
            ("server=", SERVER),
            ("role=proxy", ROLE),
            ("limit=ten&role=client", LIMIT),
            ("order=asc", "the parameters are limit, server, cause and role\n"),
            ("cause=Refused", "cause must be one of refused, unreachable, backlog_overflow, "),
        ] {
            let error = incidents(query, Filter::default()).unwrap_err();
            assert!(error.starts_with(sentence) && error.ends_with('\n'), "{query}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
