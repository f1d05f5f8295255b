//! Which kernel struct fields the kernel side reads.

/// The offset of a field that the running kernel does not have. The verifier sees offsets as constants and
/// prunes the code behind an absent one.
pub const ABSENT: u32 = u32::MAX;

/// Byte offsets, indexed by [`Field`]: resolved from the running kernel's BTF and handed over at load.
pub type Offsets = [u32; Field::COUNT];

/// A kernel struct field that the kernel side reads, counted from the object its group names.
///
/// A `struct sock *` of TCP points at its `sock_common`, `inet_sock`, `inet_connection_sock` and `tcp_sock`
/// at once, so all of these count from the same address. A time-wait or request socket has the `sock_common`
/// part only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "each is named after the kernel's own field")]
pub enum Field {
    // struct sock_common
    SkcFamily,
    SkcState,
    SkcNum,
    SkcDport,
    SkcDaddr,
    SkcRcvSaddr,
    SkcV6Daddr,
    SkcV6RcvSaddr,
    SkcNet,
    SkcFlags,
    SkcTwRcvNxt,
    // struct sock, struct inet_sock, struct inet_connection_sock
    SkSocket,
    SkErr,
    SkLingertime,
    InetSport,
    IcskProbesOut,
    IcskAckLrcvtime,
    IcskRetransmits,
    // struct tcp_sock
    Lsndtime,
    RcvTstamp,
    BytesSent,
    BytesReceived,
    BytesAcked,
    BytesRetrans,
    DataSegsOut,
    DataSegsIn,
    FirstTxMstamp,
    SndUna,
    SndNxt,
    SndWl1,
    WriteSeq,
    RcvNxt,
    CopiedSeq,
    SrttUs,
    Linger2,
    RetransOut,
    // struct net
    NetInum,
    // struct sk_buff
    SkbHead,
    SkbTransportHeader,
    SkbNetworkHeader,
    SkbRefdst,
    // struct dst_entry, struct rtable, struct rt6_info: all begin with the dst_entry
    DstDev,
    RtType,
    Rt6iFlags,
    // struct net_device
    DevNdNet,
    // Only to read payload, and all optional: struct sk_buff, struct skb_shared_info, skb_frag_t
    SkbData,
    SkbTail,
    SkbEnd,
    SkbLen,
    SkbDataLen,
    ShinfoNrFrags,
    ShinfoFrags,
    FragPage,
    FragLen,
    FragOffset,
    // struct sock and its queue
    SkRtxQueue,
    SkbRbnode,
    RbLeft,
    // What leads from a struct sock_common to pairs of a page and its address
    SkcProt,
    ProtoSlab,
    CacheList,
    CacheNode,
    NodePartial,
    SlabList,
    SlabFreelist,
    // struct msghdr
    MsgIterType,
    MsgIterOffset,
    MsgIterCount,
    MsgIterAddress,
}

impl Field {
    /// How many fields there are.
    pub const COUNT: usize = Self::MsgIterAddress as usize + 1;

    /// Whether it is read for payload only.
    #[must_use]
    pub fn is_for_payload(self) -> bool {
        self as usize >= Self::SkbData as usize
    }
}
