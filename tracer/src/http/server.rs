//! The port, and what a connection to it may cost.

use std::{
    collections::VecDeque,
    net::{self, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use log::{debug, warn};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{self, Runtime},
    task::{AbortHandle, yield_now},
    time::{sleep, timeout},
};

use super::{
    routes::{Service, answer},
    web::Settings,
};
use crate::descriptors::{OUT_OF_FILES, explain, is_out_of_files};

/// How long a connection may take in all, to send its request and to read the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a request's head may take, and before it the handshake of TLS.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Threads: while one renders the metrics, the other accepts and answers.
const THREADS: usize = 2;

/// How long answers under way get at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(100);

/// Connections open at once; one more takes the place of another, so that idle ones never keep a scrape out.
pub(super) const MAX_CONNECTIONS: usize = 64;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// Bytes buffered for each connection: bounds a request's head.
const MAX_BUFFER: usize = 16 * 1024;

/// Opens the port, before anything else is started.
pub(crate) fn bind(address: SocketAddr) -> Result<net::TcpListener> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    open().map_err(|error| {
        explain(error, format!("cannot listen on {address}: choose another --port or --listen-address"))
    })
}

/// Starts the threads that serve, and on them `service`.
pub(crate) fn start(listener: net::TcpListener, service: impl FnOnce() -> Service) -> Result<Server> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|error| explain(error, String::from("cannot start the threads that serve HTTP")))?;
    let inside = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    let service = Arc::new(service());
    runtime.spawn(Arc::clone(&service.web).follow());
    runtime.spawn(serve(listener, service));
    drop(inside);
    Ok(Server(runtime))
}

/// The threads that serve.
pub(crate) struct Server(Runtime);

impl Server {
    /// Closes the port and what is open. An answer that takes longer is left to the end of the process.
    pub(crate) fn stop(self) {
        self.0.shutdown_timeout(SHUTDOWN_TIMEOUT);
    }
}

async fn serve(listener: TcpListener, service: Arc<Service>) {
    let mut open = Open::default();
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.make_room().await;
                open.add(stream, &service);
            }
            Err(error) => {
                // Files are closed again as connections end.
                if is_out_of_files(&error) && !std::mem::replace(&mut told, true) {
                    warn!("cannot accept a connection, and says so once: {OUT_OF_FILES}");
                }
                debug!("cannot accept a connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The connections that are open, oldest first.
#[derive(Default)]
struct Open {
    connections: VecDeque<Connection>,
    told: bool,
}

struct Connection {
    task: AbortHandle,
    /// Its request has come.
    asked: Arc<AtomicBool>,
}

impl Open {
    fn add(&mut self, stream: TcpStream, service: &Arc<Service>) {
        let asked = Arc::<AtomicBool>::default();
        let task = tokio::spawn(connection(stream, Arc::clone(service), Arc::clone(&asked)));
        self.connections.push_back(Connection { task: task.abort_handle(), asked });
    }

    /// Closes a connection when there are too many: the oldest without a request, else the oldest. But first those
    /// whose request is there get their turn.
    async fn make_room(&mut self) {
        if self.connections.len() < MAX_CONNECTIONS {
            return;
        }
        yield_now().await;
        self.connections.retain(|connection| !connection.task.is_finished());
        if self.connections.len() < MAX_CONNECTIONS {
            return;
        }
        let silent = self.connections.iter().position(|connection| !connection.asked.load(Relaxed));
        if let Some(least) = self.connections.remove(silent.unwrap_or(0)) {
            least.task.abort();
        }
        if !std::mem::replace(&mut self.told, true) {
            warn!(
                "more than {MAX_CONNECTIONS} HTTP connections at once: the oldest are closed, which is said once"
            );
        }
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>, asked: Arc<AtomicBool>) {
    // A changed configuration is for the connections that come after it.
    let settings = service.web.current();
    let served = async {
        let Some(tls) = &settings.tls else { return exchange(stream, &service, &settings, &asked).await };
        let stream = timeout(HEAD_TIMEOUT, tls.accept(stream)).await??;
        exchange(stream, &service, &settings, &asked).await
    };
    if let Ok(Err(error)) = timeout(CONNECTION_TIMEOUT, served).await {
        debug!("HTTP connection ended early: {error:#}");
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    service: &Service,
    settings: &Settings,
    asked: &AtomicBool,
) -> Result<()> {
    let answer = |request| {
        asked.store(true, Relaxed);
        answer(request, service, settings)
    };
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await?;
    Ok(())
}
