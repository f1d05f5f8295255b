//! The port, and what a connection to it may cost.

use std::{collections::VecDeque, net, net::SocketAddr, sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use log::{debug, warn};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    runtime,
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::routes::{Service, answer};
use crate::descriptors::{OUT_OF_FILES, explain, is_out_of_files};

/// How long a connection may take in all, to send its request and to read the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections open at once; one more takes the place of the oldest, so that idle ones never keep a scrape out.
const MAX_CONNECTIONS: usize = 64;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 128;

/// Bytes buffered for each connection: bounds a request's head.
const MAX_BUFFER: usize = 16 * 1024;

/// Opens the port, before anything else is started.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error| {
        explain(error, format!("cannot listen on {address}: choose another --port or --listen-address"))
    })
}

/// Serves on a thread of its own until the process ends.
pub(crate) fn start(listener: net::TcpListener, service: Service) -> Result<()> {
    let build = || runtime::Builder::new_current_thread().enable_all().build();
    let runtime = build().map_err(|error| explain(error, String::from("cannot start the runtime")))?;
    let listener = {
        let _entered = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let serve = move || runtime.block_on(serve(listener, Arc::new(service)));
    thread::Builder::new().name(String::from("http")).spawn(serve).context("cannot start a thread")?;
    Ok(())
}

async fn serve(listener: TcpListener, service: Arc<Service>) {
    let mut open = VecDeque::<AbortHandle>::with_capacity(MAX_CONNECTIONS);
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                make_room(&mut open).await;
                open.push_back(tokio::spawn(connection(stream, Arc::clone(&service))).abort_handle());
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

async fn connection(stream: TcpStream, service: Arc<Service>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), service_fn(|request| answer(request, &service)));
    if let Ok(Err(error)) = timeout(CONNECTION_TIMEOUT, connection).await {
        debug!("HTTP connection ended early: {error}");
    }
}

/// Closes the oldest connection when there are too many, but first lets those end whose request is there already.
async fn make_room(open: &mut VecDeque<AbortHandle>) {
    open.retain(|connection| !connection.is_finished());
    if open.len() >= MAX_CONNECTIONS {
        sleep(Duration::from_millis(1)).await;
        open.retain(|connection| !connection.is_finished());
    }
    if open.len() >= MAX_CONNECTIONS
        && let Some(oldest) = open.pop_front()
    {
        oldest.abort();
    }
}
