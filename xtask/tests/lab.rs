//! Every scenario of the lab on every address family, one test each, under one tracer.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use xtask::lab::{self, Case, Family, Story, Tracer};
use xtask::privilege::require_root;

/// Started by the first test that runs.
type SharedTracer = Arc<OnceLock<Result<Tracer, String>>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(lab::WORKERS);
    let skip = !arguments.list && !require_root("lab");
    let tracer = SharedTracer::default();
    let trial = |case: Case| {
        let tracer = Arc::clone(&tracer);
        Trial::test(case.name(), move || check(case, &tracer)).with_ignored_flag(skip)
    };
    let story = |(story, family): (&'static Story, Family)| {
        let tracer = Arc::clone(&tracer);
        let name = format!("{}/{family:?}", story.name);
        Trial::test(name, move || tell(story, family, &tracer)).with_ignored_flag(skip)
    };
    let trials = lab::cases().into_iter().map(trial).chain(lab::stories().into_iter().map(story)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(Ok(tracer)) = Arc::into_inner(tracer).and_then(OnceLock::into_inner)
        && let Err(error) = tracer.stop()
    {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn started(tracer: &SharedTracer) -> Result<&Tracer, Failed> {
    let start = || lab::prepare().and_then(|()| Tracer::start()).map_err(|error| format!("{error:#}"));
    Ok(tracer.get_or_init(start).as_ref()?)
}

fn tell(story: &Story, family: Family, tracer: &SharedTracer) -> Result<(), Failed> {
    story.run(started(tracer)?, family).map_err(|error| format!("{error:#}").into())
}

fn check(case: Case, tracer: &SharedTracer) -> Result<(), Failed> {
    let outcome = case.run(Some(started(tracer)?), None);
    if outcome.is_ok() { Ok(()) } else { Err(format!("{}\n{outcome}", lab::Outcome::header()).into()) }
}
