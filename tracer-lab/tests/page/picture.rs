//! The picture in the README.

use anyhow::Result;
use tracer_lab::privilege::require_root;
use tracer_lab::workspace;

use crate::browser::Browser;
use crate::network::Network;
use crate::traffic::Traffic;
use crate::{daemon, has_advice};

/// Each is seen at both ends.
const RACES: usize = 3;

#[test]
#[ignore = "writes docs/page.png: asked for by name after a change of the page"]
fn the_picture_in_the_readme_is_made_anew() -> Result<()> {
    if !require_root("page") {
        return Ok(());
    }
    let network = Network::new()?;
    let daemon = daemon(&network)?;
    let browser = Browser::start()?;
    browser.prefer("light")?;
    browser.open(daemon.port)?;
    let traffic = Traffic::on(&network)?;
    traffic.closes_until(|| has_advice(&daemon))?;
    for _ in 0..RACES {
        traffic.race()?;
    }
    browser.until(&format!("document.querySelectorAll('#incidents tbody').length === {}", 2 * RACES))?;
    browser.until("document.querySelector('#advice [data-severity=warning]')")?;
    browser.picture(1040, 1290, &workspace::root().join("docs/page.png"))
}
