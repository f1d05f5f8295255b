//! Renderings of the metrics. One is for all who wait for it: a flood of scrapes costs no more than one scrape at a
//! time, and each shows what was counted until it was asked for.

use std::sync::{Arc, OnceLock};

use hyper::{
    StatusCode,
    body::Bytes,
    header::{CONTENT_ENCODING, HeaderMap, HeaderValue},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    encoding::{accepts_gzip, gzip},
    response::{Answer, of_type, plain},
    server::MAX_CONNECTIONS,
};
use crate::sinks::metrics::HostMetrics;

/// The metrics at a moment, or why there are none.
type Rendered = Result<Arc<Rendering>, Arc<str>>;

/// The metrics at a moment.
struct Rendering {
    text: Bytes,
    /// Made when it is first asked for.
    compressed: OnceLock<Option<Bytes>>,
}

impl Rendering {
    fn compressed(&self) -> Option<Bytes> {
        self.compressed.get_or_init(|| gzip(&self.text).ok().map(Bytes::from)).clone()
    }
}

/// The way to who renders them.
pub(crate) struct Scrapes(mpsc::Sender<oneshot::Sender<Rendered>>);

impl Scrapes {
    /// Starts the task that renders.
    pub(crate) fn start(metrics: HostMetrics) -> Self {
        let (ask, asked) = mpsc::channel(MAX_CONNECTIONS);
        tokio::spawn(render(metrics, asked));
        Self(ask)
    }

    /// The next rendering, compressed where the request's headers allow it.
    pub(super) async fn answer(&self, headers: &HeaderMap) -> Answer {
        let (answer, answered) = oneshot::channel();
        // Whoever renders does so for as long as somebody can ask.
        let _ = self.0.send(answer).await;
        match answered.await {
            Ok(Ok(rendering)) => negotiated(headers, &rendering),
            Ok(Err(sentence)) => plain(StatusCode::INTERNAL_SERVER_ERROR, sentence.to_string()),
            Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "busy, try again\n"),
        }
    }
}

async fn render(mut metrics: HostMetrics, mut asked: mpsc::Receiver<oneshot::Sender<Rendered>>) {
    let mut waiting = Vec::with_capacity(MAX_CONNECTIONS);
    while asked.recv_many(&mut waiting, MAX_CONNECTIONS).await > 0 {
        let rendered = metrics.collect().await;
        let rendered = rendered
            .map(|text| Arc::new(Rendering { text: text.into(), compressed: OnceLock::new() }))
            .map_err(|error| Arc::from(format!("cannot encode the metrics: {error}\n")));
        for answer in waiting.drain(..) {
            // Who asked may be gone.
            let _ = answer.send(rendered.clone());
        }
    }
}

fn negotiated(headers: &HeaderMap, rendering: &Rendering) -> Answer {
    match accepts_gzip(headers).then(|| rendering.compressed()).flatten() {
        Some(bytes) => {
            let mut response = of_type(StatusCode::OK, prometheus::TEXT_FORMAT, bytes);
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        }
        None => of_type(StatusCode::OK, prometheus::TEXT_FORMAT, rendering.text.clone()),
    }
}
