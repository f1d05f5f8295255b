//! Which connections the kernel side reports at all.

use anyhow::{Context, Result};
use aya::{Ebpf, maps::Array};
use tracer_common::{PORT_WORDS, map};

/// Has it pass over connections of which neither port is one of these. To be called before any probe is attached; it is
/// not asked where there are none.
pub(super) fn set_port_filter(ebpf: &mut Ebpf, ports: &[u16]) -> Result<()> {
    let map = ebpf.map_mut(map::SERVER_PORTS).context("the eBPF object has no map of server ports")?;
    let mut words: Array<_, u64> = Array::try_from(map)?;
    for word in 0..PORT_WORDS {
        let of_word = ports.iter().filter(|&&port| u32::from(port) / u64::BITS == word);
        let bits = of_word.fold(0, |bits, &port| bits | 1 << (u32::from(port) % u64::BITS));
        words.set(word, bits, 0).context("cannot tell the kernel side which ports are asked for")?;
    }
    Ok(())
}
