//! Why the kernel says it sent a RST: `enum sk_rst_reason`, whose numbers shift between versions.

/// The reasons this program acts on, named after the kernel's own (`include/net/rstreason.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    InvalidSyn,
    AbortOnData,
    AbortOnClose,
    AbortOnLinger,
    AbortOnMemory,
    State,
    KeepaliveTimeout,
    DisconnectWithData,
    /// A wrong acknowledgment, sequence number, timestamp or flag.
    Protocol,
}

/// The running kernel's reasons, by number.
#[derive(Clone, Debug, Default)]
pub struct Reasons {
    names: Vec<(u32, String)>,
}

impl Reasons {
    /// Every number with its name.
    #[must_use]
    pub fn names(&self) -> &[(u32, String)] {
        &self.names
    }

    /// A table of numbers and names, as a kernel's BTF or a recording has it.
    #[must_use]
    pub fn from_names(names: Vec<(u32, String)>) -> Self {
        Self { names }
    }

    /// The kernel's name for a number.
    #[must_use]
    pub(crate) fn name(&self, number: u32) -> Option<&str> {
        self.names.iter().find(|(value, _)| *value == number).map(|(_, name)| name.as_str())
    }

    /// What a number means to this program.
    #[must_use]
    pub(crate) fn meaning(&self, number: u32) -> Option<Reason> {
        Some(match self.name(number)? {
            "INVALID_SYN" => Reason::InvalidSyn,
            "TCP_ABORT_ON_DATA" => Reason::AbortOnData,
            "TCP_ABORT_ON_CLOSE" => Reason::AbortOnClose,
            "TCP_ABORT_ON_LINGER" => Reason::AbortOnLinger,
            "TCP_ABORT_ON_MEMORY" => Reason::AbortOnMemory,
            "TCP_STATE" => Reason::State,
            "TCP_KEEPALIVE_TIMEOUT" => Reason::KeepaliveTimeout,
            "TCP_DISCONNECT_WITH_DATA" => Reason::DisconnectWithData,
            "TCP_INVALID_ACK_SEQUENCE"
            | "TCP_RFC7323_PAWS"
            | "TCP_TOO_OLD_ACK"
            | "TCP_ACK_UNSENT_DATA"
            | "TCP_FLAGS"
            | "TCP_OLD_ACK" => Reason::Protocol,
            _ => return None,
        })
    }
}
