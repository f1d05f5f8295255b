//! The close of an idle connection.

use std::{net::SocketAddr, time::Duration};

use crate::model::{Flow, KernelNs, Role, Side};

/// A FIN on a connection that rested for at least [`super::IDLE`] with no request open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdleClose {
    /// When the FIN was seen.
    pub(crate) at: KernelNs,
    /// The connection.
    pub(crate) flow: Flow,
    /// What this host is on it.
    pub role: Option<Role>,
    /// Which side sent the FIN.
    pub(crate) by: Side,
    /// From the last payload, or from establishment if there was none, to the FIN. With a last word, from the last
    /// payload of the side that did not say it.
    pub idle: Duration,
    /// Requests that the connection had carried, as far as known: see `Traffic::requests_carried`.
    pub(crate) requests: Option<u32>,
}

impl IdleClose {
    /// Which end of the connection closed; `None` where it is not known which one the server is.
    #[must_use]
    pub fn closed_by(&self) -> Option<Role> {
        Some(match (self.role?, self.by) {
            (Role::Server, Side::Local) | (Role::Client, Side::Remote) => Role::Server,
            _ => Role::Client,
        })
    }

    /// The server end of the connection.
    #[must_use]
    pub fn server(&self) -> Option<SocketAddr> {
        self.flow.server(self.role)
    }
}
