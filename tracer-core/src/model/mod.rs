//! What the other modules talk about: times, connections, sockets, and what happens to them.

mod community_id;
mod connection;
mod event;
mod request_line;
mod server;
mod snapshot;
mod tenure;
mod time;

pub(crate) use community_id::CommunityId;
pub use connection::{ConnectionId, Role};
pub(crate) use connection::{Flow, Side, TcpState};
pub use event::EventName;
pub(crate) use event::{Event, EventKind, Segment, SendReset, Silence, SocketKind};
pub use request_line::{Method, RequestLine};
pub(crate) use server::Server;
pub use server::{OwnServer, ServerPorts};
pub(crate) use snapshot::{LastPayload, SocketSnapshot, Traffic};
pub use tenure::Tenure;
pub use time::{Jiffy, KernelNs, WallClock};
pub(crate) use time::{WallTime, rounded, seconds, spoken};
