//! What the flags come to, in the terms of the rooms they concern.

use std::{net::SocketAddr, path::PathBuf};

use log::LevelFilter;
use tracer_core::{EngineOptions, classify::RacePolicy, model::ServerPorts};

use super::{Config, EventFormat};
use crate::{kernel::LoadOptions, privileges::PrivilegeOptions};

/// What a daemon is to do.
#[derive(Clone, Debug)]
pub struct DaemonOptions {
    /// Where to serve.
    pub listen: SocketAddr,
    /// Who may ask there.
    pub web: WebOptions,
    /// What the kernel side is to do.
    pub load: LoadOptions,
    /// How incidents are explained.
    pub engine: EngineOptions,
    /// Where they go.
    pub sinks: SinkOptions,
    /// What is given up once it has started.
    pub privileges: PrivilegeOptions,
}

/// Who may ask what the daemon serves.
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// The file that says so.
    pub config: Option<PathBuf>,
    /// Names of this host, beside its addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// Where incidents go.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// How to print them.
    pub events: EventFormat,
    /// Upper bound on those kept for `/api/v1/incidents`.
    pub recent: usize,
    /// Upper bound on the pairs of role and server with a label of their own.
    pub max_series: usize,
    /// The file of the recording, and how many bytes it may have.
    pub record: Option<(PathBuf, u64)>,
}

impl From<Config> for DaemonOptions {
    fn from(flags: Config) -> Self {
        let max_series = size(flags.max_series);
        Self {
            listen: flags.listen_address.with_port(flags.port),
            web: WebOptions { config: flags.web_config, hosts: flags.web_hosts },
            load: LoadOptions {
                ring_bytes: flags.event_buffer,
                diagnostics: flags.log_level >= LevelFilter::Debug,
                server_ports: flags.server_ports.clone(),
                requests: flags.requests.then_some(flags.max_series),
                request_lines: flags.request_lines,
            },
            engine: EngineOptions {
                race: RacePolicy { window: flags.race_window },
                server_ports: ServerPorts::new(flags.server_ports),
                // Known once it listens.
                own_server: None,
                max_closed_connections: size(flags.max_closed_connections),
                max_servers: max_series,
            },
            sinks: SinkOptions {
                events: flags.events,
                recent: size(flags.recent),
                max_series,
                record: flags.record.map(|file| (file, flags.record_limit)),
            },
            privileges: PrivilegeOptions { user: flags.user, go_on: flags.keep_privileges },
        }
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
