//! The one table of kernel field names.

use anyhow::{Result, bail};
use tracer_common::{ABSENT, Field, Offsets};

use super::btf::Btf;

/// Where each [`Field`] is found: the struct it is counted from and its path in there.
const FIELDS: [(Field, &str, &[&str]); Field::COUNT] = [
    (Field::SkcFamily, "sock_common", &["skc_family"]),
    (Field::SkcState, "sock_common", &["skc_state"]),
    (Field::SkcNum, "sock_common", &["skc_num"]),
    (Field::SkcDport, "sock_common", &["skc_dport"]),
    (Field::SkcDaddr, "sock_common", &["skc_daddr"]),
    (Field::SkcRcvSaddr, "sock_common", &["skc_rcv_saddr"]),
    (Field::SkcV6Daddr, "sock_common", &["skc_v6_daddr"]),
    (Field::SkcV6RcvSaddr, "sock_common", &["skc_v6_rcv_saddr"]),
    (Field::SkcNet, "sock_common", &["skc_net", "net"]),
    (Field::SkcFlags, "sock_common", &["skc_flags"]),
    (Field::SkcTwRcvNxt, "sock_common", &["skc_tw_rcv_nxt"]),
    (Field::SkSocket, "sock", &["sk_socket"]),
    (Field::SkErr, "sock", &["sk_err"]),
    (Field::SkLingertime, "sock", &["sk_lingertime"]),
    (Field::InetSport, "inet_sock", &["inet_sport"]),
    (Field::IcskProbesOut, "inet_connection_sock", &["icsk_probes_out"]),
    (Field::IcskAckLrcvtime, "inet_connection_sock", &["icsk_ack", "lrcvtime"]),
    (Field::IcskRetransmits, "inet_connection_sock", &["icsk_retransmits"]),
    (Field::Lsndtime, "tcp_sock", &["lsndtime"]),
    (Field::RcvTstamp, "tcp_sock", &["rcv_tstamp"]),
    (Field::BytesSent, "tcp_sock", &["bytes_sent"]),
    (Field::BytesReceived, "tcp_sock", &["bytes_received"]),
    (Field::BytesAcked, "tcp_sock", &["bytes_acked"]),
    (Field::BytesRetrans, "tcp_sock", &["bytes_retrans"]),
    (Field::DataSegsOut, "tcp_sock", &["data_segs_out"]),
    (Field::DataSegsIn, "tcp_sock", &["data_segs_in"]),
    (Field::FirstTxMstamp, "tcp_sock", &["first_tx_mstamp"]),
    (Field::SndUna, "tcp_sock", &["snd_una"]),
    (Field::SndNxt, "tcp_sock", &["snd_nxt"]),
    (Field::SndWl1, "tcp_sock", &["snd_wl1"]),
    (Field::WriteSeq, "tcp_sock", &["write_seq"]),
    (Field::RcvNxt, "tcp_sock", &["rcv_nxt"]),
    (Field::CopiedSeq, "tcp_sock", &["copied_seq"]),
    (Field::SrttUs, "tcp_sock", &["srtt_us"]),
    (Field::Linger2, "tcp_sock", &["linger2"]),
    (Field::RetransOut, "tcp_sock", &["retrans_out"]),
    (Field::NetInum, "net", &["ns", "inum"]),
    (Field::SkbHead, "sk_buff", &["head"]),
    (Field::SkbTransportHeader, "sk_buff", &["transport_header"]),
    (Field::SkbNetworkHeader, "sk_buff", &["network_header"]),
    (Field::SkbRefdst, "sk_buff", &["_skb_refdst"]),
    (Field::DstDev, "dst_entry", &["dev"]),
    (Field::RtType, "rtable", &["rt_type"]),
    (Field::Rt6iFlags, "rt6_info", &["rt6i_flags"]),
    (Field::DevNdNet, "net_device", &["nd_net", "net"]),
    (Field::SkbData, "sk_buff", &["data"]),
    (Field::SkbTail, "sk_buff", &["tail"]),
    (Field::SkbEnd, "sk_buff", &["end"]),
    (Field::SkbLen, "sk_buff", &["len"]),
    (Field::SkbDataLen, "sk_buff", &["data_len"]),
    (Field::ShinfoNrFrags, "skb_shared_info", &["nr_frags"]),
    (Field::ShinfoFrags, "skb_shared_info", &["frags"]),
    (Field::FragPage, "skb_frag", &["netmem"]),
    (Field::FragLen, "skb_frag", &["len"]),
    (Field::FragOffset, "skb_frag", &["offset"]),
    (Field::SkRtxQueue, "sock", &["tcp_rtx_queue", "rb_node"]),
    (Field::SkbRbnode, "sk_buff", &["rbnode"]),
    (Field::RbLeft, "rb_node", &["rb_left"]),
    (Field::SkcProt, "sock_common", &["skc_prot"]),
    (Field::ProtoSlab, "proto", &["slab"]),
    (Field::CacheList, "kmem_cache", &["list"]),
    (Field::CacheNode, "kmem_cache", &["node"]),
    (Field::NodePartial, "kmem_cache_node", &["partial"]),
    (Field::SlabList, "slab", &["slab_list"]),
    (Field::SlabFreelist, "slab", &["freelist"]),
    (Field::MsgIterType, "msghdr", &["msg_iter", "iter_type"]),
    (Field::MsgIterOffset, "msghdr", &["msg_iter", "iov_offset"]),
    (Field::MsgIterCount, "msghdr", &["msg_iter", "count"]),
    (Field::MsgIterAddress, "msghdr", &["msg_iter", "ubuf"]),
];

/// Where some of them are on other kernels.
const ELSEWHERE: [(Field, &str, &[&str]); 6] = [
    // Up to 6.7 a fragment is a `bio_vec`.
    (Field::FragPage, "bio_vec", &["bv_page"]),
    (Field::FragLen, "bio_vec", &["bv_len"]),
    (Field::FragOffset, "bio_vec", &["bv_offset"]),
    // Up to 5.16 a slab is a `page`.
    (Field::SlabList, "page", &["slab_list"]),
    (Field::SlabFreelist, "page", &["freelist"]),
    // From 7.1 on nodes share an array with other things.
    (Field::CacheNode, "kmem_cache", &["per_node", "node"]),
];

/// Fields a kernel may lack because of its configuration (no IPv6, or IPv6 as a module, whose types are not in
/// vmlinux): what needs them is left out.
const OPTIONAL: [Field; 3] = [Field::SkcV6Daddr, Field::SkcV6RcvSaddr, Field::Rt6iFlags];

/// Looks up every field on the running kernel: those for payload only where that is to be read.
pub fn resolve(btf: &Btf, with_payload: bool) -> Result<Offsets> {
    let mut offsets = [ABSENT; Field::COUNT];
    for (field, name, path) in
        FIELDS.into_iter().filter(|(field, ..)| with_payload || !field.is_for_payload())
    {
        match btf.field_offset(name, path).or_else(|| elsewhere(btf, field)) {
            Some(offset) => offsets[field as usize] = offset,
            None if OPTIONAL.contains(&field) || field.is_for_payload() => {}
            None => bail!(
                "this kernel's struct {name} has no field {}: it is older than 5.10 or changed since 7.2; \
                 please report it with the output of `uname -r`",
                path.join(".")
            ),
        }
    }
    Ok(offsets)
}

fn elsewhere(btf: &Btf, field: Field) -> Option<u32> {
    ELSEWHERE.iter().filter(|place| place.0 == field).find_map(|(_, name, path)| btf.field_offset(name, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_exactly_one_row_in_its_own_place() {
        for (index, (field, ..)) in FIELDS.iter().enumerate() {
            assert_eq!(*field as usize, index, "{field:?} stands in the wrong row");
        }
    }

    #[test]
    fn the_running_kernel_has_them_all() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else { return };
        let offsets = resolve(&Btf::parse(bytes).unwrap(), true).unwrap();
        assert!(offsets.iter().all(|&offset| offset != ABSENT));
    }
}
