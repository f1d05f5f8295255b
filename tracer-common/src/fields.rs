//! The kernel struct fields that the kernel side reads: one row for each, and both sides go by it.
//!
//! The kernel side reads a field as the type in its row. User space finds it in the running kernel's BTF by the path in
//! its row, compares the widths, and hands the offsets over at load.

use core::marker::PhantomData;

/// The offset of a field that cannot be read on the running kernel. The verifier sees offsets as constants and prunes
/// the code behind an absent one.
pub const ABSENT: u32 = u32::MAX;

/// Byte offsets, one for each of [`ROWS`], in their order.
pub type Offsets = [u32; ROWS.len()];

/// A field that is read as a `T`; read as a `()`, only where it is counts.
#[derive(Debug)]
pub struct Field<T> {
    index: usize,
    read_as: PhantomData<T>,
}

// Not derived: that would ask the same of `T`.
impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Field<T> {}

impl<T> Field<T> {
    /// Its place in [`ROWS`] and [`Offsets`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.index
    }
}

/// What both sides must know of a field.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Where it is: in the first of these places that the running kernel has.
    pub places: &'static [Place],
    /// How many bytes of it are read; 0 where only its place counts.
    pub width: usize,
    /// What it is needed for.
    pub need: Need,
}

/// A place of a field.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The struct it is counted from.
    pub of: &'static str,
    /// The members on the way, but for anonymous ones; of an array its first element counts.
    pub path: &'static [&'static str],
}

/// What a field is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Everything.
    Required,
    /// One part of what can be seen: it is left out where any of its fields cannot be read.
    Optional(Part),
}

/// What the tracer can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Addresses of IPv6: absent where the kernel has no IPv6.
    Ipv6Addresses,
    /// Routes of IPv6: absent where IPv6 is a module, whose types are not the kernel's.
    Ipv6Routes,
    /// Payload in packets.
    Packets,
    /// The packets that are not acknowledged yet.
    Unacknowledged,
    /// From pages to the memory they stand for.
    Pages,
    /// What applications hand over.
    Messages,
}

impl Part {
    /// Whether payload is read for it: so only where that is asked for.
    #[must_use]
    pub const fn reads_payload(self) -> bool {
        !matches!(self, Self::Ipv6Addresses | Self::Ipv6Routes)
    }

    /// What is lost without it.
    #[must_use]
    pub const fn loss(self) -> &'static str {
        match self {
            Self::Ipv6Addresses => "IPv6 addresses read as ::",
            Self::Ipv6Routes => "resets that IPv6 segments for other hosts would get are counted as sent",
            Self::Packets => "no request line is read from packets",
            Self::Unacknowledged => "no request line is read from what a client has sent unacknowledged",
            Self::Pages => "request lines are read from a packet's own memory only, not from pages",
            Self::Messages => "no request line is read from what clients are about to send",
        }
    }
}

/// Declares [`field`] and [`ROWS`] from one list, so that none can lack the other.
macro_rules! fields {
    ($($name:ident: $read_as:ty = $($of:ident$(.$step:ident)+)|+, $need:expr;)*) => {
        #[expect(non_camel_case_types, reason = "numbers the fields, under their own names")]
        #[expect(clippy::upper_case_acronyms, reason = "likewise")]
        enum Index { $($name),* }

        /// The fields, by name.
        pub mod field {
            use super::{Field, Index, PhantomData};
            $(
                #[doc = concat!($("`", stringify!($of$(.$step)+), "` "),+)]
                pub const $name: Field<$read_as> = Field { index: Index::$name as usize, read_as: PhantomData };
            )*
        }

        /// Every field's row, in the order of the list.
        pub const ROWS: &[Row] = &[$(Row {
            places: &[$(Place { of: stringify!($of), path: &[$(stringify!($step)),+] }),+],
            width: size_of::<$read_as>(),
            need: $need,
        }),*];
    };
}

use Need::{Optional, Required};
use Part::{Ipv6Addresses, Ipv6Routes, Messages, Packets, Pages, Unacknowledged};

// A `struct sock *` of TCP points at its `sock_common`, `inet_sock`, `inet_connection_sock` and `tcp_sock` at once, so
// all of these count from the same address. A time-wait or request socket has the `sock_common` part only. Pointers are
// addresses: u64.
fields! {
    SKC_FAMILY: u16 = sock_common.skc_family, Required;
    SKC_STATE: u8 = sock_common.skc_state, Required;
    SKC_NUM: u16 = sock_common.skc_num, Required;
    SKC_DPORT: u16 = sock_common.skc_dport, Required;
    SKC_DADDR: u32 = sock_common.skc_daddr, Required;
    SKC_RCV_SADDR: u32 = sock_common.skc_rcv_saddr, Required;
    SKC_V6_DADDR: [u32; 4] = sock_common.skc_v6_daddr, Optional(Ipv6Addresses);
    SKC_V6_RCV_SADDR: [u32; 4] = sock_common.skc_v6_rcv_saddr, Optional(Ipv6Addresses);
    SKC_NET: u64 = sock_common.skc_net.net, Required;
    SKC_FLAGS: u64 = sock_common.skc_flags, Required;
    SKC_TW_RCV_NXT: u32 = sock_common.skc_tw_rcv_nxt, Required;

    SK_SOCKET: u64 = sock.sk_socket, Required;
    SK_ERR: u32 = sock.sk_err, Required;
    SK_ERR_SOFT: u32 = sock.sk_err_soft, Required;
    SK_ERRORS: u32 = sock.sk_error_queue.qlen, Required;
    SK_FIRST_ERROR: u64 = sock.sk_error_queue.next, Required;
    SKB_CB: () = sk_buff.cb, Required;
    EXTERR_ERRNO: u32 = sock_exterr_skb.ee.ee_errno, Required;
    SK_SHUTDOWN: u8 = sock.sk_shutdown, Required;
    SK_LINGERTIME: u64 = sock.sk_lingertime, Required;
    INET_SPORT: u16 = inet_sock.inet_sport, Required;
    ICSK_PROBES_OUT: u8 = inet_connection_sock.icsk_probes_out, Required;
    ICSK_ACK_LRCVTIME: u32 = inet_connection_sock.icsk_ack.lrcvtime, Required;
    ICSK_RETRANSMITS: u8 = inet_connection_sock.icsk_retransmits, Required;

    LSNDTIME: u32 = tcp_sock.lsndtime, Required;
    RCV_TSTAMP: u32 = tcp_sock.rcv_tstamp, Required;
    BYTES_SENT: u64 = tcp_sock.bytes_sent, Required;
    BYTES_RECEIVED: u64 = tcp_sock.bytes_received, Required;
    BYTES_ACKED: u64 = tcp_sock.bytes_acked, Required;
    BYTES_RETRANS: u64 = tcp_sock.bytes_retrans, Required;
    DATA_SEGS_OUT: u32 = tcp_sock.data_segs_out, Required;
    DATA_SEGS_IN: u32 = tcp_sock.data_segs_in, Required;
    FIRST_TX_MSTAMP: u64 = tcp_sock.first_tx_mstamp, Required;
    SND_UNA: u32 = tcp_sock.snd_una, Required;
    SND_NXT: u32 = tcp_sock.snd_nxt, Required;
    SND_WL1: u32 = tcp_sock.snd_wl1, Required;
    WRITE_SEQ: u32 = tcp_sock.write_seq, Required;
    RCV_NXT: u32 = tcp_sock.rcv_nxt, Required;
    RCV_WUP: u32 = tcp_sock.rcv_wup, Required;
    COPIED_SEQ: u32 = tcp_sock.copied_seq, Required;
    RCV_RTT_US: u32 = tcp_sock.rcv_rtt_est.rtt_us, Required;
    RCVQ_TIME: u64 = tcp_sock.rcvq_space.time, Required;
    SRTT_US: u32 = tcp_sock.srtt_us, Required;
    LINGER2: i32 = tcp_sock.linger2, Required;
    RETRANS_OUT: u32 = tcp_sock.retrans_out, Required;

    NET_INUM: u32 = net.ns.inum, Required;
    SKB_HEAD: u64 = sk_buff.head, Required;
    SKB_TRANSPORT_HEADER: u16 = sk_buff.transport_header, Required;
    SKB_NETWORK_HEADER: u16 = sk_buff.network_header, Required;
    SKB_REFDST: u64 = sk_buff._skb_refdst, Required;
    CB_SEQ: u32 = tcp_skb_cb.seq, Required;
    CB_END_SEQ: u32 = tcp_skb_cb.end_seq, Required;
    CB_ACK_SEQ: u32 = tcp_skb_cb.ack_seq, Required;
    // struct rtable and struct rt6_info begin with their dst_entry.
    DST_DEV: u64 = dst_entry.dev, Required;
    RT_TYPE: u16 = rtable.rt_type, Required;
    RT6I_FLAGS: u32 = rt6_info.rt6i_flags, Optional(Ipv6Routes);
    DEV_ND_NET: u64 = net_device.nd_net.net, Required;

    SKB_DATA: u64 = sk_buff.data, Optional(Packets);
    SKB_TAIL: u32 = sk_buff.tail, Optional(Packets);
    SKB_END: u32 = sk_buff.end, Optional(Packets);
    SKB_LEN: u32 = sk_buff.len, Optional(Packets);
    SKB_DATA_LEN: u32 = sk_buff.data_len, Optional(Packets);
    SHINFO_NR_FRAGS: u8 = skb_shared_info.nr_frags, Optional(Packets);
    SHINFO_FRAGS: () = skb_shared_info.frags, Optional(Packets);
    // Up to 6.7 a fragment is a `bio_vec`.
    FRAG_PAGE: u64 = skb_frag.netmem | bio_vec.bv_page, Optional(Packets);
    FRAG_LEN: u32 = skb_frag.len | bio_vec.bv_len, Optional(Packets);
    FRAG_OFFSET: u32 = skb_frag.offset | bio_vec.bv_offset, Optional(Packets);

    SK_RTX_QUEUE: u64 = sock.tcp_rtx_queue.rb_node, Optional(Unacknowledged);
    SKB_RBNODE: () = sk_buff.rbnode, Optional(Unacknowledged);
    RB_LEFT: u64 = rb_node.rb_left, Optional(Unacknowledged);

    SKC_PROT: u64 = sock_common.skc_prot, Optional(Pages);
    PROTO_SLAB: u64 = proto.slab, Optional(Pages);
    CACHE_LIST: u64 = kmem_cache.list.next, Optional(Pages);
    // From 7.1 on nodes share an array with other things.
    CACHE_NODE: u64 = kmem_cache.node | kmem_cache.per_node.node, Optional(Pages);
    NODE_PARTIAL: u64 = kmem_cache_node.partial.next, Optional(Pages);
    // Up to 5.16 a slab is a `page`.
    SLAB_LIST: () = slab.slab_list | page.slab_list, Optional(Pages);
    SLAB_FREELIST: u64 = slab.freelist | page.freelist, Optional(Pages);

    MSG_ITER_TYPE: u8 = msghdr.msg_iter.iter_type, Optional(Messages);
    MSG_ITER_OFFSET: u64 = msghdr.msg_iter.iov_offset, Optional(Messages);
    MSG_ITER_COUNT: u64 = msghdr.msg_iter.count, Optional(Messages);
    MSG_ITER_ADDRESS: u64 = msghdr.msg_iter.ubuf, Optional(Messages);
}
