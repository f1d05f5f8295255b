//! The name that Zeek, Suricata, Wireshark and others give a connection's addresses.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer};
use sha1::{Digest as _, Sha1};

use super::Flow;

/// `IPPROTO_TCP`
const TCP: u8 = 6;

/// A connection's Community ID, version 1 with seed 0 (<https://github.com/corelight/community-id-spec>). It is the
/// same from both ends, unless addresses are translated between them. Worked out when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommunityId {
    lower: SocketAddr,
    upper: SocketAddr,
}

impl CommunityId {
    pub(crate) fn of(flow: &Flow) -> Self {
        let order = |end: &SocketAddr| (end.ip(), end.port());
        let (local, remote) = (flow.local, flow.remote);
        let (lower, upper) = if order(&local) <= order(&remote) { (local, remote) } else { (remote, local) };
        Self { lower, upper }
    }
}

impl fmt::Display for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SEED: [u8; 2] = [0, 0];
        const PADDING: u8 = 0;
        let mut hash = Sha1::new_with_prefix(SEED);
        for end in [self.lower, self.upper] {
            match end.ip() {
                IpAddr::V4(address) => hash.update(address.octets()),
                IpAddr::V6(address) => hash.update(address.octets()),
            }
        }
        hash.update([TCP, PADDING]);
        for end in [self.lower, self.upper] {
            hash.update(end.port().to_be_bytes());
        }
        write!(f, "1:{}", STANDARD.encode(hash.finalize()))
    }
}

impl Serialize for CommunityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_other_tools_say_and_the_same_from_both_ends() {
        for (one, other, id) in [
            ("128.232.110.120:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (
                "[2607:f8b0:400c:c03::1a]:25",
                "[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943",
                "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
            ),
            ("127.0.0.1:8000", "127.0.0.1:40236", "1:em9kGMx8C0JXNl26eM9lvcESRqY="),
        ] {
            let [one, other] = [one, other].map(|end| end.parse().unwrap());
            for (local, remote) in [(one, other), (other, one)] {
                let flow = Flow { netns: 1, local, remote };
                assert_eq!(CommunityId::of(&flow).to_string(), id, "{flow:?}");
            }
        }
    }
}
