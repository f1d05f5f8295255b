//! Recordings of what the kernel side reported: one line of JSON about the machine, then the raw records.

use std::{
    env::consts::ARCH,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    mem::offset_of,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tracer_common::{Record, RecordWithLine};
use tracer_core::{
    decode::{KernelFacts, Reasons},
    model::{Jiffy, KernelNs},
};

use crate::clock;

/// What [`Header::format`] must be.
const FORMAT: &str = "tracer recording 2";

/// What a record can be long: without a request line, and with one.
const RECORD_BYTES: [usize; 2] = [size_of::<Record>(), size_of::<RecordWithLine>()];

/// More than a header ever needs: what a file that is no recording may cost.
const MAX_HEADER: u64 = 64 * 1024;

/// Which byte of a number comes first in the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ByteOrder {
    /// The lowest one.
    Little,
    /// The highest one.
    Big,
}

impl ByteOrder {
    /// That of this machine.
    pub const NATIVE: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };

    /// That of all machines whose recordings do not state it.
    fn unstated() -> Self {
        Self::Little
    }
}

/// The architecture of all machines whose recordings do not state it.
fn unstated_architecture() -> String {
    String::from("x86_64")
}

/// What the records mean depends on the machine they are from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Which format this is.
    pub format: String,
    /// Bytes of a record.
    pub record_bytes: usize,
    /// How their numbers are stored.
    #[serde(default = "ByteOrder::unstated")]
    pub byte_order: ByteOrder,
    /// The machine's architecture.
    #[serde(default = "unstated_architecture")]
    pub architecture: String,
    /// The kernel's release.
    pub kernel: String,
    /// Its tick, in nanoseconds.
    pub jiffy_ns: u64,
    /// When the tracer started, on the kernel's monotonic clock.
    pub started_ns: u64,
    /// Wall-clock time of the kernel's zero, in nanoseconds since 1970.
    pub boot_ns: u64,
    /// The kernel's reset reasons.
    pub reasons: Vec<(u32, String)>,
}

impl Header {
    /// Describes this machine, and whether records have a request line behind them.
    #[must_use]
    pub fn of_this_machine(kernel: String, facts: &KernelFacts, request_lines: bool) -> Self {
        Self {
            format: FORMAT.to_owned(),
            record_bytes: RECORD_BYTES[usize::from(request_lines)],
            byte_order: ByteOrder::NATIVE,
            architecture: ARCH.to_owned(),
            kernel,
            jiffy_ns: nanoseconds(facts.jiffy.length()),
            started_ns: facts.watched_since.0,
            boot_ns: nanoseconds(clock::wall_clock().boot()),
            reasons: facts.reasons.names().to_vec(),
        }
    }

    /// What the meaning of its records depends on.
    pub fn facts(&self) -> Result<KernelFacts> {
        let jiffy = Jiffy::new(Duration::from_nanos(self.jiffy_ns));
        Ok(KernelFacts {
            jiffy: jiffy.with_context(|| {
                format!(
                    "the recording is damaged: no kernel has a tick of {} ns, record it anew",
                    self.jiffy_ns
                )
            })?,
            reasons: Reasons::from_names(self.reasons.clone()),
            watched_since: KernelNs(self.started_ns),
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// When a record was made; none if it is too short to tell.
#[must_use]
pub fn time_of(record: &[u8]) -> Option<KernelNs> {
    let (at, _) = record.get(offset_of!(Record, at_ns)..)?.split_first_chunk()?;
    Some(KernelNs(u64::from_ne_bytes(*at)))
}

/// Reads a recording.
pub struct Recording<R> {
    /// The machine it is from.
    pub header: Header,
    input: R,
    record: Vec<u8>,
    records: u64,
}

impl Recording<BufReader<File>> {
    /// Opens a recording.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Self::read(BufReader::new(file)).with_context(|| format!("cannot read {}", path.display()))
    }
}

impl<R: BufRead> Recording<R> {
    /// Reads the header.
    pub fn read(mut input: R) -> Result<Self> {
        let mut line = Vec::new();
        (&mut input).take(MAX_HEADER).read_until(b'\n', &mut line)?;
        let header: Header = serde_json::from_slice(&line).ok().context("this is no recording of tracer")?;
        ensure!(header.format == FORMAT, "this is a {:?}, which this version cannot read", header.format);
        ensure!(
            header.byte_order == ByteOrder::NATIVE,
            "its numbers are stored as on {}, in another byte order than here: replay it on a machine like that",
            header.architecture
        );
        ensure!(RECORD_BYTES.contains(&header.record_bytes), "its records are of another version of tracer");
        let record = vec![0; header.record_bytes];
        Ok(Self { header, input, record, records: 0 })
    }

    /// The next record; `None` at the end. A file that ends within a record is an error, after all whole ones.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>> {
        let mut filled = 0;
        while filled < self.record.len() {
            match self.input.read(&mut self.record[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => bail!("the recording is cut short after {} whole records", self.records),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(error).context(format!("unreadable after {} records", self.records));
                }
            }
        }
        self.records += 1;
        Ok(Some(&self.record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER_ORDER: ByteOrder = match ByteOrder::NATIVE {
        ByteOrder::Little => ByteOrder::Big,
        ByteOrder::Big => ByteOrder::Little,
    };

    fn header() -> Header {
        let jiffy = Jiffy::of_hz(250).unwrap();
        let facts = KernelFacts { jiffy, reasons: Reasons::default(), watched_since: KernelNs(7) };
        Header::of_this_machine("6.18".into(), &facts, false)
    }

    fn file(records: usize, extra: usize) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&header()).unwrap();
        bytes.push(b'\n');
        bytes.resize(bytes.len() + records * size_of::<Record>() + extra, 0);
        bytes
    }

    #[test]
    fn whole_records_come_back_and_then_the_end() {
        let bytes = file(3, 0);
        let mut recording = Recording::read(bytes.as_slice()).unwrap();
        assert_eq!((recording.header.jiffy_ns, recording.header.started_ns), (4_000_000, 7));
        for _ in 0..3 {
            assert!(recording.next_record().unwrap().is_some());
        }
        assert!(recording.next_record().unwrap().is_none());
    }

    #[test]
    fn a_cut_recording_gives_all_whole_records_and_then_an_error() {
        let bytes = file(2, 50);
        let mut recording = Recording::read(bytes.as_slice()).unwrap();
        assert!(recording.next_record().unwrap().is_some());
        assert!(recording.next_record().unwrap().is_some());
        let error = recording.next_record().unwrap_err().to_string();
        assert!(error.contains("after 2 whole records"), "{error}");
    }

    #[test]
    fn what_is_no_recording_is_refused_with_a_sentence() {
        let with = |change: fn(&mut Header)| {
            let mut header = header();
            change(&mut header);
            format!("{}\n", serde_json::to_string(&header).unwrap()).into_bytes()
        };
        for (bytes, sentence) in [
            (vec![], "no recording"),
            (b"garbage".to_vec(), "no recording"),
            (vec![0xff; 100_000], "no recording"),
            (with(|header| header.record_bytes = 100), "another version"),
            (with(|header| header.format = "tracer recording 9".into()), "tracer recording 9"),
            (
                with(|header| {
                    header.byte_order = OTHER_ORDER;
                    header.architecture = "s390x".into();
                }),
                "stored as on s390x",
            ),
        ] {
            let refusal = Recording::read(bytes.as_slice()).err().unwrap().to_string();
            assert!(refusal.contains(sentence), "{refusal}");
        }
    }

    #[test]
    fn a_header_states_byte_order_and_architecture_and_an_old_one_means_those_of_its_time() {
        let mut header = serde_json::to_value(header()).unwrap();
        let native = serde_json::to_value(ByteOrder::NATIVE).unwrap();
        assert_eq!((&header["byte_order"], &header["architecture"]), (&native, &ARCH.into()));
        let fields = header.as_object_mut().unwrap();
        fields.remove("byte_order");
        fields.remove("architecture");
        let old: Header = serde_json::from_value(header).unwrap();
        assert_eq!((old.byte_order, old.architecture.as_str()), (ByteOrder::Little, "x86_64"));
    }

    #[test]
    fn a_tick_that_no_kernel_has_is_refused_with_a_sentence() {
        for (jiffy_ns, is_tick) in [
            (0, false),
            (999_999, false),
            (1_000_000, true),
            (3_333_333, true),
            (10_000_000, true),
            (10_000_001, false),
            (u64::MAX, false),
        ] {
            let facts = Header { jiffy_ns, ..header() }.facts();
            assert_eq!(facts.is_ok(), is_tick, "{jiffy_ns}");
        }
    }
}
