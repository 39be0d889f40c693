//! Many connections, each with one stream of events under way all the time.

use std::io::Write;
use std::time::{Duration, Instant};

use orchestrator_tests::monotonic_nanos;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::crowd::Crowd;
use crate::{quantile, request};

/// Streams do not end within a measurement.
const EVENTS: u64 = 1_000_000_000;

/// One stream.
struct Reader {
    answer: Answer,
    /// What has come of an event.
    event: Vec<u8>,
    /// When the event before this one was written, and when it came.
    before: Option<(u64, u64)>,
}

#[derive(Default)]
struct Seen {
    count: u64,
    /// From writing to reading.
    delays: Vec<u64>,
    /// By how much the time between two events differs from the time between their being written.
    gaps: Vec<u64>,
}

pub(crate) fn run(address: &str, model: &str, connections: usize, time: Duration, pace: u64) -> Value {
    let body = format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"Tell me all about bridges."}}],"stream":true,"max_tokens":{EVENTS},"pace_us":{pace}}}"#
    );
    let request = request(address, &body);
    let mut crowd = Crowd::connect(address, connections);
    let mut readers: Vec<Reader> =
        (0..connections).map(|_| Reader { answer: Answer::new(), event: Vec::with_capacity(512), before: None }).collect();
    let mut seen = Seen::default();
    // Spread over one beat, as people are.
    let step = Duration::from_micros(pace) / u32::try_from(connections).unwrap();
    let mut next = Instant::now();
    for number in 0..connections {
        crowd.streams[number].write_all(&request).unwrap();
        next += step;
        crowd.read_until(next, |_, number, bytes| readers[number].take(bytes, &mut seen));
    }
    // What came while others were still to begin does not count.
    seen = Seen::default();
    let begun = Instant::now();
    crowd.read_until(begun + time, |_, number, bytes| readers[number].take(bytes, &mut seen));
    let seconds = begun.elapsed().as_secs_f64();
    seen.delays.sort_unstable();
    seen.gaps.sort_unstable();
    json!({
        "count": seen.count, "seconds": seconds,
        "delay_p50": quantile(&seen.delays, 0.5), "delay_p99": quantile(&seen.delays, 0.99), "gap_p99": quantile(&seen.gaps, 0.99),
    })
}

impl Reader {
    fn take(&mut self, bytes: &[u8], seen: &mut Seen) {
        let now = monotonic_nanos();
        let Self { answer, event, before } = self;
        answer.take(bytes, |mut body| {
            while let Some(end) = body.iter().position(|byte| *byte == b'\n') {
                event.extend_from_slice(&body[..end]);
                body = &body[end + 1..];
                // The empty line after an event's one line.
                if event.is_empty() {
                    continue;
                }
                seen.count += 1;
                if let Some(written) = written_at(event) {
                    seen.delays.push(now.saturating_sub(written));
                    if let Some((written_before, came_before)) = before.replace((written, now)) {
                        seen.gaps.push((now - came_before).abs_diff(written - written_before));
                    }
                }
                event.clear();
            }
            event.extend_from_slice(body);
        });
    }
}

/// Returns the moment that the engine put into an event.
fn written_at(event: &[u8]) -> Option<u64> {
    let digits = event.strip_suffix(b"\"}")?;
    let digits = digits.get(digits.len().checked_sub(20)?..)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
