//! What every test stands on: hosts, networks, captures, the daemon under test, and ways to ask and to wait.

pub(crate) mod capture;
pub mod certificates;
pub mod checkpoint;
pub(crate) mod coverage;
pub mod daemon;
pub(crate) mod diag;
pub mod host;
pub mod http;
pub mod lines;
pub(crate) mod link;
pub mod network;
pub(crate) mod nginx;
pub(crate) mod pcap;
pub mod permit;
pub mod process;
pub(crate) mod raw;
pub mod recording;
pub mod reset;
pub mod scrape;
pub(crate) mod server;
pub mod shared;
pub(crate) mod sockets;
pub mod wait;
pub(crate) mod watch;
