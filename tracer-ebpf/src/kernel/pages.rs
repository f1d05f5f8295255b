//! From a `struct page` to the memory it stands for.
//!
//! Both lie in arrays: all memory is mapped in one piece, and so are the `struct page`s of it (`page_to_virt`,
//! include/linux/mm.h, with `CONFIG_SPARSEMEM_VMEMMAP`). So for every page `address = page * RATIO + DISTANCE`, where
//! the ratio is that of their sizes. The distance is different after each boot and not every kernel shows it; but it
//! follows from any page whose address is known, and the allocator knows such pages: a slab is a `struct page` that
//! points at free memory within itself.

use tracer_common::field;

use super::read;
use crate::state::{
    constants::{offset, page_ratio},
    pages,
};

/// Both arrays begin at a multiple of this (`kernel_randomize_memory`, arch/x86/mm/kaslr.c), so the distance is one,
/// too.
const ALIGNMENT: u64 = 1 << 30;

/// No slab is larger.
const MAX_SLAB: u64 = 1 << 22;

/// Caches that are searched for slabs.
const MAX_CACHES: u32 = 256;

/// How often that is done.
const MAX_TRIES: u64 = 100;

/// The address of a page's memory, once the distance is known.
#[inline(always)]
pub fn address(page: u64) -> Option<u64> {
    // Memory of a device, not of this host, is marked by the lowest bit (`NET_IOV`, include/net/netmem.h).
    if page == 0 || page & 1 != 0 {
        return None;
    }
    let distance = pages::pages()?.distance.get();
    (distance != 0).then(|| page.wrapping_mul(page_ratio()).wrapping_add(distance))
}

/// Learns the distance from the slabs of `sk`'s cache and those behind it; two of them must agree. Until it succeeds
/// this is tried again with other sockets, but not for ever.
#[inline(always)]
pub fn learn(sk: u64) {
    let Some(known) = pages::pages() else { return };
    if known.distance.get() != 0 || known.tries.get() >= MAX_TRIES || page_ratio() == 0 {
        return;
    }
    known.tries.set(known.tries.get() + 1);
    let protocol = read(sk, field::SKC_PROT);
    let mut cache = read(protocol, field::PROTO_SLAB);
    let mut before = 0;
    for _ in 0..MAX_CACHES {
        let found = of_cache(cache);
        if found != 0 {
            if found == before {
                known.distance.set(found);
                return;
            }
            before = found;
        }
        let next = read(cache, field::CACHE_LIST);
        cache = next.wrapping_sub(u64::from(offset(field::CACHE_LIST)));
    }
}

/// The distance by the first slab of a cache that has free memory; 0 where there is none.
#[inline(always)]
fn of_cache(cache: u64) -> u64 {
    let node = read(cache, field::CACHE_NODE);
    let list = node + u64::from(offset(field::NODE_PARTIAL));
    let first = read(node, field::NODE_PARTIAL);
    // An empty list points at itself.
    if first == 0 || first == list {
        return 0;
    }
    let slab = first.wrapping_sub(u64::from(offset(field::SLAB_LIST)));
    let free = read(slab, field::SLAB_FREELIST);
    let distance = free.wrapping_sub(slab.wrapping_mul(page_ratio()));
    // What is left over is how far into the slab the free memory is.
    if free == 0 || distance % ALIGNMENT >= MAX_SLAB { 0 } else { distance & !(ALIGNMENT - 1) }
}
