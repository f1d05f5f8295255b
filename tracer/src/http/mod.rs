//! The HTTP side: read-only, bounded in connections, time and answer size, and never in the way of the events.

mod page;

use std::{
    collections::VecDeque, convert::Infallible, fmt::Write as _, io::Write as _, net::SocketAddr, sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use log::debug;
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};
use tracer_core::{
    classify::ResetView,
    keepalive::{AdviceView, ServerView},
};

use crate::{
    kernel::{ProbeReport, counters::KernelCounters, programs::Loaded, requests::RequestCounters},
    sinks::metrics::Metrics,
};

/// A connection that takes longer, to send its request or to read the answer, is closed.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long a request's head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// Connections open at once; one more takes the place of the oldest, so that idle ones never keep a scrape out.
const MAX_CONNECTIONS: usize = 64;

/// What the lists of `/api/v1` return when not told how many.
const DEFAULT_LIMIT: usize = 100;

/// What they return at the most: many slow readers must not hold much memory.
const MAX_LIMIT: usize = 1000;

/// A question to the task that owns the state, with the number of answers wanted at the most and where they go.
#[expect(missing_docs, reason = "the same fields in each")]
pub enum Query {
    /// The newest resets.
    Resets { limit: usize, answer: oneshot::Sender<Vec<ResetView>> },
    /// The servers most in need of attention.
    Servers { limit: usize, answer: oneshot::Sender<Vec<ServerView>> },
    /// The most severe advice.
    Advice { limit: usize, answer: oneshot::Sender<Vec<AdviceView>> },
}

/// What the handlers can reach.
pub struct Service {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// What it counts of requests, if it does.
    pub requests: Option<Arc<RequestCounters>>,
    /// The kernel side's own counters.
    pub counters: KernelCounters,
    /// How the probes fared.
    pub report: ProbeReport,
    /// The programs of the attached probes.
    pub loaded: Vec<Loaded>,
    /// The way to the task that owns the state.
    pub queries: mpsc::Sender<Query>,
}

/// Opens the port, before anything else is started.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(128)
    };
    open().with_context(|| format!("cannot listen on {address}: choose another --port or --listen-address"))
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, service: Arc<Service>) {
    let mut open = VecDeque::<AbortHandle>::with_capacity(MAX_CONNECTIONS);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: they come back as connections end.
                debug!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        make_room(&mut open).await;
        let service = Arc::clone(&service);
        let connection = tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_PATIENCE)
                .keep_alive(false)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service_fn(|request| answer(request, &service)));
            if let Ok(Err(error)) = timeout(PATIENCE, connection).await {
                debug!("HTTP connection ended early: {error}");
            }
        });
        open.push_back(connection.abort_handle());
    }
}

/// Closes the oldest connection when there are too many, but first lets those end whose request is there already.
async fn make_room(open: &mut VecDeque<AbortHandle>) {
    open.retain(|connection| !connection.is_finished());
    if open.len() >= MAX_CONNECTIONS {
        tokio::time::sleep(Duration::from_millis(1)).await;
        open.retain(|connection| !connection.is_finished());
    }
    if open.len() >= MAX_CONNECTIONS
        && let Some(oldest) = open.pop_front()
    {
        oldest.abort();
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, service: &Service) -> Result<Answer, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(refusal);
    }
    Ok(match request.uri().path() {
        "/metrics" => metrics(&request, service),
        "/-/healthy" => plain(StatusCode::OK, "healthy\n"),
        "/-/ready" => ready(&service.report),
        "/api/v1/resets" => limited(&request, service, |limit, answer| Query::Resets { limit, answer }).await,
        "/api/v1/servers" => {
            limited(&request, service, |limit, answer| Query::Servers { limit, answer }).await
        }
        "/api/v1/advice" => limited(&request, service, |limit, answer| Query::Advice { limit, answer }).await,
        path => page::answer(path).unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "nothing here; see /\n")),
    })
}

fn metrics(request: &Request<Incoming>, service: &Service) -> Answer {
    let mut counts = service.counters.read().inspect_err(|error| debug!("{error:#}")).ok();
    for program in &service.loaded {
        let stats = program.stats();
        service.metrics.probe_ran(program.name, &stats);
        if let Some(counts) = &mut counts {
            counts.add_missed(program, &stats);
        }
    }
    let requests = service.requests.as_ref().map(|requests| requests.read());
    match service.metrics.render(counts, requests.as_ref()) {
        Ok(text) if accepts_gzip(request) => compressed(&text),
        Ok(text) => page(StatusCode::OK, prometheus::TEXT_FORMAT, text),
        Err(error) => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode the metrics: {error}\n"))
        }
    }
}

fn accepts_gzip(request: &Request<Incoming>) -> bool {
    let accepted = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = matches!(parts.next(), Some("gzip" | "*"));
        named && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn compressed(text: &str) -> Answer {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let bytes = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    match bytes {
        Ok(bytes) => {
            let mut response = page(StatusCode::OK, prometheus::TEXT_FORMAT, bytes);
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        }
        Err(_) => page(StatusCode::OK, prometheus::TEXT_FORMAT, text.to_owned()),
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

/// Asks for at most as many as the request says.
async fn limited<T: Serialize>(
    request: &Request<Incoming>,
    service: &Service,
    query: impl FnOnce(usize, oneshot::Sender<Vec<T>>) -> Query,
) -> Answer {
    match limit(request.uri().query().unwrap_or("")) {
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
        Some(Ok(json)) => page(StatusCode::OK, "application/json", json),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "busy, try again\n"),
    }
}

fn limit(query: &str) -> Result<usize, &'static str> {
    let mut limit = DEFAULT_LIMIT;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("limit", value)) => {
                limit = value.parse().map_err(|_| "limit must be a whole number\n")?;
            }
            _ => return Err("the only parameter is limit\n"),
        }
    }
    Ok(limit.min(MAX_LIMIT))
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    page(status, "text/plain; charset=utf-8", text)
}

pub(crate) fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_a_whole_number_or_the_default() {
        assert_eq!(limit(""), Ok(DEFAULT_LIMIT));
        assert_eq!(limit("limit=5"), Ok(5));
        assert_eq!(limit("limit=1000000"), Ok(MAX_LIMIT));
        for query in ["limit=", "limit=-1", "limit=ten", "limit=1e3", "order=asc", "limit"] {
            assert!(limit(query).is_err(), "{query}");
        }
    }
}
