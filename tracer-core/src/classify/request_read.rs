//! Whether the server's application took the last request: what decides whether it may be sent again.

/// Whether the server's application read the last request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestRead {
    /// No byte of it, proven by the kernel's own numbers: it may be sent again, whatever its method.
    Never,
    /// Its beginning.
    Partly,
    /// All that had arrived.
    Yes,
    /// It cannot be told.
    Unknown,
}

impl RequestRead {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Never, Self::Partly, Self::Yes, Self::Unknown];

    /// The name used in labels and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Partly => "partly",
            Self::Yes => "yes",
            Self::Unknown => "unknown",
        }
    }
}
