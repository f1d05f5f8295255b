//! Where to listen.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    str::FromStr,
};

use nix::net::if_::if_nametoindex;

/// An address of this host; one that is valid on a single link has its interface, as in `fe80::1%eth0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    ip: IpAddr,
    interface: u32,
}

impl ListenAddress {
    /// The address with a port.
    #[must_use]
    pub fn with_port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.interface).into(),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "localhost" {
            return Ok(Self { ip: Ipv4Addr::LOCALHOST.into(), interface: 0 });
        }
        let refused =
            || String::from("expected an IP address, such as 0.0.0.0 or fe80::1%eth0, or localhost");
        let Some((ip, name)) = text.split_once('%') else {
            return Ok(Self { ip: text.parse().map_err(|_| refused())?, interface: 0 });
        };
        let ip: Ipv6Addr = ip.parse().map_err(|_| refused())?;
        let interface = name.parse().or_else(|_| if_nametoindex(name));
        let interface = interface.map_err(|_| format!("there is no network interface {name}"))?;
        Ok(Self { ip: ip.into(), interface })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_its_interface_and_localhost_is_one() {
        for (text, address) in [
            ("127.0.0.1", Ok("127.0.0.1:80")),
            ("0.0.0.0", Ok("0.0.0.0:80")),
            ("localhost", Ok("127.0.0.1:80")),
            ("::", Ok("[::]:80")),
            ("fe80::1%7", Ok("[fe80::1%7]:80")),
            // The loopback is the first interface of every namespace.
            ("fe80::1%lo", Ok("[fe80::1%1]:80")),
            ("fe80::1%nowhere0", Err("there is no network interface nowhere0")),
            ("fe80::1%", Err("there is no network interface ")),
            ("127.0.0.1%lo", Err("expected an IP address, such as 0.0.0.0 or fe80::1%eth0, or localhost")),
            ("example.com", Err("expected an IP address, such as 0.0.0.0 or fe80::1%eth0, or localhost")),
        ] {
            let parsed = text.parse::<ListenAddress>().map(|address| address.with_port(80).to_string());
            assert_eq!(parsed, address.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }
}
