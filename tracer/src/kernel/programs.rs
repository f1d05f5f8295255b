//! What the kernel keeps about each loaded program: how often it ran, for how long, and how often it was passed
//! over because it would have run on top of itself.

use std::{
    fs::File,
    os::{fd::RawFd, unix::fs::FileExt as _},
    time::Duration,
};

use log::debug;

/// More than the kernel has to say of a program.
const MAX_FDINFO: usize = 4096;

/// A loaded program.
#[derive(Debug)]
pub struct Loaded {
    /// The probe's name.
    pub name: &'static str,
    /// What the kernel says of its descriptor: once privileges are given up a kernel before 5.14 opens it for nobody.
    /// None without `/proc`.
    numbers: Option<File>,
}

/// The kernel's numbers for one program (`bpf_prog_show_fdinfo`, `kernel/bpf/syscall.c`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunStats {
    /// Runs; counted only while the kernel's BPF statistics are on.
    pub runs: u64,
    /// Time spent in them; likewise.
    pub run_time: Duration,
    /// Calls that were passed over because the program was running on that CPU already (5.12 and later).
    pub misses: u64,
}

impl Loaded {
    /// The program with this descriptor, which is open for as long as the probe is attached.
    #[must_use]
    pub fn new(name: &'static str, fd: RawFd) -> Self {
        let numbers = File::open(format!("/proc/self/fdinfo/{fd}"));
        let numbers = numbers.inspect_err(|error| debug!("cannot tell how often {name} runs: {error}")).ok();
        Self { name, numbers }
    }

    /// Reads the numbers; none once the program is gone.
    #[must_use]
    pub fn stats(&self) -> Option<RunStats> {
        let mut text = [0; MAX_FDINFO];
        let length = self.numbers.as_ref()?.read_at(&mut text, 0).ok()?;
        Some(parse(&String::from_utf8_lossy(&text[..length])))
    }
}

fn parse(fdinfo: &str) -> RunStats {
    let value = |key: &str| {
        let line = fdinfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    RunStats {
        runs: value("run_cnt"),
        run_time: Duration::from_nanos(value("run_time_ns")),
        misses: value("recursion_misses"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_is_read_by_its_keys() {
        let text = "pos:\t0\nflags:\t02000002\nprog_type:\t17\nprog_jited:\t1\nprog_tag:\tb643d0eb73ae7d4d\n\
                    memlock:\t4096\nprog_id:\t467\nrun_time_ns:\t9008491\nrun_cnt:\t40099\nrecursion_misses:\t2\n";
        let stats = RunStats { runs: 40_099, run_time: Duration::from_nanos(9_008_491), misses: 2 };
        assert_eq!(parse(text), stats);
        assert_eq!(parse("pos:\t0\n"), RunStats::default());
    }
}
