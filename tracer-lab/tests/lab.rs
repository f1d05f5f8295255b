//! Every scenario of the lab on every address family, one test each, under one tracer.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use tracer_lab::composites::Composite;
use tracer_lab::lab;
use tracer_lab::privilege::require_root;
use tracer_lab::scenarios::case::Case;
use tracer_lab::testbed::daemon::DaemonUnderTest;
use tracer_lab::testbed::network::Family;
use tracer_lab::testbed::shared::SharedDaemon;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(tracer_lab::scenarios::batch::WORKERS);
    let skip = !arguments.list && !require_root("lab");
    let tracer = SharedDaemon::new(DaemonUnderTest::start);
    let trial = |case: Case| {
        let tracer = tracer.clone();
        Trial::test(case.name(), move || check(case, &tracer)).with_ignored_flag(skip)
    };
    let composite = |(composite, family): (&'static Composite, Family)| {
        let tracer = tracer.clone();
        let name = format!("{}/{family:?}", composite.name);
        Trial::test(name, move || tell(composite, family, &tracer)).with_ignored_flag(skip)
    };
    let trials =
        lab::cases().into_iter().map(trial).chain(lab::composites().into_iter().map(composite)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Err(error) = tracer.stop() {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn tell(composite: &Composite, family: Family, tracer: &SharedDaemon) -> Result<(), Failed> {
    tracer.get().and_then(|tracer| composite.run(tracer, family)).map_err(|error| format!("{error:#}").into())
}

fn check(case: Case, tracer: &SharedDaemon) -> Result<(), Failed> {
    let tracer = tracer.get().map_err(|error| format!("{error:#}"))?;
    let outcome = case.run(Some(tracer), None);
    if outcome.is_ok() {
        Ok(())
    } else {
        Err(format!("{}\n{outcome}", tracer_lab::scenarios::outcome::Outcome::header()).into())
    }
}
