//! The kernel side of tracer: where it is hooked. It reports facts; user space judges.
//!
//! | hook | attached |
//! |---|---|
//! | `inet_sock_set_state`, `tcp_receive_reset`, `tcp_send_reset` | always |
//! | kprobes on `tcp_v4_send_reset`, `tcp_v6_send_reset` | up to 6.9, whose `tcp_send_reset` does not see every reset |
//! | `tcp_rcv_space_adjust` | where requests are counted |
//! | `tcp_sendmsg_locked` | where request lines are asked for |
//! | `tcp_destroy_sock` | together with either of the last two |
//!
//! Where the socket is read and always is one, the program is typed (`tp_btf`): the verifier knows the arguments'
//! types, so that fields are loaded without a helper. Not so for `tcp_send_reset`: on 6.2 to early 6.12 its arguments
//! are wrongly marked as trusted and the verifier deletes the NULL checks.

#![no_std]
#![no_main]
#![deny(clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]

mod emit;
mod kernel;
mod probes;
mod record;
mod state;

use aya_ebpf::{
    macros::{btf_tracepoint, kprobe, raw_tracepoint},
    programs::{BtfTracePointContext, ProbeContext, RawTracePointContext},
};
use aya_log_ebpf::debug;
use tracer_common::{NO_REASON, program};

use crate::{
    kernel::{Typed, sock},
    probes::{destroy, payload_read, payload_sent, receive_reset, send_reset, state_change},
    state::{
        constants::has_reason,
        prefixes::{Program, Room},
    },
};

/// `tcp_send_reset(const struct sock *sk, const struct sk_buff *skb)`, from 6.10 on with
/// `const enum sk_rst_reason reason` (include/trace/events/tcp.h).
#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub fn tcp_send_reset(ctx: RawTracePointContext) -> i32 {
    let (sk, skb) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1));
    let reason = if has_reason() { ctx.arg::<u32>(2) } else { NO_REASON };
    debug!(&ctx, "tcp_send_reset sk {:x} skb {:x} reason {}", sk, skb, reason);
    // SAFETY: this is that program.
    let mut room = unsafe { Room::of(Program::SendReset) };
    send_reset::sent(sk, skb, reason, &mut room);
    0
}

/// `tcp_receive_reset(struct sock *sk)` (include/trace/events/tcp.h).
#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn tcp_receive_reset(ctx: BtfTracePointContext) -> i32 {
    if let Some(sk) = Typed::tcp_sock(ctx.arg(0)) {
        // Not its address: the log is written byte by byte, and the verifier lets nobody take a pointer apart.
        debug!(&ctx, "tcp_receive_reset state {}", sock::state_of(sk));
        // SAFETY: this is that program.
        let mut room = unsafe { Room::of(Program::ReceiveReset) };
        receive_reset::received(sk, &mut room);
    }
    0
}

/// `tcp_v4_send_reset(const struct sock *sk, struct sk_buff *skb)` (net/ipv4/tcp_ipv4.c), up to 6.9.
#[kprobe]
pub fn tcp_v4_send_reset(ctx: ProbeContext) -> u32 {
    entered(&ctx)
}

/// `tcp_v6_send_reset(const struct sock *sk, struct sk_buff *skb)` (net/ipv6/tcp_ipv6.c), up to 6.9.
#[kprobe]
pub fn tcp_v6_send_reset(ctx: ProbeContext) -> u32 {
    entered(&ctx)
}

#[inline(always)]
fn entered(ctx: &ProbeContext) -> u32 {
    if let (Some(sk), Some(skb)) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1)) {
        // SAFETY: both callers are that program.
        let mut room = unsafe { Room::of(Program::EnterSendReset) };
        send_reset::entered(sk, skb, &mut room);
    }
    0
}

/// `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
/// (include/trace/events/sock.h).
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let (old, new) = (ctx.arg::<u64>(1) as u8, ctx.arg::<u64>(2) as u8);
    state_change::state_changed(ctx.arg::<u64>(0), old, new);
    0
}

/// `tcp_rcv_space_adjust(struct sock *sk)` (include/trace/events/tcp.h): an application has read payload
/// (`tcp_rcv_space_adjust`, net/ipv4/tcp_input.c). Attached only where requests are to be counted.
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn tcp_rcv_space_adjust(ctx: BtfTracePointContext) -> i32 {
    if let Some(sk) = Typed::tcp_sock(ctx.arg(0)) {
        payload_read::read(sk);
    }
    0
}

/// `tcp_sendmsg_locked(const struct sock *sk, const struct msghdr *msg, const struct sk_buff *skb, int size_goal)`
/// (include/trace/events/tcp.h, 6.17 and later): payload is about to be copied (`tcp_sendmsg_locked`, net/ipv4/tcp.c).
/// Attached only where request lines are asked for.
#[btf_tracepoint(function = "tcp_sendmsg_locked")]
pub fn tcp_sendmsg_locked(ctx: BtfTracePointContext) -> i32 {
    if let Some(sk) = Typed::tcp_sock(ctx.arg(0)) {
        // SAFETY: this is that program.
        let mut room = unsafe { Room::of(Program::SendMessage) };
        payload_sent::sending(sk, Typed::argument(ctx.arg(1)), &mut room);
    }
    0
}

/// `tcp_destroy_sock(struct sock *sk)` (include/trace/events/tcp.h): the address of the socket becomes free. Attached
/// together with one of the two above.
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
pub fn tcp_destroy_sock(ctx: RawTracePointContext) -> i32 {
    destroy::destroyed(ctx.arg::<u64>(0));
    0
}

/// Ties programs to the names by which user space finds them.
macro_rules! named {
    ($($program:ident)*) => {$(
        const _: &str = {
            let _ = $program;
            program::$program
        };
    )*};
}

named! {
    inet_sock_set_state tcp_receive_reset tcp_send_reset tcp_v4_send_reset tcp_v6_send_reset
    tcp_rcv_space_adjust tcp_sendmsg_locked tcp_destroy_sock
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// Helpers such as `bpf_probe_read_kernel` are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
