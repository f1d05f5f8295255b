//! Seccomp: the system calls that are left. To the daemon the kernel looks like one that has no others, so a library
//! that tries a newer one goes on with what there is.

use std::{collections::BTreeMap, env::consts::ARCH, process};

use anyhow::{Context as _, Result};
use nix::libc::{self, c_int, c_long};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter_all_threads,
};

/// The commands of `bpf()` that use a map: look up, update, delete, next key (`include/uapi/linux/bpf.h`).
const BPF_ON_MAPS: [u64; 4] = [1, 2, 3, 4];

/// How a kprobe is detached where it is no link, before 5.15 (`include/uapi/linux/perf_event.h`).
const PERF_EVENT_IOC_DISABLE: u64 = 0x2401;

/// What can be called with any arguments. What no run has shown yet says why it is here.
const ANY: &[c_long] = &[
    // Files and connections that are open.
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    // Open files are counted one by one before 6.2.
    libc::SYS_fstat,
    libc::SYS_getdents64,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_futex,
    // After SIGSTOP and SIGCONT, and under contention.
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Memory; to make it executable is not among this. Large buffers grow in place.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_mremap,
    // Threads, signals and the end; of itself, too, when memory runs out.
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // What else the kernel tells: the time, where its clock cannot be read without a call.
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrusage,
    libc::SYS_getrandom,
    libc::SYS_uname,
];

/// The former name of one of these, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const FORMER: &[c_long] = &[libc::SYS_epoll_wait];
#[cfg(not(target_arch = "x86_64"))]
const FORMER: &[c_long] = &[];

/// Restricts all threads to these calls.
pub(super) fn restrict() -> Result<()> {
    let install = || -> Result<()> { Ok(apply_filter_all_threads(&filter()?)?) };
    install().context("cannot restrict system calls")
}

fn filter() -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::<c_long, Vec<SeccompRule>>::new();
    rules.extend(ANY.iter().chain(FORMER).map(|&call| (call, Vec::new())));
    for Restricted { call, argument, mask, values } in restricted() {
        let equal = |value| SeccompCondition::new(argument, Width::Qword, Is::MaskedEq(mask), value);
        let alternatives = values.into_iter().map(|value| SeccompRule::new(vec![equal(value)?]));
        rules.insert(call, alternatives.collect::<Result<_, _>>()?);
    }
    let no_such_call = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(rules, no_such_call, SeccompAction::Allow, ARCH.try_into()?)?.try_into()
}

/// What can be called only where one argument, as far as `mask` goes, has one of these values.
struct Restricted {
    call: c_long,
    argument: u8,
    mask: u64,
    values: Vec<u64>,
}

fn restricted() -> Vec<Restricted> {
    let one_of = |call, argument, values: &[u64]| {
        let mask = u64::from(u32::MAX);
        Restricted { call, argument, mask, values: values.to_vec() }
    };
    let without = |call, argument, mask| Restricted { call, argument, mask, values: vec![0] };
    let with = |call, argument, mask| Restricted { call, argument, mask, values: vec![mask] };
    let writing = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
    vec![
        one_of(libc::SYS_bpf, 0, &BPF_ON_MAPS),
        without(libc::SYS_openat, 2, bits(writing)),
        without(libc::SYS_mmap, 2, bits(libc::PROT_EXEC)),
        without(libc::SYS_mprotect, 2, bits(libc::PROT_EXEC)),
        // A thread, not a process. Of clone3, which is tried first, a filter cannot tell.
        with(libc::SYS_clone, 0, bits(libc::CLONE_THREAD)),
        one_of(libc::SYS_prctl, 0, &[bits(libc::PR_SET_NAME)]),
        one_of(libc::SYS_ioctl, 1, &[PERF_EVENT_IOC_DISABLE]),
        // How a runtime shares the pipe of signals, and how a folder is read.
        one_of(libc::SYS_fcntl, 1, &[bits(libc::F_DUPFD_CLOEXEC), bits(libc::F_GETFL)]),
        // Its own end, when memory runs out.
        one_of(libc::SYS_tgkill, 0, &[u64::from(process::id())]),
    ]
}

fn bits(number: c_int) -> u64 {
    u64::from(number.cast_unsigned())
}
