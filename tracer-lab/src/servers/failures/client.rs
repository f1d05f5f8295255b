//! HTTP clients of other languages: programs that walk as ours do, and print what they lost.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::programs;
use crate::servers::failures::front::Walked;
use crate::servers::failures::loss::Loss;
use crate::servers::failures::upstream::PYTHON;
use crate::servers::failures::walk::Plan;
use crate::testbed::process::{Process, bounded};

/// Longer than any plan takes, in seconds.
const LIFETIME: u32 = 300;

/// Where Debian's packages put modules of Node, and where npm does.
const NODE_MODULES: [&str; 3] = ["/usr/share/nodejs", "/usr/lib/node_modules", "/usr/local/lib/node_modules"];

/// A client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// Node's `http.Agent`.
    Agent,
    /// Node's `fetch`, which is undici.
    Fetch,
    /// axios with Node's `http.Agent`.
    Axios,
    /// axios with agentkeepalive.
    AgentKeepAlive,
    Requests,
    Httpx,
    Aiohttp,
    /// Go's `net/http`.
    Go,
    /// The JDK's `HttpClient`.
    Java,
    Grpc,
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
    /// It went there, however it ended.
    #[serde(default)]
    sent: bool,
}

impl Library {
    fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Fetch => "fetch",
            Self::Axios => "axios",
            Self::AgentKeepAlive => "agentkeepalive",
            Self::Requests => "requests",
            Self::Httpx => "httpx",
            Self::Aiohttp => "aiohttp",
            Self::Go => "Go",
            Self::Java => "Java",
            Self::Grpc => "gRPC",
            Self::Redis => "redis",
            Self::Psycopg => "psycopg2",
            Self::Pymysql => "pymysql",
        }
    }

    /// Whether it is here, of those that are no Debian packages.
    pub(crate) fn is_installed(self) -> bool {
        let is_module = |name: &str| NODE_MODULES.iter().any(|path| Path::new(path).join(name).is_dir());
        self != Self::AgentKeepAlive || is_module("agentkeepalive")
    }

    /// Whether our program sets what is advised: requests has no such option, Java counts in seconds.
    pub(crate) fn has_idle_timeout(self) -> bool {
        matches!(self, Self::Agent | Self::Fetch | Self::Axios | Self::AgentKeepAlive | Self::Go)
    }

    /// The command line, with the program in `directory`.
    fn words(self, directory: &Path) -> Result<Vec<String>> {
        let (interpreter, name, text) = match self {
            Self::Agent | Self::Fetch | Self::Axios | Self::AgentKeepAlive => {
                ("node", "client.js", include_str!("programs/client.js"))
            }
            Self::Requests | Self::Httpx | Self::Aiohttp => {
                (PYTHON, "client.py", include_str!("programs/client.py"))
            }
            Self::Grpc => (PYTHON, "rpc.py", include_str!("programs/rpc.py")),
            Self::Redis | Self::Psycopg | Self::Pymysql => {
                (PYTHON, "database.py", include_str!("programs/database.py"))
            }
            Self::Go => ("go", "client.go", include_str!("programs/client.go")),
            Self::Java => ("java", "Client.java", include_str!("programs/Client.java")),
        };
        let file = directory.join(name);
        fs::write(&file, text)?;
        let file = file.display().to_string();
        Ok(match self {
            Self::Go => vec![go_program(&file, directory)?],
            // Idle connections are kept for so many seconds; a refusal is enough.
            Self::Java => [
                interpreter,
                "-Djdk.httpclient.keepalive.timeout=60",
                "-Djdk.httpclient.disableRetryConnect=true",
                &file,
            ]
            .map(str::to_owned)
            .to_vec(),
            // Only Debian's own Node looks there.
            Self::Axios | Self::AgentKeepAlive => {
                let modules = format!("NODE_PATH={}", NODE_MODULES.join(":"));
                ["env", &modules, interpreter, &file, self.word()].map(str::to_owned).to_vec()
            }
            _ => vec![interpreter.to_owned(), file, self.word().to_owned()],
        })
    }
}

/// Makes a program of a file in Go.
pub(crate) fn go_program(source: &str, directory: &Path) -> Result<String> {
    let program = directory.join("program").display().to_string();
    programs::run_quietly(Command::new("go").args(["build", "-o", &program, source]))?;
    Ok(program)
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
    let words = library.words(directory)?;
    let complaints = directory.join("client.error");
    let mut command = bounded(&words[0], LIFETIME);
    command.args(&words[1..]).arg(serde_json::to_string(plan)?);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(&complaints)?);
    let mut program = Process::start(&mut command)?;
    let local = |port| Some(SocketAddr::new(plan.client, port?));
    let mut walked = Walked::default();
    for line in BufReader::new(program.stdout().context("no output")?).lines() {
        let line = line?;
        let said: Line = serde_json::from_str(&line).with_context(|| format!("{library} printed: {line}"))?;
        match said.error {
            None if said.sent => walked.connections.entry(said.id).or_default().extend(local(said.port)),
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
