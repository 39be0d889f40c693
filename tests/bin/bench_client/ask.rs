//! One connection, one request after the other.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::{quantile, request};

/// Requests before those that count.
const WARM_UP: usize = 50;

pub(crate) fn run(address: &str, model: &str, count: usize) -> Value {
    let body =
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Say something short about bridges."}}],"max_tokens":16}}"#);
    let request = request(address, &body);
    let mut connection = connect(address);
    let mut nanos: Vec<u64> = (0..count + WARM_UP).map(|_| nanos_of(|| ask(&mut connection, &request))).skip(WARM_UP).collect();
    nanos.sort_unstable();
    json!({ "p50": quantile(&nanos, 0.5), "p99": quantile(&nanos, 0.99) })
}

/// Asks once with this body and returns when the first byte of the answer's body came.
pub(crate) fn first(address: &str, body: &str) -> Value {
    let mut connection = connect(address);
    let begun = Instant::now();
    connection.write_all(&request(address, body)).unwrap();
    let mut first = None;
    let mut answer = Answer::new();
    let mut buffer = [0; 16 * 1024];
    while !answer.is_whole() {
        let count = connection.read(&mut buffer).unwrap();
        assert!(count > 0, "the connection was closed");
        answer.take(&buffer[..count], |_| {
            first.get_or_insert_with(|| begun.elapsed());
        });
    }
    json!({ "first_ms": first.map(|first: Duration| first.as_secs_f64() * 1e3) })
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    let mut answer = Answer::new();
    let mut buffer = [0; 16 * 1024];
    while !answer.is_whole() {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the connection was closed");
        answer.take(&buffer[..count], |_| {});
    }
}

fn nanos_of(work: impl FnOnce()) -> u64 {
    let begun = Instant::now();
    work();
    u64::try_from(begun.elapsed().as_nanos()).unwrap()
}
