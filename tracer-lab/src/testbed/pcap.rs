//! The classic pcap file format, as tcpdump writes it while one reads along:
//! <https://www.tcpdump.org/manpages/pcap-savefile.5.html>.

use std::time::Duration;

use anyhow::{Result, bail};

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// The magic number of files with nanosecond timestamps.
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// A captured frame and when it was seen, since the epoch.
pub(crate) struct Record<'file> {
    pub(crate) time: Duration,
    pub(crate) frame: &'file [u8],
}

/// The records that are complete so far.
pub(crate) fn records(file: &[u8]) -> Result<Vec<Record<'_>>> {
    let mut records = Vec::new();
    let Some((header, mut rest)) = file.split_at_checked(FILE_HEADER) else {
        return Ok(records);
    };
    if word(header, 0) != NANOSECONDS {
        bail!("the capture is not a nanosecond pcap file of this machine's byte order");
    }
    while let Some((header, after)) = rest.split_at_checked(RECORD_HEADER) {
        let Some((frame, after)) = after.split_at_checked(word(header, 8) as usize) else {
            break;
        };
        records.push(Record { time: Duration::new(word(header, 0).into(), word(header, 4)), frame });
        rest = after;
    }
    Ok(records)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(word)
}
