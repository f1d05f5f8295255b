//! What is served under which path.

use std::{convert::Infallible, fmt::Write as _, sync::Arc};

use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{ALLOW, HeaderValue},
};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tracer_core::classify::Ended;

use super::{
    admission::refusal,
    page, parameters,
    response::{Answer, of_type, plain},
    scrapes::Scrapes,
    web::{Settings, Web},
};
use crate::{
    clock,
    kernel::ProbeReport,
    last_turn::LastTurn,
    query::{Filter, Query},
};

/// What the handlers can reach.
pub(crate) struct Service {
    /// Who is let in.
    pub web: Arc<Web>,
    /// The names of this host, beside its addresses.
    pub names: Vec<String>,
    /// The way to who renders the metrics.
    pub scrapes: Scrapes,
    /// How the probes fared.
    pub report: ProbeReport,
    /// The way to the task that owns the state.
    pub queries: mpsc::Sender<Query>,
    /// Whether that task still turns.
    pub last_turn: LastTurn,
}

/// Answers a request on a connection that was made under these settings.
pub(super) async fn answer(
    request: Request<Incoming>,
    service: &Service,
    settings: &Settings,
) -> Result<Answer, Infallible> {
    let mut answer = match refusal(&request, settings, &service.names).await {
        Some(refusal) => refusal,
        None => answer_to(&request, service).await,
    };
    for (name, value) in &settings.headers {
        answer.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    Ok(answer)
}

async fn answer_to(request: &Request<Incoming>, service: &Service) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => service.scrapes.answer(request.headers()).await,
        "/-/healthy" => healthy(&service.last_turn),
        "/-/ready" => ready(&service.report),
        "/api/v1/incidents" => incidents(request, service, Filter::default()).await,
        "/api/v1/resets" => {
            let resets = Filter { ended_by: Some(Ended::ResetReceived.by()), ..Filter::default() };
            incidents(request, service, resets).await
        }
        "/api/v1/servers" => {
            limited(request, service, |limit, answer| Query::Servers { limit, answer }).await
        }
        "/api/v1/advice" => limited(request, service, |limit, answer| Query::Advice { limit, answer }).await,
        path => page::answer(path).unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "nothing here; see /\n")),
    }
}

fn healthy(last_turn: &LastTurn) -> Answer {
    match last_turn.standstill(clock::now()) {
        None => plain(StatusCode::OK, "healthy\n"),
        Some(still) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the event loop has not turned for {} s: restart tracer\n", still.as_secs()),
        ),
    }
}

fn ready(report: &ProbeReport) -> Answer {
    let mut missing = String::new();
    for (name, error) in report.missing() {
        let _ = writeln!(missing, "probe {name} is not attached: {error}");
    }
    if missing.is_empty() {
        plain(StatusCode::OK, "ready\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, missing)
    }
}

/// Asks for those of some incidents that the request names.
async fn incidents(request: &Request<Incoming>, service: &Service, among: Filter) -> Answer {
    match parameters::incidents(request.uri().query().unwrap_or(""), among) {
        Ok((limit, filter)) => ask(service, |answer| Query::Incidents { filter, limit, answer }).await,
        Err(sentence) => plain(StatusCode::BAD_REQUEST, sentence),
    }
}

/// Asks for at most as many as the request says.
async fn limited<T: Serialize>(
    request: &Request<Incoming>,
    service: &Service,
    query: impl FnOnce(usize, oneshot::Sender<Vec<T>>) -> Query,
) -> Answer {
    match parameters::limit(request.uri().query().unwrap_or("")) {
        Ok(limit) => ask(service, |answer| query(limit, answer)).await,
        Err(sentence) => plain(StatusCode::BAD_REQUEST, sentence),
    }
}

async fn ask<T: Serialize>(
    service: &Service,
    query: impl FnOnce(oneshot::Sender<Vec<T>>) -> Query,
) -> Answer {
    let (answer, answered) = oneshot::channel();
    // The queue is short: when it is full, the events come first.
    let found = match service.queries.try_send(query(answer)) {
        Ok(()) => answered.await.ok(),
        Err(_) => None,
    };
    match found.map(|found| serde_json::to_vec(&found)) {
        Some(Ok(json)) => of_type(StatusCode::OK, "application/json", json),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "busy, try again\n"),
    }
}
