//! What the gateway adds to a request: the same engine asked directly and through us, in turns.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use orchestrator_core::model::demo::{DemoModel, write_demo_model};

use super::home::BenchHome;
use super::{ROUNDS, micros, quantile};
use crate::shell::{TaskResult, target_dir};

/// How many requests one turn has.
const REQUESTS: usize = 400;

pub(crate) fn run() -> TaskResult {
    super::build_release()?;
    let home = BenchHome::new()?;
    let model = home.path().join("demo.gguf");
    write_demo_model(&model, &DemoModel::default()).map_err(|error| format!("could not write the demo model: {error}"))?;
    let engine = target_dir().join("release").join("fake-llama-server");
    let config = serde_json::json!({ "name": "bench", "model": { "path": model }, "engine": { "binary": engine } });
    let folder = home.path().join("instances").join("bench");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join("config.json"), config.to_string()))
        .map_err(|error| format!("could not write the configuration: {error}"))?;
    home.orch_json(&["up", "bench"])?;
    let row = home.orch_json(&["ps"])?;
    let direct = format!("127.0.0.1:{}", row[0]["port"]);
    let status = home.orch_json(&["daemon", "status"])?;
    let endpoint = status["endpoint"].as_str().unwrap_or_default().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (mut ours, mut theirs) = (Asker::connect(&endpoint)?, Asker::connect(&direct)?);
    let (mut ratios, mut all_ours, mut all_direct) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut direct = theirs.turn()?;
        let mut through = ours.turn()?;
        ratios.push(quantile(&mut through, 0.5).saturating_sub(quantile(&mut direct, 0.5)));
        all_ours.append(&mut through);
        all_direct.append(&mut direct);
    }
    let line = |name: &str, samples: &mut Vec<Duration>| {
        let (p50, p99) = (quantile(samples, 0.5), quantile(samples, 0.99));
        println!("{name}: p50 {:.0} µs, p99 {:.0} µs ({} requests)", micros(p50), micros(p99), samples.len());
        (p50, p99)
    };
    let direct = line("direct", &mut all_direct);
    let through = line("through the gateway", &mut all_ours);
    println!(
        "added: p50 {:.0} µs, p99 {:.0} µs; median of {ROUNDS} rounds' p50 {:.0} µs",
        micros(through.0.saturating_sub(direct.0)),
        micros(through.1.saturating_sub(direct.1)),
        micros(quantile(&mut ratios, 0.5))
    );
    Ok(())
}

/// One client with one kept connection.
struct Asker {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Asker {
    fn connect(address: &str) -> TaskResult<Self> {
        let stream = TcpStream::connect(address).map_err(|error| format!("could not connect to {address}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| error.to_string())?;
        let body = r#"{"model":"bench","messages":[{"role":"user","content":"Say something short about bridges."}],"max_tokens":16}"#;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Ok(Self { stream, request: [head.as_bytes(), body.as_bytes()].concat() })
    }

    fn turn(&mut self) -> TaskResult<Vec<Duration>> {
        (0..REQUESTS).map(|_| self.ask()).collect()
    }

    fn ask(&mut self) -> TaskResult<Duration> {
        let begun = Instant::now();
        self.stream.write_all(&self.request).map_err(|error| format!("could not send: {error}"))?;
        let mut answer = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = self.stream.read(&mut buffer).map_err(|error| format!("could not read: {error}"))?;
            if count == 0 {
                return Err("the connection was closed".to_owned());
            }
            answer.extend_from_slice(&buffer[..count]);
            if is_whole(&answer)? {
                return Ok(begun.elapsed());
            }
        }
    }
}

/// Returns whether this is a whole answer with status 200.
fn is_whole(answer: &[u8]) -> TaskResult<bool> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(format!("the answer is {}: {}", head.lines().next().unwrap_or(""), String::from_utf8_lossy(&answer[end..])));
    }
    if head.contains("transfer-encoding: chunked") {
        return Ok(answer.ends_with(b"0\r\n\r\n"));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|length| length.trim().parse().ok());
    Ok(length.is_some_and(|length: usize| answer.len() >= end + 4 + length))
}
