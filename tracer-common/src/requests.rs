//! What the kernel side counts of each server's requests, while it is asked to.

/// Upper bounds in milliseconds of the buckets that idle times are counted in: around the usual keep-alive timeouts,
/// and none a whole number of seconds, so that `le` reads the same in every exposition format.
pub const IDLE_BOUNDS_MS: [u32; 26] = [
    100, 500, 950, 1950, 2500, 3950, 4500, 4950, 5500, 6500, 9500, 15_500, 20_500, 29_500, 31_500, 58_500,
    61_500, 64_500, 67_500, 74_500, 77_500, 92_500, 131_500, 299_500, 599_500, 625_500,
];

/// Numbers that hold a bit for each port.
pub const PORT_WORDS: u32 = (1 << 16) / u64::BITS;

/// Our side of a connection.
pub const ROLE_UNKNOWN: u32 = 0;
/// We accepted the connection.
pub const ROLE_SERVER: u32 = 1;
/// We made it.
pub const ROLE_CLIENT: u32 = 2;

/// A server, seen from one of its connections' ends. No padding: the kernel compares keys byte by byte.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerKey {
    /// The server's address; IPv4 in the first four bytes.
    pub addr: [u8; 16],
    /// Its port, host byte order.
    pub port: u16,
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
    /// One of the `ROLE_*` values.
    pub role: u32,
}

const _: () = assert!(size_of::<ServerKey>() == 24);

/// Totals of one server, on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestTotals {
    /// Requests.
    pub requests: u64,
    /// Requests on connections that had carried one before, by how long these had been idle.
    pub reuse_idle: [u64; IDLE_BOUNDS_MS.len() + 1],
    /// The sum of those times in nanoseconds.
    pub reuse_idle_ns: u64,
    /// Those of them that came later than the mark set for the server.
    pub late: u64,
}

/// [`RequestTotals`] as the numbers it is made of, in their order.
pub type RequestNumbers = [u64; size_of::<RequestTotals>() / 8];

const _: () = assert!(size_of::<RequestTotals>() == 240);

impl RequestTotals {
    /// Requests on connections that had carried one before.
    #[must_use]
    pub fn reuses(&self) -> u64 {
        self.reuse_idle.iter().sum()
    }

    /// Adds another server's totals, or another CPU's.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        for (bucket, more) in self.reuse_idle.iter_mut().zip(other.reuse_idle) {
            *bucket += more;
        }
        self.reuse_idle_ns += other.reuse_idle_ns;
        self.late += other.late;
    }
}

impl From<RequestNumbers> for RequestTotals {
    fn from(numbers: RequestNumbers) -> Self {
        let [requests, reuse_idle @ .., reuse_idle_ns, late] = numbers;
        Self { requests, reuse_idle, reuse_idle_ns, late }
    }
}
