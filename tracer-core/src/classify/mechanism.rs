//! How the kernel came to send a RST: by its own reason where it gives one, by the socket otherwise; and what
//! the application got to see.

use crate::{
    classify::cause::{Errno, Mechanism},
    decode::reasons::{Reason, Reasons},
    matching::incident::{Holder, MatchedReset, Trigger},
    model::event::{Segment, TcpState},
};

/// How the kernel came to send this one.
#[must_use]
pub fn mechanism(reset: &MatchedReset, reasons: &Reasons) -> Mechanism {
    let meaning = reset.reason.and_then(|reason| reasons.meaning(reason));
    match (reset.trigger, reset.holder) {
        (_, Holder::TimeWait) => Mechanism::TimeWait,
        (_, Holder::Listener) => Mechanism::Listener,
        (_, Holder::NoSocket) => Mechanism::NoSocket,
        (Trigger::Passive(segment), Holder::Connection) => {
            answering(reset, &segment, meaning, unexplained(reset, reasons))
        }
        (Trigger::Active { after_close }, _) => {
            active(reset, after_close, meaning, unexplained(reset, reasons))
        }
        (Trigger::Received, _) => Mechanism::Unknown,
    }
}

/// The kernel's reason is one that says nothing more (`NOT_SPECIFIED`), or there is none.
fn unexplained(reset: &MatchedReset, reasons: &Reasons) -> bool {
    reset.reason.is_none_or(|reason| reasons.name(reason) == Some("NOT_SPECIFIED"))
}

fn answering(
    reset: &MatchedReset,
    segment: &Segment,
    meaning: Option<Reason>,
    unexplained: bool,
) -> Mechanism {
    let closed = reset.own_abort || reset.socket.as_ref().is_some_and(|socket| socket.orphan);
    match meaning {
        Some(Reason::Protocol) => Mechanism::Protocol,
        // With `TCP_LINGER2` below 0 even a bare ACK ends an orphan.
        Some(Reason::AbortOnData) if segment.len == 0 => Mechanism::Linger,
        Some(Reason::AbortOnData) => Mechanism::OrphanData,
        _ if !unexplained => Mechanism::Unknown,
        _ if closed && segment.len == 0 => Mechanism::Linger,
        _ if closed => Mechanism::OrphanData,
        _ => Mechanism::Protocol,
    }
}

fn active(reset: &MatchedReset, after_close: bool, meaning: Option<Reason>, unexplained: bool) -> Mechanism {
    let Some(socket) = &reset.socket else { return Mechanism::Unknown };
    let lingers = socket.linger_zero && !socket.no_file;
    // An orphan in FIN_WAIT2 is reset when its time is over (`tcp_keepalive_timer`, net/ipv4/tcp_timer.c).
    let expired = socket.orphan && socket.state == TcpState::FinWait2 && !after_close;
    match meaning {
        Some(Reason::AbortOnClose) => Mechanism::UnreadClose,
        Some(Reason::AbortOnLinger) => Mechanism::Linger,
        Some(Reason::AbortOnMemory) => Mechanism::Memory,
        Some(Reason::KeepaliveTimeout) => Mechanism::Keepalive,
        Some(Reason::State | Reason::DisconnectWithData) if after_close && lingers => Mechanism::Linger,
        Some(Reason::State | Reason::DisconnectWithData) if after_close => Mechanism::Disconnect,
        _ if expired => Mechanism::Unknown,
        Some(Reason::State) => Mechanism::Abort,
        _ if !unexplained => Mechanism::Unknown,
        _ if after_close && lingers => Mechanism::Linger,
        _ if after_close && socket.traffic.unread > 0 => Mechanism::UnreadClose,
        _ if after_close && socket.no_file && !socket.orphan => Mechanism::Disconnect,
        _ if after_close => Mechanism::Unknown,
        _ if socket.orphan => Mechanism::Memory,
        _ if socket.probes_out > 0 => Mechanism::Keepalive,
        _ => Mechanism::Abort,
    }
}

/// What `tcp_reset` and its like leave in `sk_err` (`net/ipv4/tcp_input.c`); nobody sees an orphan's.
#[must_use]
pub fn errno(reset: &MatchedReset, mechanism: Option<Mechanism>) -> Option<Errno> {
    if reset.socket.as_ref()?.orphan {
        return None;
    }
    match (mechanism, reset.state?) {
        (None, TcpState::SynSent) => Some(Errno::ConnRefused),
        (None, TcpState::CloseWait) => Some(Errno::Pipe),
        (None, _) => Some(Errno::ConnReset),
        (Some(Mechanism::Keepalive), _) => Some(Errno::TimedOut),
        (Some(Mechanism::Abort), _) => Some(Errno::ConnAborted),
        _ => None,
    }
}
