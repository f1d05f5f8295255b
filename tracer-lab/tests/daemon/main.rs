//! The daemon that users get, started and treated as users, service managers, scrapers and attackers do.
//!
//! Every test starts daemons of its own. Resets are made on the loopback of network namespaces that vanish with their
//! test; only HTTP runs over this host's own loopback.

mod capabilities;
mod confinement;
mod event_loop;
mod flood;
mod http;
mod labels;
mod network;
mod server_ports;
mod slow_clients;
mod start;
mod stdout;
mod stop;
mod turn;
mod type_information;
mod web;
