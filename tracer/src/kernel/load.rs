//! Loads and attaches the kernel side, probe by probe, and says of each how it went.

use std::{
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, RingBuf},
    programs::{KProbe, Program, RawTracePoint},
};
use aya_log::EbpfLogger;
use log::{Log, debug, warn};
use tracer_common::{PORT_WORDS, Part, constant, map, program};
use tracer_core::{decode::Reasons, matching::IDLE};

use super::{
    btf::Btf,
    counters::KernelCounters,
    fields::Fields,
    preflight,
    programs::Loaded,
    reasons, refusal,
    requests::{LateMarks, RequestCounters},
    server_ports::set_port_filter,
    take_map,
};
use crate::clock::jiffy;

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("TRACER_EBPF_OBJECT"));

/// The tracepoints, named like the programs that sit on them. All are required.
const TRACEPOINTS: [&str; 3] =
    [program::tcp_send_reset, program::tcp_receive_reset, program::inet_sock_set_state];

/// Where requests are counted, when that is asked for.
const READING: &str = program::tcp_rcv_space_adjust;

/// Where clients' request lines are seen, when they are asked for.
const SENDING: &str = program::tcp_sendmsg_locked;

/// Where sockets end of which either was remembered.
const DESTROYED: &str = program::tcp_destroy_sock;

/// Connections of which something is remembered at once.
const MAX_REMEMBERED: u32 = 65_536;

/// Functions with a kprobe of the same name: a help on kernels whose `tcp_send_reset` does not see every reset.
const FALLBACKS: [&str; 2] = [program::tcp_v4_send_reset, program::tcp_v6_send_reset];

/// The loaded kernel side. Dropping `programs` detaches the probes; the ring can still be drained then.
pub(crate) struct Tracer {
    /// Keeps the probes attached.
    pub programs: Ebpf,
    /// The records.
    pub ring: RingBuf<MapData>,
    /// What the kernel side counts by itself.
    pub counters: KernelCounters,
    /// Its diagnostics, when they were asked for.
    pub diagnostics: Option<EbpfLogger<&'static dyn Log>>,
    /// The running kernel's reset reasons.
    pub reasons: Reasons,
    /// How each probe fared.
    pub report: ProbeReport,
    /// The programs of the attached probes.
    pub loaded: Vec<Loaded>,
    /// What it counts of requests, when that was asked for.
    pub requests: Option<(RequestCounters, LateMarks)>,
}

/// What the kernel side is to do.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Bytes of the ring: a power of two, at least a page.
    pub ring_bytes: u32,
    /// With its diagnostics.
    pub diagnostics: bool,
    /// Report only connections with one of these server ports; all if empty.
    pub server_ports: Vec<u16>,
    /// Count requests, with totals for at most this many servers.
    pub requests: Option<u32>,
    /// Look for request lines in payload.
    pub request_lines: bool,
}

/// How each probe fared, and what that lets us see.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// One entry for each probe that this kernel needs.
    pub probes: Vec<ProbeStatus>,
    /// `tcp_send_reset` tells its reason, which it does since it covers every path (6.10).
    covers_every_path: bool,
}

/// How one probe fared.
#[derive(Clone, Debug)]
pub struct ProbeStatus {
    /// The tracepoint or function.
    pub name: &'static str,
    /// Whether the tracer is not ready without it.
    pub required: bool,
    /// Why it could not be attached.
    pub error: Option<String>,
}

impl ProbeStatus {
    /// Whether it is attached.
    #[must_use]
    pub fn attached(&self) -> bool {
        self.error.is_none()
    }
}

impl ProbeReport {
    /// The required probes that are missing, with the reason.
    pub fn missing(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let required = self.probes.iter().filter(|probe| probe.required);
        required.filter_map(|probe| Some((probe.name, probe.error.as_deref()?)))
    }

    /// Which ways of sending a RST can be seen. Up to 6.9 `tcp_send_reset` is only traced for full sockets
    /// (`net/ipv4/tcp_ipv4.c`, `tcp_v4_send_reset`); the kprobes see the rest.
    #[must_use]
    pub fn coverage(&self) -> [(&'static str, bool); 4] {
        let sent = self.is_attached(TRACEPOINTS[0]);
        let rest =
            if self.covers_every_path { sent } else { FALLBACKS.iter().all(|name| self.is_attached(name)) };
        [("full_socket", sent), ("time_wait", rest), ("no_socket", rest), ("active", sent)]
    }

    fn is_attached(&self, name: &str) -> bool {
        self.probes.iter().any(|probe| probe.name == name && probe.attached())
    }
}

impl Tracer {
    /// Checks the machine, loads everything and attaches what can be attached. Fails when nothing can.
    pub(crate) fn start(options: &LoadOptions) -> Result<Self> {
        let btf = preflight::check()?;
        let fields = Fields::resolve(&btf, options.request_lines)?;
        for (part, why) in &fields.lost {
            warn!("{}: {why}", part.loss());
        }
        let locked_memory = allow_locked_memory();
        let mut programs = load(&btf, &fields, options).map_err(|error| {
            let sentence = refusal::explain(&error, locked_memory);
            error.context(sentence)
        })?;
        let ring = RingBuf::try_from(take_map(&mut programs, map::EVENTS)?)?;
        let counters = KernelCounters::take(&mut programs)?;
        let diagnostics = if options.diagnostics {
            Some(EbpfLogger::init(&mut programs).context("cannot read the kernel side's diagnostics")?)
        } else {
            None
        };
        let requests = match options.requests {
            Some(_) => Some(RequestCounters::take(&mut programs)?),
            None => None,
        };
        if !options.server_ports.is_empty() {
            set_port_filter(&mut programs, &options.server_ports)?;
        }
        let report = attach_all(&mut programs, &btf, options)?;
        if !report.probes.iter().any(|probe| probe.required && probe.attached())
            && let Some((name, error)) = report.missing().next()
        {
            bail!("no probe could be attached; the first one, {name}, failed with: {error}");
        }
        for probe in &report.probes {
            if let Some(error) = &probe.error {
                warn!("probe {} is not attached, what it sees will be missing: {error}", probe.name);
            }
        }
        let requests = requests.filter(|_| report.is_attached(READING));
        let loaded = loaded(&programs, &report);
        let reasons = reasons::read(&btf);
        Ok(Self { programs, ring, counters, diagnostics, reasons, report, loaded, requests })
    }
}

fn has_reason(btf: &Btf) -> bool {
    btf.tracepoint_arguments(TRACEPOINTS[0]) == Some(3)
}

fn load(btf: &Btf, fields: &Fields, options: &LoadOptions) -> Result<Ebpf> {
    let has_reason = u32::from(has_reason(btf));
    let idle_jiffies = in_jiffies(IDLE);
    // A reader that is woken at a quarter has three quarters of the ring's time to come.
    let wake_bytes = u64::from(options.ring_bytes / 4);
    let no_logs = 0_u8;
    // Without the tracepoint it would look as if there were none.
    let counts_requests =
        u32::from(options.requests.is_some() && btf.tracepoint_arguments(READING).is_some());
    let reads_request_lines = u32::from(options.request_lines);
    let filters_ports = u32::from(!options.server_ports.is_empty());
    let reads = |part| options.request_lines && !fields.lacks(part);
    let page_ratio = if reads(Part::Pages) { page_ratio(btf) } else { 0 };
    let [iter_ubuf, iter_iovec] = if reads(Part::Messages) { iterators(btf) } else { [u32::MAX; 2] };
    let jiffy_ns = u64::try_from(jiffy().length().as_nanos()).unwrap_or(u64::MAX);
    // One entry for each role stands for all servers without room.
    let servers = options.requests.map_or(1, |servers| servers.saturating_add(2));
    let mut loader = EbpfLoader::new();
    loader
        .override_global(constant::OFFSETS, &fields.offsets, true)
        .override_global(constant::HAS_REASON, &has_reason, true)
        .override_global(constant::IDLE_JIFFIES, &idle_jiffies, true)
        .override_global(constant::WAKE_BYTES, &wake_bytes, true)
        .override_global(constant::JIFFY_NS, &jiffy_ns, true)
        .override_global(constant::COUNTS_REQUESTS, &counts_requests, true)
        .override_global(constant::READS_REQUEST_LINES, &reads_request_lines, true)
        .override_global(constant::FILTERS_PORTS, &filters_ports, true)
        .override_global(constant::PAGE_RATIO, &page_ratio, true)
        .override_global(constant::ITER_UBUF, &iter_ubuf, true)
        .override_global(constant::ITER_IOVEC, &iter_iovec, true)
        .map_max_entries(map::EVENTS, options.ring_bytes)
        .map_max_entries(map::EXCHANGES, if options.requests.is_some() { MAX_REMEMBERED } else { 1 })
        .map_max_entries(map::REQUEST_LINES, if options.request_lines { MAX_REMEMBERED } else { 1 })
        .map_max_entries(map::REQUESTS, servers)
        .map_max_entries(map::LATE, servers)
        .map_max_entries(map::SERVER_PORTS, if options.server_ports.is_empty() { 1 } else { PORT_WORDS });
    if !options.diagnostics {
        // The verifier then prunes every log call.
        loader.override_global(aya_log::LEVEL, &no_logs, false);
    }
    Ok(loader.load(OBJECT)?)
}

fn in_jiffies(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(jiffy().length().as_nanos().max(1))).unwrap_or(u32::MAX)
}

/// How many times as large as its `struct page` a page is, 0 where that is unknown.
fn page_ratio(btf: &Btf) -> u64 {
    let size = btf.struct_size("page").map_or(0, u64::from);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    page.and_then(|bytes| u64::try_from(bytes).ok()?.checked_div(size)).unwrap_or(0)
}

/// The numbers of `ITER_UBUF` and `ITER_IOVEC` (`enum iter_type`, include/linux/uio.h); those that do not exist fit
/// nothing.
fn iterators(btf: &Btf) -> [u32; 2] {
    let types = btf.enum_names("iter_type", "ITER_");
    ["UBUF", "IOVEC"].map(|asked_for| {
        types.iter().find_map(|(number, name)| (name == asked_for).then_some(*number)).unwrap_or(u32::MAX)
    })
}

fn attach_all(programs: &mut Ebpf, btf: &Btf, options: &LoadOptions) -> Result<ProbeReport> {
    let covers_every_path = has_reason(btf);
    // The same once more, as aya wants it. It takes megabytes, and is gone before there is anything to do.
    let types = aya::Btf::from_sys_fs().context("cannot read the kernel's type information")?;
    let mut attach = |name, required| status(name, required, attach_tracepoint(programs, btf, &types, name));
    let mut probes: Vec<_> = TRACEPOINTS.map(|name| attach(name, true)).into();
    let requests = options.requests.is_some();
    let asked_for = [
        (READING, requests),
        (SENDING, options.request_lines),
        (DESTROYED, requests || options.request_lines),
    ];
    let asked_for = asked_for.into_iter().filter(|(_, asked_for)| *asked_for);
    probes.extend(asked_for.map(|(name, _)| attach(name, false)));
    if !covers_every_path {
        probes.extend(FALLBACKS.map(|name| status(name, false, attach_kprobe(programs, name))));
    }
    Ok(ProbeReport { probes, covers_every_path })
}

fn loaded(programs: &Ebpf, report: &ProbeReport) -> Vec<Loaded> {
    let attached = report.probes.iter().filter(|probe| probe.attached());
    let fd = |name| Some(programs.program(name)?.fd().ok()?.as_fd().as_raw_fd());
    attached.filter_map(|probe| Some(Loaded::new(probe.name, fd(probe.name)?))).collect()
}

fn status(name: &'static str, required: bool, attached: Result<()>) -> ProbeStatus {
    let error = attached.err().map(|error| {
        debug!("probe {name}: {error:?}");
        format!("{error:#}")
    });
    ProbeStatus { name, required, error }
}

fn attach_tracepoint(programs: &mut Ebpf, btf: &Btf, types: &aya::Btf, name: &str) -> Result<()> {
    if btf.tracepoint_arguments(name).is_none() {
        bail!("this kernel has no tracepoint {name}");
    }
    match program(programs, name)? {
        Program::BtfTracePoint(program) => {
            program.load(name, types).context("the verifier refused it")?;
            program.attach().context("it cannot be attached")?;
        }
        program => {
            let program: &mut RawTracePoint = program.try_into()?;
            program.load().context("the verifier refused it")?;
            program.attach(name).context("it cannot be attached")?;
        }
    }
    Ok(())
}

fn attach_kprobe(programs: &mut Ebpf, name: &str) -> Result<()> {
    let program: &mut KProbe = program(programs, name)?.try_into()?;
    program.load().context("the verifier refused it")?;
    program.attach(name, 0).context("it cannot be attached")?;
    Ok(())
}

fn program<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    programs.program_mut(name).with_context(|| format!("the eBPF object has no program {name}"))
}

/// Before 5.11 maps count as locked memory, of which the default limit allows next to none.
fn allow_locked_memory() -> nix::Result<()> {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    if soft == RLIM_INFINITY {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_object_has_the_maps_and_programs_that_are_listed_and_no_others() {
        let object = aya_obj::Object::parse(OBJECT).unwrap();
        let set = |names: &[&'static str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        // Sections of constants, and the map of the diagnostics, are maps too.
        let maps = object.maps.keys().filter(|name| !name.starts_with('.') && *name != "AYA_LOGS");
        assert_eq!(maps.cloned().collect::<BTreeSet<_>>(), set(map::ALL));
        assert_eq!(object.programs.keys().cloned().collect::<BTreeSet<_>>(), set(program::ALL));
    }
}
