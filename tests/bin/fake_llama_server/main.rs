//! `fake-llama-server`: takes the command line of llama.cpp's server, speaks its HTTP, runs no model, and
//! misbehaves as the variable `FAKE_ENGINE` says (see `orchestrator_tests::behaviour`).
//!
//! One thread for each connection and blocking sockets: nothing here is to be fast, all is to be plain.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a double for tests: it fails by panicking, it prints as engines do"
)]

mod bad_answer;
mod family;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::exit;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orchestrator_tests::behaviour::{Behaviour, FakeStats, VARIABLE};
use serde_json::{Value, json};

/// Nothing of a test lives longer, whatever goes wrong.
const LIFETIME: Duration = Duration::from_mins(5);
const WORDS: [&str; 8] = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dogs"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(role) = value_of(&arguments, family::ROLE) {
        return family::play(role, &arguments);
    }
    if arguments.iter().any(|argument| argument == "--version") {
        eprintln!("version: 7000 (fake)\nbuilt with nothing for nothing");
        return;
    }
    if arguments.iter().any(|argument| argument == "--list-devices") {
        println!("Available devices:\n  Fake0: Fake GPU (of nothing) (8192 MiB, 8000 MiB free)");
        return;
    }
    if arguments.iter().any(|argument| argument == "--help") {
        println!("----- common params -----\n\n-h,    --help, --usage    print usage and exit\n-m,    --model FNAME    model path to load");
        return;
    }
    std::thread::spawn(|| {
        std::thread::sleep(LIFETIME);
        exit(99);
    });
    serve(arguments, read_behaviour());
}

fn value_of<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}

fn read_behaviour() -> Behaviour {
    let Ok(text) = std::env::var(VARIABLE) else { return Behaviour::default() };
    let text = if text.starts_with('{') { text } else { std::fs::read_to_string(&text).unwrap() };
    serde_json::from_str(&text).unwrap()
}

/// What all connections share.
struct Engine {
    behaviour: Behaviour,
    model: String,
    ready_at: Instant,
    stats: Mutex<FakeStats>,
}

fn serve(arguments: Vec<String>, behaviour: Behaviour) {
    complain("build: 7000 (fake) with nothing\n");
    if let Some(path) = &behaviour.starts_file {
        note(path, &format!("{} {}", std::process::id(), now()));
    }
    // Without a runtime of its own nothing else would take the signal's place.
    let _signals = behaviour.ignore_sigterm.then(ignore_sigterm);
    if let Some(end) = &behaviour.exit_at_start {
        std::thread::sleep(Duration::from_millis(behaviour.exit_after_ms));
        complain(&end.stderr);
        exit(i32::from(end.status));
    }
    if let Some(kind) = behaviour.grandchild {
        family::leave_behind(kind, &arguments);
    }
    let _children = family::have_children(behaviour.stubborn_children, &arguments);
    let model = value_of(&arguments, "--model").unwrap_or_else(|| fail("error: --model is required", 1)).to_owned();
    if let Err(error) = std::fs::metadata(&model) {
        fail(&format!("gguf_init_from_file: failed to open GGUF file '{model}' ({error})"), 1);
    }
    let host: IpAddr = value_of(&arguments, "--host").unwrap_or("127.0.0.1").parse().unwrap();
    let port: u16 = value_of(&arguments, "--port").unwrap_or("8080").parse().unwrap();
    std::thread::sleep(Duration::from_millis(behaviour.bind_ms));
    let listener = TcpListener::bind(SocketAddr::new(host, port))
        .unwrap_or_else(|error| fail(&format!("couldn't bind HTTP server socket, hostname: {host}, port: {port}: {error}"), 1));
    // The queue of the standard library overflows at some hundred clients at once.
    rustix::net::listen(&listener, 4_096).unwrap();
    // A log that cannot be written is no reason for an engine to end.
    let _ = writeln!(std::io::stdout(), "main: server is listening on http://{host}:{port}");
    let alias = value_of(&arguments, "--alias").unwrap_or("fake").to_owned();
    let ready_at = Instant::now() + Duration::from_millis(behaviour.load_ms);
    if let Some(after) = behaviour.crash_after_ms {
        std::thread::spawn(move || {
            std::thread::sleep((ready_at + Duration::from_millis(after)).saturating_duration_since(Instant::now()));
            crash();
        });
    }
    if behaviour.flood_mib > 0 {
        let mib = behaviour.flood_mib;
        std::thread::spawn(move || flood(mib, ready_at));
    }
    let stats = Mutex::new(FakeStats { pid: std::process::id(), arguments, ..FakeStats::default() });
    let engine = Arc::new(Engine { behaviour, model: alias, ready_at, stats });
    for stream in listener.incoming().flatten() {
        let engine = Arc::clone(&engine);
        // There may be thousands, and none of them does much.
        let conversation = move || {
            // An error is a client that is gone.
            let _ = engine.converse(stream);
        };
        std::thread::Builder::new().stack_size(256 * 1024).spawn(conversation).unwrap();
    }
}

/// Writes to the error output; a log that cannot be written is no reason for an engine to end.
fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn fail(message: &str, status: i32) -> ! {
    complain(&format!("{message}\n"));
    exit(status);
}

fn crash() -> ! {
    complain("GGML_ASSERT(fake) failed\n");
    std::process::abort();
}

/// Prints more than a log may hold, at a pace that leaves it a while.
fn flood(mib: u32, ready_at: Instant) {
    std::thread::sleep(ready_at.saturating_duration_since(Instant::now()));
    let line = format!("{}\n", "blah ".repeat(205));
    for _ in 0..mib {
        let mut output = std::io::stderr().lock();
        for _ in 0..1024 {
            let _ = output.write_all(line.as_bytes());
        }
        drop(output);
        std::thread::sleep(Duration::from_millis(250));
    }
    complain("the flood is over\n");
}

/// Takes SIGTERM and does nothing with it, for as long as what it returns is kept.
fn ignore_sigterm() -> impl Sized {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let signal = runtime.block_on(async { tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap() });
    (runtime, signal)
}

/// Appends a line to a file, in one piece.
fn note(path: &Path, line: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The microseconds since 1970.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}

struct Request {
    method: String,
    path: String,
    /// As they came.
    headers: Vec<String>,
    body: String,
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut length = 0;
    let mut is_chunked = false;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push(line.trim_end().to_owned());
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "transfer-encoding" => is_chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if is_chunked {
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut piece = vec![0; size + 2];
            reader.read_exact(&mut piece)?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&piece[..size]);
        }
    } else {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    }
    Ok(Some(Request { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() }))
}

impl Engine {
    fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some(request) = read_request(&mut reader)? {
            if self.behaviour.hang_after_ms.is_some_and(|after| self.is_ready_for(after)) && request.path != "/fake/stats" {
                std::thread::sleep(LIFETIME);
            }
            self.answer(&mut stream, &request)?;
        }
        Ok(())
    }

    fn is_ready_for(&self, milliseconds: u64) -> bool {
        !self.behaviour.never_ready && Instant::now() >= self.ready_at + Duration::from_millis(milliseconds)
    }

    fn answer(&self, stream: &mut TcpStream, request: &Request) -> std::io::Result<()> {
        let path = request.path.split('?').next().unwrap_or_default();
        if path == "/fake/stats" {
            let stats = serde_json::to_value(&*self.stats.lock().unwrap()).unwrap();
            return send_json(stream, 200, &stats);
        }
        if !self.is_ready_for(0) {
            return send_error(stream, 503, "Loading model", "unavailable_error");
        }
        match (request.method.as_str(), path) {
            ("GET", "/health") if self.behaviour.unhealthy_after_ms.is_some_and(|after| self.is_ready_for(after)) => {
                send_error(stream, 500, "fake: unhealthy", "server_error")
            }
            ("GET", "/health") => send_json(stream, 200, &json!({ "status": "ok" })),
            ("GET", "/v1/models") => {
                let model = json!({ "id": self.model, "object": "model", "created": 1, "owned_by": "llamacpp" });
                send_json(stream, 200, &json!({ "object": "list", "data": [model] }))
            }
            ("GET", "/props") => send_json(stream, 200, &json!({ "total_slots": 1, "chat_template": "", "build_info": "b7000-fake" })),
            ("POST", "/v1/chat/completions" | "/v1/completions" | "/v1/embeddings") => self.run_model(stream, path, request),
            _ => send_error(stream, 404, "File Not Found", "not_found_error"),
        }
    }

    fn run_model(&self, stream: &mut TcpStream, path: &str, request: &Request) -> std::io::Result<()> {
        let number = {
            let mut stats = self.stats.lock().unwrap();
            stats.requests += 1;
            stats.last_body.clone_from(&request.body);
            stats.last_headers.clone_from(&request.headers);
            stats.bodies.push(request.body.clone());
            stats.requests
        };
        let parsed: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let tag = parsed["messages"][0]["content"].as_str().unwrap_or_default();
        if let Some(file) = &self.behaviour.requests_file {
            note(file, tag);
        }
        let answered = match self.behaviour.bad_answer {
            Some(bad) => bad_answer::send(bad, stream),
            None => self.run_model_counted(stream, path, request, number),
        };
        if let (Err(_), Some(file)) = (&answered, &self.behaviour.aborts_file) {
            note(file, &format!("{tag} {}", now()));
        }
        {
            let mut stats = self.stats.lock().unwrap();
            match answered {
                Ok(()) => stats.completed += 1,
                Err(_) => stats.aborted += 1,
            }
        }
        if self.behaviour.crash_after_requests.is_some_and(|limit| number >= limit) {
            crash();
        }
        answered
    }

    /// What is written for a request, in pieces.
    fn words(&self, number: u64) -> Vec<String> {
        let texts = &self.behaviour.texts;
        let index = usize::try_from(number - 1).unwrap().min(texts.len().saturating_sub(1));
        match texts.get(index) {
            Some(text) => text.chars().collect::<Vec<_>>().chunks(5).map(|piece| piece.iter().collect()).collect(),
            None => (0..self.behaviour.chunks as usize).map(|index| format!("{} ", WORDS[index % WORDS.len()])).collect(),
        }
    }

    fn run_model_counted(&self, stream: &mut TcpStream, path: &str, request: &Request, number: u64) -> std::io::Result<()> {
        if let Some(status) = self.behaviour.model_status {
            return send_error(stream, status, "fake: told to fail", "server_error");
        }
        let Ok(body) = serde_json::from_str::<Value>(&request.body) else {
            return send_error(stream, 400, "fake: the body is not JSON", "invalid_request_error");
        };
        wait_for_client(stream, Duration::from_millis(self.behaviour.first_byte_ms))?;
        let words = self.words(number);
        let usage = json!({ "prompt_tokens": 3, "completion_tokens": words.len(), "total_tokens": words.len() + 3 });
        let model = &body["model"];
        if path == "/v1/embeddings" {
            let data = json!([{ "object": "embedding", "index": 0, "embedding": [0.25, -0.5, 1.0] }]);
            return send_json(stream, 200, &json!({ "object": "list", "model": model, "data": data, "usage": usage }));
        }
        let is_chat = path == "/v1/chat/completions";
        if body["stream"] == true {
            return self.send_stream(stream, is_chat, model, &words, &usage);
        }
        let text = words.concat();
        let choice = if is_chat {
            json!({ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": text } })
        } else {
            json!({ "index": 0, "finish_reason": "stop", "text": text })
        };
        let object = if is_chat { "chat.completion" } else { "text_completion" };
        send_json(
            stream,
            200,
            &json!({ "id": "fake-1", "object": object, "created": 1, "model": model, "choices": [choice], "usage": usage }),
        )
    }

    fn send_stream(&self, stream: &mut TcpStream, is_chat: bool, model: &Value, words: &[String], usage: &Value) -> std::io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
        let object = if is_chat { "chat.completion.chunk" } else { "text_completion" };
        let event = |choices: Value, usage: Option<&Value>| {
            let mut event = json!({ "id": "fake-1", "object": object, "created": 1, "model": model, "choices": choices });
            if let Some(usage) = usage {
                event["usage"] = usage.clone();
            }
            format!("data: {event}\n\n")
        };
        for (index, word) in (0u32..).zip(words) {
            if self.behaviour.crash_after_chunks == Some(index) {
                crash();
            }
            let choice = if is_chat {
                json!({ "index": 0, "delta": { "content": word }, "finish_reason": null })
            } else {
                json!({ "index": 0, "text": word, "finish_reason": null })
            };
            send_chunk(stream, &event(json!([choice]), None))?;
            wait_for_client(stream, Duration::from_millis(self.behaviour.chunk_ms))?;
        }
        let last = if is_chat {
            json!({ "index": 0, "delta": {}, "finish_reason": "stop" })
        } else {
            json!({ "index": 0, "text": "", "finish_reason": "stop" })
        };
        send_chunk(stream, &event(json!([last]), Some(usage)))?;
        send_chunk(stream, "data: [DONE]\n\n")?;
        stream.write_all(b"0\r\n\r\n")
    }
}

/// Waits, and fails as soon as the client is gone.
fn wait_for_client(stream: &TcpStream, time: Duration) -> std::io::Result<()> {
    let end = Instant::now() + time;
    let outcome = loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break Ok(());
        }
        // It ends early when the client goes; a thousand waiting threads must not wake up for nothing.
        stream.set_read_timeout(Some(left))?;
        match stream.peek(&mut [0]) {
            Ok(0) => break Err(ErrorKind::ConnectionAborted.into()),
            // A pipelined request: wait without looking.
            Ok(_) => std::thread::sleep(Duration::from_millis(5)),
            // A stop and its end (SIGSTOP, SIGCONT) interrupt a wait with a time limit.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(error) => break Err(error),
        }
    };
    stream.set_read_timeout(None)?;
    outcome
}

fn send_chunk(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

fn send_error(stream: &mut TcpStream, status: u16, message: &str, kind: &str) -> std::io::Result<()> {
    send_json(stream, status, &json!({ "error": { "message": message, "type": kind, "code": status } }))
}

fn send_json(stream: &mut TcpStream, status: u16, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} Fake\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes())
}
