//! What each hook does: when is it worth a record?

pub mod destroy;
pub mod payload_read;
pub mod payload_sent;
pub mod receive_reset;
pub mod send_reset;
pub mod state_change;
