//! The keep-alive timeouts of real servers are found, nothing else is taken for one, and healthy traffic gets no
//! advice.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use tracer_lab::privilege::require_root;
use tracer_lab::servers;
use tracer_lab::servers::{CASES, compare, healthy};
use tracer_lab::testbed::daemon::DaemonUnderTest;
use tracer_lab::testbed::shared::SharedDaemon;

/// The servers with short timeouts; `cargo xtask servers` takes all of them.
const SHORT: Duration = Duration::from_secs(6);
/// Hours of it are for `cargo xtask servers --healthy`.
const HEALTHY: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let skip = !arguments.list && !require_root("servers");
    let tracer = SharedDaemon::new(servers::tracer);
    let trial = |name: &str, test: fn(&DaemonUnderTest) -> Result<()>| {
        let tracer = tracer.clone();
        Trial::test(name, move || check(test, &tracer)).with_ignored_flag(skip)
    };
    let healthy = Trial::test("healthy", || healthy_traffic().map_err(|error| format!("{error:#}").into()));
    let mut trials = vec![trial("timeouts", timeouts), healthy.with_ignored_flag(skip)];
    trials.extend(CASES.iter().map(|case| {
        let tracer = tracer.clone();
        Trial::test(case.name, move || check(|tracer| case.run(tracer), &tracer)).with_ignored_flag(skip)
    }));
    // They wait for timeouts, and have nothing to do meanwhile.
    arguments.test_threads.get_or_insert(trials.len());
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Err(error) = tracer.stop() {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn timeouts(tracer: &DaemonUnderTest) -> Result<()> {
    let table = compare(tracer, SHORT)?;
    print!("{table}");
    table.is_ok()
}

fn healthy_traffic() -> Result<()> {
    let health = healthy(true, HEALTHY)?;
    print!("{health}");
    health.is_ok()
}

fn check(test: impl Fn(&DaemonUnderTest) -> Result<()>, tracer: &SharedDaemon) -> Result<(), Failed> {
    tracer.get().and_then(test).map_err(|error| format!("{error:#}").into())
}
