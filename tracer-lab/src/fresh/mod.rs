//! The README's two commands, and CI's, on a machine that has nothing: a Debian of its own with rustup's toolchain and
//! a clone.
//!
//! A developer's machine hides what a new user meets: programs installed long ago, warm caches, another Node.

mod root;
mod watched;

use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use crate::fresh::root::{Options, Root, USER};
use crate::fresh::watched::{Ended, Watched};
use crate::testbed::http;
use crate::testbed::process;
use crate::{privilege, workspace};

/// Longer than any step takes here.
const LIMIT: Duration = Duration::from_mins(90);

/// Makes a Debian with nothing but rustup's toolchain and a clone of HEAD, and tries the README's commands and CI in
/// it.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Debian's release: bookworm, trixie
    #[arg(default_value = "bookworm", value_name = "SUITE")]
    suite: String,
    /// Who gives the README's commands
    #[arg(long, default_value = "user", value_name = "WHO")]
    who: Who,
    /// Only these steps, one after the other
    #[arg(long, value_delimiter = ',', value_name = "STEP,…")]
    only: Vec<Step>,
    /// As where rustup's server cannot be reached: Debian's Rust is installed for the eBPF build
    #[arg(long)]
    no_rustup_server: bool,
    /// Leave the machine in target/fresh/ for another look
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Who {
    /// A user with sudo
    User,
    /// Root, where there is no sudo
    Root,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// `cargo xtask run`
    Run,
    /// `cargo xtask test`
    Test,
    /// `.ci/run`
    Ci,
}

/// Makes the machine, takes the steps, and prints what each took and came to.
pub fn run(args: &Args) -> Result<()> {
    ensure!(privilege::is_root(), "a fresh machine is made with chroot and mounts: run this as root");
    let directory = workspace::target_dir().join("fresh");
    let began = Instant::now();
    process::step(&format!("making a fresh {}", args.suite));
    let root = Root::make(
        &args.suite,
        &directory.join(&args.suite),
        &Options { sudo: args.who == Who::User, rustup_server: !args.no_rustup_server, keep: args.keep },
    )?;
    let mut report =
        format!("{}, made in {:.0} s: {}\n", args.suite, began.elapsed().as_secs_f64(), size(&root)?);
    let logs = directory.join(format!("{}-logs", args.suite));
    fs::create_dir_all(&logs)?;
    let steps = if args.only.is_empty() { Step::value_variants() } else { &args.only };
    if steps != [Step::Ci] {
        root.install_compiler()?;
    }
    for step in steps {
        let line = step.take(&root, args.who, &logs);
        let line = line.with_context(|| format!("{report}FAIL, see {}", step.log(&logs).display()))?;
        process::step(line.trim());
        report += &line;
    }
    let _ = writeln!(report, "at the end: {}", size(&root)?);
    print!("{report}");
    Ok(())
}

impl Step {
    /// Takes the step and says what came of it.
    fn take(self, root: &Root, who: Who, logs: &Path) -> Result<String> {
        let user = if who == Who::User { USER } else { "root" };
        let log = self.log(logs);
        match self {
            Self::Run => start_and_stop(root, user, &log),
            Self::Test => {
                let ended = Watched::start(root.enter(user, "cargo xtask test"), &log)?.finish(LIMIT)?;
                line("cargo xtask test", &ended, &log)
            }
            Self::Ci => {
                let ended =
                    Watched::start(root.enter("root", "CI=true bash .ci/run"), &log)?.finish(LIMIT)?;
                line(".ci/run", &ended, &log)
            }
        }
    }

    fn log(self, logs: &Path) -> PathBuf {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        logs.join(name.unwrap_or_default())
    }
}

/// Runs the daemon as the README says, until it is ready and has shown a reset, and ends it.
fn start_and_stop(root: &Root, user: &str, log: &Path) -> Result<String> {
    let [port, closed] = [free_port()?, free_port()?];
    // In the background, so that the shell can pass the signal on when our end of its standard input is gone.
    let script = format!("cargo xtask run -- --port {port} & read _; kill -TERM $!; wait $!");
    let mut daemon = Watched::start(root.enter(user, &script), log)?;
    daemon.until("the daemon to be ready", LIMIT, || {
        http::get(port, "/-/ready").is_ok_and(|response| response.status == 200)
    })?;
    let ready = daemon.so_far();
    let refused = TcpStream::connect(("127.0.0.1", closed));
    ensure!(refused.is_err(), "somebody listens at port {closed}");
    let line = format!("server=127.0.0.1:{closed}");
    daemon.until("the reset in the daemon's lines", Duration::from_secs(10), || {
        fs::read_to_string(log).is_ok_and(|said| said.contains(&line))
    })?;
    let ended = daemon.finish(Duration::from_secs(30))?;
    ensure!(ended.status.success(), "the daemon ended badly: {}", ended.status);
    let Ended { took, silence, .. } = ready;
    Ok(format!(
        "  {:<20} {:>6.0} s until ready, silent for {:.0} s at most; showed a reset, and exit 0\n",
        "cargo xtask run",
        took.as_secs_f64(),
        silence.as_secs_f64()
    ))
}

/// How a test run ended, by its own last count.
fn line(command: &str, ended: &Ended, log: &Path) -> Result<String> {
    let said = fs::read_to_string(log)?;
    let count = said.lines().rfind(|line| line.contains(" passed, ")).unwrap_or("no count of tests");
    ensure!(ended.status.success(), "{command}: {}: {count}", ended.status);
    Ok(format!(
        "  {command:<20} {:>6.0} s, silent for {:.0} s at most: {count}\n",
        ended.took.as_secs_f64(),
        ended.silence.as_secs_f64()
    ))
}

/// How much room the machine takes.
fn size(root: &Root) -> Result<String> {
    let mut du = Command::new("du");
    let said =
        process::output(du.args(["-sh", "--one-file-system"]).arg(root.directory())).context("du failed")?;
    Ok(said.split_whitespace().next().unwrap_or("?").to_owned())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
