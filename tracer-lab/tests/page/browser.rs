//! Debian's Chromium without a screen, driven as a user would: it opens a page, presses keys, and says what it shows.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use thirtyfour::{LoggingPrefsLogLevel, TypingData};
use tokio::runtime::{Builder, Runtime};
use tracer_lab::testbed::wait::until;

/// As root, without a network, and without a word to anybody but the page.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// A browser with one window, closed when dropped.
pub(crate) struct Browser {
    runtime: Runtime,
    window: WebDriver,
    _driver: Driver,
    _files: TempDir,
}

/// `chromedriver` and, in its process group, what it starts.
struct Driver(Child);

impl Browser {
    pub(crate) fn start() -> Result<Self> {
        let files = TempDir::new().context("no temporary directory for chromium")?;
        let (driver, port) = Driver::start(files.path())?;
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in ARGUMENTS {
            capabilities.add_arg(argument)?;
        }
        capabilities.add_arg(&format!("--user-data-dir={}", files.path().join("profile").display()))?;
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let window = runtime
            .block_on(WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities))
            .context("chromium does not start")?;
        Ok(Self { runtime, window, _driver: driver, _files: files })
    }

    /// Opens the page that `/` on this port serves.
    pub(crate) fn open(&self, port: u16) -> Result<()> {
        Ok(self.runtime.block_on(self.window.goto(format!("http://127.0.0.1:{port}/")))?)
    }

    /// What this JavaScript function body returns in the page.
    pub(crate) fn run(&self, script: &str) -> Result<Value> {
        let returned = self.runtime.block_on(self.window.execute(script, Vec::new()));
        Ok(returned.with_context(|| format!("in the page: {script}"))?.json().clone())
    }

    /// Waits until this JavaScript expression is true in the page.
    pub(crate) fn until(&self, expression: &str) -> Result<()> {
        let look = format!("return Boolean({expression})");
        let seen = until(expression, || Ok((self.run(&look)? == true).then_some(())));
        seen.with_context(|| format!("the page shows: {}", self.text().unwrap_or_default()))
    }

    /// All text in sight.
    pub(crate) fn text(&self) -> Result<String> {
        Ok(self.run("return document.body.innerText")?.as_str().unwrap_or_default().to_owned())
    }

    /// Presses a key, wherever the focus is.
    pub(crate) fn press(&self, key: Key) -> Result<()> {
        Ok(self.runtime.block_on(self.window.action_chain().send_keys(TypingData::from(key)).perform())?)
    }

    /// Makes the screen so wide, in CSS pixels.
    pub(crate) fn resize(&self, width: u32) -> Result<()> {
        self.screen(width, 740)
    }

    /// Writes a picture of the page's upper part, so wide and high.
    pub(crate) fn picture(&self, width: u32, height: u32, file: &Path) -> Result<()> {
        self.screen(width, height)?;
        Ok(self.runtime.block_on(self.window.screenshot(file))?)
    }

    fn screen(&self, width: u32, height: u32) -> Result<()> {
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.control("Emulation.setDeviceMetricsOverride", screen)
    }

    /// Lets the user prefer a colour scheme, and no motion.
    pub(crate) fn prefer(&self, scheme: &str) -> Result<()> {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.control("Emulation.setEmulatedMedia", json!({ "features": features }))
    }

    /// What the browser has complained of since this was asked the last time, such as an error in a script.
    pub(crate) fn complaints(&self) -> Result<Vec<String>> {
        let log = self.runtime.block_on(self.window.browser_log())?;
        Ok(log.into_iter().map(|entry| format!("{}: {}", entry.level, entry.message)).collect())
    }

    fn control(&self, command: &str, parameters: Value) -> Result<()> {
        Ok(self.runtime.block_on(self.window.cdp().send_raw(command, parameters)).map(drop)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // If the driver does not answer any more, its group is ended all the same.
        let _ = self.runtime.block_on(self.window.clone().quit());
    }
}

impl Driver {
    /// Starts it on a port of its own choice, with its files in `directory`.
    fn start(directory: &Path) -> Result<(Self, u16)> {
        // It chooses among the ports of IPv6, and gives up if that one is taken on IPv4.
        until("chromedriver to find a port", || {
            let mut command = Command::new("chromedriver");
            command.arg("--port=0").env("TMPDIR", directory).process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            let started =
                command.spawn().context("cannot run chromedriver (Debian package chromium-driver)")?;
            let mut driver = Self(started);
            let stdout = driver.0.stdout.take().context("chromedriver has no standard output")?;
            // "ChromeDriver was started successfully on port 36143."
            let port = BufReader::new(stdout).lines().map_while(Result::ok).find_map(|line| {
                line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
            });
            Ok(port.map(|port| (driver, port)))
        })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Ok(group) = i32::try_from(self.0.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}
