//! The filter of server ports, which every hook asks first.

use aya_ebpf::{macros::map, maps::Array};
use tracer_common::{PORT_WORDS, map};

use super::constants::filters_ports;
use crate::kernel::Ports;

/// A bit for each port.
#[map]
static SERVER_PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);
const _: &str = map::SERVER_PORTS;

/// Whether a connection passes the filter. Either of its ports can be the server's: which one is left to
/// user space, which knows the roles. Where nothing is filtered the verifier prunes all of this, and the ports are not
/// even read.
#[inline(always)]
pub fn admit(ports: impl FnOnce() -> Ports) -> bool {
    if !filters_ports() {
        return true;
    }
    let Ports { local, remote } = ports();
    is_listed(local) || is_listed(remote)
}

/// Whether the filter lists this port.
#[inline(always)]
pub fn is_listed(port: u16) -> bool {
    if !filters_ports() {
        return true;
    }
    let bits = SERVER_PORTS.get(u32::from(port) / u64::BITS);
    bits.is_some_and(|bits| bits >> (u32::from(port) % u64::BITS) & 1 != 0)
}
