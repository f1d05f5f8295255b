//! HTTP clients of other languages: programs that walk as ours do, and print what they lost.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::servers::failures::front::Walked;
use crate::servers::failures::loss::Loss;
use crate::servers::failures::upstream::PYTHON;
use crate::servers::failures::walk::Plan;
use crate::testbed::process::{Process, bounded};

/// Longer than any plan takes, in seconds.
const LIFETIME: u32 = 300;

/// A client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// Node's `http.Agent`.
    Agent,
    /// Node's `fetch`, which is undici.
    Fetch,
    Requests,
    Httpx,
    Aiohttp,
    /// Redis by a plain socket.
    Redis,
    Psycopg,
    Pymysql,
}

/// A line of such a program.
#[derive(Deserialize)]
struct Line {
    id: u64,
    error: Option<String>,
    port: Option<u16>,
}

impl Library {
    fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Fetch => "fetch",
            Self::Requests => "requests",
            Self::Httpx => "httpx",
            Self::Aiohttp => "aiohttp",
            Self::Redis => "redis",
            Self::Psycopg => "psycopg2",
            Self::Pymysql => "pymysql",
        }
    }

    /// The interpreter, and the program.
    fn program(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Agent | Self::Fetch => ("node", "client.js", include_str!("programs/client.js")),
            Self::Requests | Self::Httpx | Self::Aiohttp => {
                (PYTHON, "client.py", include_str!("programs/client.py"))
            }
            Self::Redis | Self::Psycopg | Self::Pymysql => {
                (PYTHON, "database.py", include_str!("programs/database.py"))
            }
        }
    }
}

impl fmt::Display for Library {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Agent => "Node agent",
            Self::Fetch => "undici",
            _ => self.word(),
        })
    }
}

/// Runs it to its end on the host of the calling thread.
pub(crate) fn walk(library: Library, plan: &Plan, directory: &Path) -> Result<Walked> {
    let (interpreter, name, text) = library.program();
    let file = directory.join(name);
    fs::write(&file, text)?;
    let complaints = directory.join("client.error");
    let mut command = bounded(interpreter, LIFETIME);
    command.arg(file).args([library.word(), &serde_json::to_string(plan)?]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(&complaints)?);
    let mut program = Process::start(&mut command)?;
    let local = |port| Some(SocketAddr::new(plan.client, port?));
    let mut walked = Walked::default();
    for line in BufReader::new(program.stdout().context("no output")?).lines() {
        let line = line?;
        let said: Line = serde_json::from_str(&line).with_context(|| format!("{library} printed: {line}"))?;
        match said.error {
            None => walked.refused.push(said.id),
            Some(error) => {
                walked.lines += 1;
                let (client, at) = (local(said.port), Some(Instant::now()));
                walked.losses.push(Loss { id: said.id, said: error, client, at, at_proxy: false });
            }
        }
    }
    let ended = program.wait()?;
    ensure!(ended.success(), "{library} failed: {}", fs::read_to_string(complaints)?);
    Ok(walked)
}
