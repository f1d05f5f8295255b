//! What containers take from a root who seems to have every capability.

use std::env::consts::ARCH;
use std::thread;

use anyhow::{Result, anyhow};
use nix::libc::{EPERM, SYS_bpf};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::capabilities::public_binary;
use crate::turn;
use tracer_lab::testbed::daemon::{Ended, command, command_of, run};

#[test]
fn a_user_namespace_is_named_with_what_to_do() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    // Such a root cannot open another user's home.
    let (_directory, binary) = public_binary()?;
    for wrapper in [
        // Root in it, as in a rootless container.
        &["unshare", "--user", "--map-root-user"][..],
        // Even one whose root has no capabilities is to be told that more of them would not help.
        &["unshare", "--user", "--map-root-user", "setpriv", "--bounding-set=-all"],
        // Nobody.
        &["unshare", "--user"],
    ] {
        let ended = run(command_of(&binary, wrapper, &[]))?;
        ended.is_one_sentence(&["user namespace", "run it in the host's", "hostUsers: true"]);
        assert!(!ended.stderr.contains("locked memory"), "{ended:?}");
    }
    Ok(())
}

#[test]
fn a_seccomp_filter_is_named_with_what_to_do() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    run_without_bpf()?.is_one_sentence(&["seccomp filter", "allow bpf()", "seccomp=unconfined"]);
    Ok(())
}

/// The daemon with all capabilities, behind a filter that refuses `bpf`. Filters belong to threads, and children
/// inherit them.
fn run_without_bpf() -> Result<Ended> {
    let refuse = SeccompAction::Errno(EPERM.unsigned_abs());
    let refused = [(SYS_bpf, Vec::new())].into_iter().collect();
    let filter: BpfProgram =
        SeccompFilter::new(refused, SeccompAction::Allow, refuse, ARCH.try_into()?)?.try_into()?;
    let behind_it = thread::spawn(move || {
        apply_filter(&filter)?;
        run(command(&[], &[]))
    });
    behind_it.join().map_err(|_| anyhow!("the daemon's thread panicked"))?
}
