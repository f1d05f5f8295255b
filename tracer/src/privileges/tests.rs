//! What is left to a process that gave everything up, tried out by that process.
//!
//! Nothing brings it back, so it is a process of its own: this test program again, with one test.

use std::{
    env,
    fs::{self, File, Permissions},
    io,
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::Path,
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
use tempfile::TempDir;

use super::{PrivilegeOptions, give_up};

const TEST: &str = "privileges::tests::a_process_that_gave_up_its_privileges_cannot_get_any";
const IN_CHILD: &str = "TRACER_TEST_GIVES_UP";
const READABLE: &str = "what a configuration says";
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
    if let Some(readable) = env::var_os(IN_CHILD) {
        return try_everything(Path::new(&readable));
    }
    // Made here, and removed: the child cannot.
    let readable = TempDir::new().unwrap();
    fs::set_permissions(readable.path(), Permissions::from_mode(0o755)).unwrap();
    fs::write(readable.path().join("file"), READABLE).unwrap();
    let mut child = Command::new(env::current_exe().unwrap());
    let ended = child.args(["--exact", TEST, "--nocapture"]).env(IN_CHILD, readable.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains(DONE),
        "{said}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

fn try_everything(readable: &Path) {
    let process = Process::myself().unwrap();
    let options = PrivilegeOptions { user: String::from("nobody"), go_on: false };
    give_up(&options, &[readable.to_owned()].into()).unwrap();
    for (what, attempt) in ATTEMPTS {
        let error = attempt().expect_err(what);
        let refusals = [ENOSYS, EPERM, EACCES].map(|errno| Some(errno as i32));
        assert!(refusals.contains(&error.raw_os_error()), "{what}: {error}");
    }
    let admin = [Capability::CAP_SYS_ADMIN].into();
    caps::set(None, CapSet::Effective, &admin).expect_err("get a capability back");
    let loads = aya::sys::is_program_supported(ProgramType::SocketFilter);
    assert!(!matches!(loads, Ok(true)), "load an eBPF program");
    let file = readable.join("file");
    assert_eq!(fs::read_to_string(&file).unwrap(), READABLE);
    fs::write(&file, "").expect_err("write where it may read");
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
