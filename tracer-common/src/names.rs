//! The names of the maps, the load-time constants and the programs of the eBPF object: both sides go by these.

/// Declares names that are spelled like what they name.
macro_rules! names {
    ($(#[$about:meta])* $list:ident: $($name:ident)*) => {
        $(#[$about])*
        pub mod $list {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                #[allow(non_upper_case_globals, reason = "programs are named like functions")]
                pub const $name: &str = stringify!($name);
            )*

            /// Every name of the list.
            pub const ALL: &[&str] = &[$($name),*];
        }
    };
}
names! {
    /// Maps.
    map: EVENTS COUNTERS EXCHANGES REQUESTS LATE REQUEST_LINES PREFIXES PAGES SERVER_PORTS
}
names! {
    /// What is written at load and then frozen.
    constant: OFFSETS HAS_REASON IDLE_JIFFIES JIFFY_NS WAKE_BYTES FILTERS_PORTS COUNTS_REQUESTS READS_REQUEST_LINES
        PAGE_RATIO ITER_UBUF ITER_IOVEC
}
names! {
    /// Programs, named after the tracepoint or function they are attached to.
    program: inet_sock_set_state tcp_receive_reset tcp_send_reset tcp_v4_send_reset tcp_v6_send_reset
        tcp_rcv_space_adjust tcp_sendmsg_locked tcp_destroy_sock
}
