//! Advice in sentences.

use std::{fmt::Write as _, time::Duration};

use super::{
    ages::Timeout,
    finding::Finding,
    path::Forgets,
    profile::{Reuses, ServerProfile, ThinMargin},
    races::Races,
    settings::{Setting, is_http_possible},
    suggested::Suggested,
};
use crate::model::{Role, Server, spoken};

/// The whole advice in a few sentences.
#[must_use]
pub(super) fn sentences(
    server: &Server,
    known: &ServerProfile,
    finding: Finding,
    suggested: &Suggested,
) -> String {
    match finding {
        Finding::ServerClosesFirst(timeout) => closes_first(server, known, &timeout, suggested),
        Finding::ThinMargin(margin) => thin_margin(server, known, &margin, suggested),
        Finding::RequestLimit(requests) => request_limit(server, known, requests),
        Finding::PathForgets(path) => path_forgets(server, known, &path, suggested),
    }
}

/// One line for the log: what appeared or changed.
#[must_use]
pub(super) fn sentence(server: &Server, known: &ServerProfile, finding: Finding) -> String {
    sentences(server, known, finding, &Suggested::new(server, known, finding))
}

fn closes_first(server: &Server, known: &ServerProfile, timeout: &Timeout, suggested: &Suggested) -> String {
    let clients = known.longer_client_timeout().map_or_else(String::new, |client| {
        format!(", who close at {} ({} seen)", spoken(client.lower), counted(client.samples, "close"))
    });
    let late = known.reuses.map_or_else(String::new, |Reuses { count, late }| {
        format!(
            "; {late} of {} came when it had been idle for 80 % of that or longer",
            counted(count, "reuse")
        )
    });
    let mut text = format!(
        "{} closes connections that were idle for {} ({} seen) while {} still keep them{clients}{late}{}",
        server.endpoint,
        age(timeout),
        counted(timeout.samples, "close"),
        whose(server.role),
        met(&known.idle_races.explained, known),
    );
    let _ = write!(text, " {}", let_client_close_first(suggested));
    add_settings(&mut text, suggested);
    if server.role == Role::Server && is_http_possible(server.endpoint.port()) {
        text += " Browsers retry such requests by themselves, proxies and API clients mostly do not.";
    }
    text
}

fn thin_margin(server: &Server, known: &ServerProfile, margin: &ThinMargin, suggested: &Suggested) -> String {
    let ThinMargin { server: theirs, client, needed } = margin;
    let mut text = format!(
        "{} closes connections that were idle for {} ({} seen), and {} at {} ({} seen): closes scatter by up to {}, so \
         either side may be first{}",
        server.endpoint,
        age(theirs),
        counted(theirs.samples, "close"),
        whose(server.role),
        spoken(client.lower),
        counted(client.samples, "close"),
        spoken(*needed),
        met(&known.idle_races.explained, known),
    );
    let _ = write!(text, " {}", let_client_close_first(suggested));
    add_settings(&mut text, suggested);
    text
}

fn request_limit(server: &Server, known: &ServerProfile, requests: u32) -> String {
    let examples = if is_http_possible(server.endpoint.port()) {
        " (nginx keepalive_requests, Apache MaxKeepAliveRequests, PHP-FPM pm.max_requests)"
    } else {
        ""
    };
    format!(
        "{} ends connections after about {requests} requests, right behind a response: a limit on requests, not a \
         timeout{} Raise or remove it{examples}, or let clients retry.",
        server.endpoint,
        met(&known.short_races, known),
    )
}

fn path_forgets(server: &Server, known: &ServerProfile, path: &Forgets, suggested: &Suggested) -> String {
    let alive = if path.alive.is_zero() {
        String::from("that are reused sooner live on")
    } else {
        format!("that were idle for {} were still alive", spoken(path.alive))
    };
    let idle = suggested.client_timeout_seconds.unwrap_or_default();
    let mut text = format!(
        "Something between {} and {} forgets connections that are idle for {} or less: {} found them reset, and the \
         server never closed one; others {alive}. A NAT, a firewall or a load balancer drops idle flows. Let clients \
         keep idle connections for {idle} s at most, or send TCP keepalive probes sooner than that (`SO_KEEPALIVE` \
         with `TCP_KEEPIDLE`). The server's timeout does not help.",
        whose(server.role),
        server.endpoint,
        spoken(path.bound),
        counted(known.path.count, "reuse"),
    );
    add_settings(&mut text, suggested);
    text
}

/// How many requests met such a close; nothing where some met a close of which it is not known whether it was such a
/// one.
fn met(races: &Races, known: &ServerProfile) -> String {
    let how = match races.by_fin {
        0 => "were reset",
        by_fin if by_fin == races.count => "were closed without an answer",
        _ => "were reset or closed without an answer",
    };
    match races.count {
        0 if known.races > 0 => String::from("."),
        0 => String::from(". No request has met such a close yet."),
        1 => format!("; 1 request met such a close and {}.", how.replacen("were", "was", 1)),
        count => format!("; {count} requests met such a close and {how}."),
    }
}

fn let_client_close_first(suggested: &Suggested) -> String {
    let longer = suggested
        .server_timeout_seconds
        .map_or_else(|| String::from("longer than its clients do"), |longer| format!("{longer} s"));
    let shorter = suggested.client_timeout_seconds.map_or(Duration::ZERO, Duration::from_secs_f64);
    format!(
        "Let the client close first: let it keep idle connections for {} at most, or let the server wait {longer}.",
        spoken(shorter)
    )
}

fn add_settings(text: &mut String, suggested: &Suggested) {
    for Setting { software, side, line, .. } in suggested.examples() {
        let _ = write!(text, " {software} as {side}: `{line}`.");
    }
}

fn whose(role: Role) -> &'static str {
    match role {
        Role::Client => "this host's clients",
        Role::Server => "its clients",
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The age at which a server closes, or the range of a sweep.
fn age(timeout: &Timeout) -> String {
    if timeout.upper > timeout.lower {
        format!("{} to {}", spoken(timeout.lower), spoken(timeout.upper))
    } else {
        spoken(timeout.lower)
    }
}
