use super::{blob::Blob, *};

/// The tests run wherever the kernel exports its BTF; without it there is nothing to read.
fn running_kernel() -> Option<Btf> {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Some(Btf::parse(bytes).expect("the kernel's own BTF parses"))
}

#[test]
fn fields_are_found_through_anonymous_unions_and_nested_structs() {
    let Some(btf) = running_kernel() else { return };
    // `skc_daddr` opens the struct, inside a union inside a struct; the kernel relies on that.
    for (path, offset, width) in
        [("skc_daddr", 0, 4), ("skc_rcv_saddr", 4, 4), ("skc_dport", 12, 2), ("skc_num", 14, 2)]
    {
        assert_eq!(btf.field("sock_common", &[path]).unwrap(), Some(Field { offset, width }), "{path}");
    }
    let offset = |path: &[&str]| btf.field("inet_connection_sock", path).unwrap().map(|field| field.offset);
    assert!(offset(&["icsk_ack", "lrcvtime"]) > offset(&["icsk_ack"]));
}

#[test]
fn what_a_kernel_does_not_have_is_none() {
    let Some(btf) = running_kernel() else { return };
    assert_eq!(btf.field("sock_common", &["no_such_field"]).unwrap(), None);
    assert_eq!(btf.field("no_such_struct", &["skc_daddr"]).unwrap(), None);
    assert_eq!(btf.tracepoint_arguments("no_such_tracepoint"), None);
    assert!(btf.enum_names("no_such_enum", "").is_empty());
}

#[test]
fn tracepoints_tell_how_many_arguments_they_have() {
    let Some(btf) = running_kernel() else { return };
    assert_eq!(btf.tracepoint_arguments("tcp_receive_reset"), Some(1));
    assert_eq!(btf.tracepoint_arguments("inet_sock_set_state"), Some(3));
}

#[test]
fn truncated_or_foreign_bytes_are_an_error_not_a_panic() {
    for bytes in [vec![], vec![0; 3], vec![0xff; 64], b"\x9f\xeb\x01\x00\x18\x00\x00\x00".to_vec()] {
        assert!(Btf::parse(bytes).is_err());
    }
    let Ok(whole) = std::fs::read("/sys/kernel/btf/vmlinux") else { return };
    for len in [8, 24, 25, 100, whole.len() / 7, whole.len() - 1] {
        assert!(Btf::parse(whole[..len].to_vec()).is_err(), "{len} bytes");
    }
}

#[test]
fn a_struct_that_contains_itself_is_an_error_and_not_for_ever() {
    // Once, and so often that the search would take years.
    for times in [1, 40] {
        let mut blob = Blob::default();
        blob.add("snake", &["head"], 4);
        blob.contain_itself("snake", times);
        let btf = Btf::parse(blob.bytes()).unwrap();
        assert_eq!(btf.field("snake", &["head"]).unwrap(), Some(Field { offset: 0, width: 4 }));
        let sentence = format!("{:#}", btf.field("snake", &["tail"]).unwrap_err());
        assert!(sentence.contains("struct snake") && sentence.contains("damaged"), "{sentence}");
    }
}

#[test]
fn anonymous_members_that_multiply_are_an_error_and_not_for_ever() {
    let mut blob = Blob::default();
    blob.multiply("hydra", 14, 100);
    let btf = Btf::parse(blob.bytes()).unwrap();
    let sentence = format!("{:#}", btf.field("hydra", &["tail"]).unwrap_err());
    assert!(sentence.contains("struct hydra") && sentence.contains("without end"), "{sentence}");
}
