//! Judges a write-ahead log before `SQLite` reads it.
//!
//! `SQLite` takes a log as ended at the first frame that does not check out, without a word. That is right for the
//! one transaction that a power cut tore, and wrong when a commit that was acknowledged lies behind it. See
//! "The WAL File Format" in <https://sqlite.org/walformat.html>.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC: u32 = 0x377f_0682;

/// Returns what is wrong with the log at `path`; `None` when it can be trusted or there is none.
pub(super) fn damage(path: &Path) -> std::io::Result<Option<&'static str>> {
    match File::open(path) {
        Ok(file) => judge(&mut BufReader::new(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn judge(log: &mut impl Read) -> std::io::Result<Option<&'static str>> {
    let mut header = [0; HEADER];
    if !fill(log, &mut header)? || header.iter().all(|byte| *byte == 0) {
        // Cut before its header was synced: nothing in it was acknowledged.
        return Ok(None);
    }
    let magic = word(&header, 0);
    if magic & !1 != MAGIC {
        return Ok(Some("its write-ahead log does not begin like one"));
    }
    let sum = Checksum { big_endian: magic & 1 == 1, state: (0, 0) }.over(&header[..24]);
    if sum.state != (word(&header, 24), word(&header, 28)) {
        return Ok(Some("the header of its write-ahead log is damaged"));
    }
    let page_size = word(&header, 8) as usize;
    if !(512..=65_536).contains(&page_size) || !page_size.is_power_of_two() {
        return Ok(Some("the header of its write-ahead log is damaged"));
    }
    let salts: [u8; 8] = [header[16], header[17], header[18], header[19], header[20], header[21], header[22], header[23]];
    let commits = commits_behind_damage(log, page_size, salts, sum)?;
    // One commit behind the damage can be the transaction that a power cut tore; two cannot.
    Ok((commits > 1).then_some("its write-ahead log is damaged before its end"))
}

/// Counts the commits of this generation that lie at or behind the first frame that does not check out.
fn commits_behind_damage(log: &mut impl Read, page_size: usize, salts: [u8; 8], header_sum: Checksum) -> std::io::Result<usize> {
    let mut frame = vec![0; FRAME_HEADER + page_size];
    let mut sum = header_sum;
    let mut damaged = false;
    let mut commits = 0;
    while fill(log, &mut frame)? {
        let same_generation = frame[8..16] == salts;
        if !damaged {
            sum = sum.over(&frame[..8]).over(&frame[FRAME_HEADER..]);
            damaged = !same_generation || sum.state != (word(&frame, 16), word(&frame, 20));
        }
        // A frame that ends a transaction carries the size of the database.
        if damaged && same_generation && word(&frame, 4) != 0 {
            commits += 1;
        }
    }
    Ok(commits)
}

/// The running checksum of the format.
#[derive(Clone, Copy)]
struct Checksum {
    big_endian: bool,
    state: (u32, u32),
}

impl Checksum {
    fn over(mut self, bytes: &[u8]) -> Self {
        let read = |four: &[u8]| {
            let four = [four[0], four[1], four[2], four[3]];
            if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
        };
        let (mut first, mut second) = self.state;
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(read(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(read(&pair[4..])).wrapping_add(first);
        }
        self.state = (first, second);
        self
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Fills the buffer; false when the input ends before.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
