//! What is left to a process that gave everything up, tried out by that process.
//!
//! Nothing brings it back, so it is a process of its own: this test program again, with one test.

use std::{
    env,
    fs::{self, File},
    io,
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    process::Command,
    thread,
};

use aya::programs::ProgramType;
use caps::{CapSet, Capability};
use nix::{
    errno::Errno::{EACCES, ENOSYS, EPERM},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{prctl, ptrace, signal::kill},
    unistd::{Pid, Uid, chroot, execv, getppid, setuid},
};
use procfs::process::Process;

use super::{PrivilegeOptions, give_up};

const TEST: &str = "privileges::tests::a_process_that_gave_up_its_privileges_cannot_get_any";
const IN_CHILD: &str = "TRACER_TEST_GIVES_UP";
const DONE: &str = "everything was tried";

type Attempt = (&'static str, fn() -> io::Result<()>);

/// What whoever took over the daemon would try.
const ATTEMPTS: [Attempt; 16] = [
    ("run a program", || Ok(execv(c"/bin/true", &[c"true"]).map(drop)?)),
    ("start a process", || Command::new("/bin/true").status().map(drop)),
    ("trace another process", || Ok(ptrace::attach(getppid())?)),
    ("signal another process", || Ok(kill(getppid(), None)?)),
    ("signal every process", || Ok(kill(Pid::from_raw(-1), None)?)),
    ("read a file of root's", || File::open("/etc/shadow").map(drop)),
    ("make a file", || File::create("/tmp").map(drop)),
    ("delete a file", || fs::remove_file("/no such file")),
    ("connect", || TcpStream::connect("127.0.0.1:1").map(drop)),
    ("open a port", || TcpListener::bind("127.0.0.1:0").map(drop)),
    ("open a local socket", || UnixDatagram::unbound().map(drop)),
    ("mount", || Ok(mount(None::<&str>, "/no such folder", None::<&str>, MsFlags::empty(), None::<&str>)?)),
    ("make a user namespace", || Ok(unshare(CloneFlags::CLONE_NEWUSER)?)),
    ("change the root folder", || Ok(chroot("/no such folder")?)),
    ("become root", || Ok(setuid(Uid::from_raw(0))?)),
    ("let others read its memory", || Ok(prctl::set_dumpable(true)?)),
];

#[test]
fn a_process_that_gave_up_its_privileges_cannot_get_any() {
    if env::var_os(IN_CHILD).is_some() {
        return try_everything();
    }
    let mut child = Command::new(env::current_exe().unwrap());
    let ended = child.args(["--exact", TEST, "--nocapture"]).env(IN_CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains(DONE),
        "{said}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

fn try_everything() {
    let process = Process::myself().unwrap();
    give_up(&PrivilegeOptions { user: String::from("nobody"), go_on: false }).unwrap();
    for (what, attempt) in ATTEMPTS {
        let error = attempt().expect_err(what);
        let refusals = [ENOSYS, EPERM, EACCES].map(|errno| Some(errno as i32));
        assert!(refusals.contains(&error.raw_os_error()), "{what}: {error}");
    }
    let admin = [Capability::CAP_SYS_ADMIN].into();
    caps::set(None, CapSet::Effective, &admin).expect_err("get a capability back");
    let loads = aya::sys::is_program_supported(ProgramType::SocketFilter);
    assert!(!matches!(loads, Ok(true)), "load an eBPF program");
    // What it still needs.
    thread::spawn(move || {
        process.statm().unwrap();
        // A kernel before 6.2 does not tell how many files are open: the folder is read.
        process.fd().unwrap();
    })
    .join()
    .unwrap();
    println!("{DONE}");
}
