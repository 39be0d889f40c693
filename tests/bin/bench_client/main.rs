//! `bench-client`: asks an endpoint in one of four ways and prints what it saw as one line of JSON.
//!
//! ```text
//! bench-client ask ADDRESS MODEL COUNT                 one connection, one request after the other
//! bench-client load ADDRESS MODEL CONNECTIONS MILLIS   as many requests as are answered
//! bench-client stream ADDRESS MODEL CONNECTIONS MILLIS PACE_US
//! bench-client first ADDRESS BODY_FILE                  the time to the first event of a stream
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a tool for measurements: it fails by panicking, and prints its result"
)]

mod answer;
mod ask;
mod crowd;
mod load;
mod streams;

use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    let millis = |text: &str| Duration::from_millis(number(text));
    let size = |text: &str| usize::try_from(number(text)).unwrap();
    let result = match words.as_slice() {
        ["ask", address, model, count] => ask::run(address, model, size(count)),
        ["load", address, model, connections, time] => load::run(address, model, size(connections), millis(time)),
        ["stream", address, model, connections, time, pace] => streams::run(address, model, size(connections), millis(time), number(pace)),
        ["first", address, body_file] => ask::first(address, &std::fs::read_to_string(body_file).unwrap()),
        _ => panic!("see the documentation of this program for its arguments"),
    };
    println!("{result}");
}

/// Returns a request to a model of about 120 bytes of body.
fn request(address: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + body).into_bytes()
}

/// Returns the value below which this part of the sorted samples lies.
fn quantile(sorted: &[u64], part: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index into a list")]
    let index = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a short time")]
    let nanos = sorted.get(index).copied().unwrap_or(0) as f64;
    nanos / 1e3
}
