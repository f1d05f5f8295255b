//! The community id of a connection, version 1: <https://github.com/corelight/community-id-spec>.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest as _, Sha1};

/// TCP, and a byte of padding.
const PROTOCOL: [u8; 2] = [6, 0];

/// What every tool that knows community ids calls the connection between these two.
pub(crate) fn community_id(one: SocketAddr, other: SocketAddr) -> String {
    let (low, high) = if key(one) <= key(other) { (one, other) } else { (other, one) };
    let mut hash = Sha1::new();
    // The default seed.
    hash.update([0, 0]);
    hash.update(octets(low.ip()));
    hash.update(octets(high.ip()));
    hash.update(PROTOCOL);
    hash.update(low.port().to_be_bytes());
    hash.update(high.port().to_be_bytes());
    format!("1:{}", BASE64_STANDARD.encode(hash.finalize()))
}

fn key(end: SocketAddr) -> (Vec<u8>, u16) {
    (octets(end.ip()), end.port())
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_the_id_that_the_specification_gives_it_from_either_end() {
        let ends: [SocketAddr; 2] =
            ["128.232.110.120:34855", "66.35.250.204:80"].map(|end| end.parse().unwrap());
        for [one, other] in [[ends[0], ends[1]], [ends[1], ends[0]]] {
            assert_eq!(community_id(one, other), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        }
    }
}
