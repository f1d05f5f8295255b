//! Questions to the task that owns the state. The queue is short: when it is full, the events come first.

use std::net::SocketAddr;

use tokio::sync::oneshot;

use tracer_core::{
    classify::IncidentView,
    keepalive::{AdviceView, ServerView},
};

use crate::server_labels::{Endpoint, Server};

/// A question, with where the answer goes. `limit` bounds a list.
pub enum Query {
    /// The newest incidents that the filter lets through.
    Incidents { filter: Filter, limit: usize, answer: oneshot::Sender<Vec<IncidentView>> },
    /// The servers most in need of attention.
    Servers { limit: usize, answer: oneshot::Sender<Vec<ServerView>> },
    /// The most severe advice.
    Advice { limit: usize, answer: oneshot::Sender<Vec<AdviceView>> },
    /// The `server` labels of these servers, in their order.
    Labels { servers: Vec<(Endpoint, Heard)>, answer: oneshot::Sender<Vec<Server>> },
}

/// Whether a server was heard of since its label was last asked for: only then it gets one, or keeps it for longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was.
    Now,
    /// It was not.
    Before,
}

/// Which incidents are asked for: those that are like this in everything that is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The server's end.
    pub server: Option<SocketAddr>,
    /// The name of the cause.
    pub cause: Option<&'static str>,
    /// What this host is.
    pub role: Option<&'static str>,
    /// What ended the connection.
    pub ended_by: Option<&'static str>,
}

impl Filter {
    pub(crate) fn lets_through(&self, incident: &IncidentView) -> bool {
        self.server.is_none_or(|server| incident.server == Some(server))
            && self.cause.is_none_or(|cause| incident.cause == cause)
            && self.role.is_none_or(|role| incident.role == role)
            && self.ended_by.is_none_or(|by| incident.ended_by == by)
    }
}
