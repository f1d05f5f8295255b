//! Two hosts and a wire, with nothing between them.

use anyhow::Result;

use crate::testbed::host::{Host, wire};

/// Two hosts that reach each other at once.
pub(crate) struct Link {
    pub(crate) client: Host,
    pub(crate) server: Host,
}

impl Link {
    /// Makes them, with these addresses of one network of 24 bits.
    pub(crate) fn between(client: &str, server: &str) -> Result<Self> {
        let link = Self { client: Host::create("c")?, server: Host::create("s")? };
        wire(&link.client, &link.server, "eth0")?;
        for (host, address) in [(&link.client, client), (&link.server, server)] {
            host.ip(&format!("link set lo up\nlink set eth0 up\naddress add {address}/24 dev eth0"))?;
        }
        Ok(link)
    }
}
