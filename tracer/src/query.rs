//! Questions to the task that owns the state. The queue is short: when it is full, the events come first.

use std::net::SocketAddr;

use tokio::sync::oneshot;

use tracer_core::{
    classify::IncidentView,
    keepalive::{AdviceView, ServerView},
    model::Role,
};

use crate::server_labels::Server;

/// A question, with where the answer goes. `limit` bounds a list.
pub enum Query {
    /// The newest resets.
    Resets { limit: usize, answer: oneshot::Sender<Vec<IncidentView>> },
    /// The servers most in need of attention.
    Servers { limit: usize, answer: oneshot::Sender<Vec<ServerView>> },
    /// The most severe advice.
    Advice { limit: usize, answer: oneshot::Sender<Vec<AdviceView>> },
    /// The `server` labels of these servers, in their order.
    Labels { servers: Vec<(Role, SocketAddr)>, answer: oneshot::Sender<Vec<Server>> },
}
