//! `bench-engine`: takes the command line of llama.cpp's server and answers as fast as one thread can, so that a
//! measurement of what stands in front of an engine does not measure the engine.
//!
//! A request with `"stream":true` gets `max_tokens` events, one every `pace_us` microseconds, or as fast as they are
//! taken where that is 0. Each event says when it was written (`"t"`, nanoseconds of the monotonic clock).

#![expect(clippy::unwrap_used, reason = "a double for measurements: it fails by panicking")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use orchestrator_tests::monotonic_nanos;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};

/// Nothing of a measurement takes longer, whatever goes wrong.
const LIFETIME: Duration = Duration::from_mins(15);
const LISTENER: u64 = u64::MAX;
/// How much is written at once where the reader sets the pace.
const PIECE: usize = 16 * 1024;

const HEALTH: &str = r#"{"status":"ok"}"#;
const ANSWER: &str = r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"A bridge carries a road over water, and people over both."},"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":16,"total_tokens":40}}"#;
const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const STREAM_END: &str = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--version") {
        return;
    }
    let value = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let address = format!("{}:{}", value("--host").unwrap(), value("--port").unwrap());
    let listener = TcpListener::bind(address).unwrap();
    // Far more connections at once than the default length of the queue takes.
    rustix::net::listen(&listener, 4_096).unwrap();
    listener.set_nonblocking(true).unwrap();
    Engine::new(listener).run();
}

struct Engine {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: HashMap<u64, Connection>,
    next_key: u64,
    due: BinaryHeap<Reverse<(Instant, u64)>>,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    reply: Option<Streaming>,
    waits_for_room: bool,
}

/// A stream of events that is under way.
#[derive(Clone, Copy)]
struct Streaming {
    left: u64,
    pace: Duration,
    next: Instant,
}

impl Engine {
    fn new(listener: TcpListener) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN).unwrap();
        Self { listener, epoll, connections: HashMap::new(), next_key: 0, due: BinaryHeap::new() }
    }

    fn run(mut self) {
        let begun = Instant::now();
        let mut events: Vec<Event> = Vec::with_capacity(1_024);
        while begun.elapsed() < LIFETIME {
            let wait = self.due.peek().map_or(Duration::from_secs(1), |Reverse((at, _))| at.saturating_duration_since(Instant::now()));
            events.clear();
            let timeout = Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap(), tv_nsec: wait.subsec_nanos().into() };
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)).unwrap();
            for event in &events {
                let (key, flags) = (event.data.u64(), event.flags);
                if key == LISTENER {
                    self.accept();
                } else {
                    let is_alive = (!flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) || self.read(key))
                        && (!flags.contains(EventFlags::OUT) || self.send(key));
                    self.settle(key, is_alive);
                }
            }
            self.send_due();
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            let key = self.next_key;
            self.next_key += 1;
            epoll::add(&self.epoll, &stream, EventData::new_u64(key), EventFlags::IN).unwrap();
            let connection = Connection { stream, input: Vec::new(), output: Vec::new(), reply: None, waits_for_room: false };
            self.connections.insert(key, connection);
        }
    }

    /// Forgets a connection that is closed; asks to be told of room where something is left to write.
    fn settle(&mut self, key: u64, is_alive: bool) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        if !is_alive {
            self.connections.remove(&key);
            return;
        }
        let is_pressing = connection.reply.is_some_and(|reply| reply.pace.is_zero());
        let waits_for_room = is_pressing || !connection.output.is_empty();
        if waits_for_room != connection.waits_for_room {
            connection.waits_for_room = waits_for_room;
            let flags = if waits_for_room { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &connection.stream, EventData::new_u64(key), flags).unwrap();
        }
    }

    /// Reads and answers requests; false where the connection is at its end.
    fn read(&mut self, key: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&key) else { return false };
        let mut buffer = [0; 16 * 1024];
        match connection.stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => connection.input.extend_from_slice(&buffer[..count]),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
        while let Some((length, reply)) = take_request(&connection.input) {
            connection.input.drain(..length);
            match reply {
                Reply::Whole(body) => connection.output.extend_from_slice(whole(body).as_bytes()),
                Reply::Stream(streaming) => {
                    connection.output.extend_from_slice(STREAM_HEAD.as_bytes());
                    connection.reply = Some(streaming);
                    if !streaming.pace.is_zero() {
                        self.due.push(Reverse((streaming.next, key)));
                    }
                }
            }
        }
        connection.flush()
    }

    fn send(&mut self, key: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&key) else { return false };
        if let Some(reply) = &mut connection.reply
            && reply.pace.is_zero()
        {
            let mut left = reply.left;
            while left > 0 && connection.output.len() < PIECE {
                push_event(&mut connection.output);
                left -= 1;
            }
            reply.left = left;
            if left == 0 {
                connection.end();
            }
        }
        connection.flush()
    }

    /// Writes the events whose moment has come.
    fn send_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, key))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            let Some(connection) = self.connections.get_mut(&key) else { continue };
            let Some(reply) = &mut connection.reply else { continue };
            reply.left -= 1;
            reply.next += reply.pace;
            let (left, next) = (reply.left, reply.next);
            push_event(&mut connection.output);
            if left == 0 {
                connection.end();
            } else {
                self.due.push(Reverse((next, key)));
            }
            let is_alive = connection.flush();
            self.settle(key, is_alive);
        }
    }
}

impl Connection {
    fn end(&mut self) {
        self.reply = None;
        self.output.extend_from_slice(STREAM_END.as_bytes());
    }

    /// Writes what can be written; false where nobody reads it any more.
    fn flush(&mut self) -> bool {
        if self.output.is_empty() {
            return true;
        }
        match self.stream.write(&self.output) {
            Ok(count) => {
                self.output.drain(..count);
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

enum Reply {
    Whole(&'static str),
    Stream(Streaming),
}

/// Returns how long the first request is and what it gets, once it is there as a whole.
fn take_request(input: &[u8]) -> Option<(usize, Reply)> {
    let end = input.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&input[..end]).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let length = end + length.unwrap_or(0);
    let body = std::str::from_utf8(input.get(end..length)?).unwrap();
    if !head.starts_with("POST") {
        return Some((length, Reply::Whole(HEALTH)));
    }
    if !body.contains(r#""stream":true"#) {
        return Some((length, Reply::Whole(ANSWER)));
    }
    let pace = Duration::from_micros(number(body, r#""pace_us":"#));
    let streaming = Streaming { left: number(body, r#""max_tokens":"#).max(1), pace, next: Instant::now() + pace };
    Some((length, Reply::Stream(streaming)))
}

fn number(body: &str, name: &str) -> u64 {
    let Some(at) = body.find(name) else { return 0 };
    let digits: String = body[at + name.len()..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn whole(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn push_event(output: &mut Vec<u8>) {
    let event = format!(
        "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" bridge\"}},\"finish_reason\":null}}],\"t\":\"{:020}\"}}\n\n",
        monotonic_nanos()
    );
    write!(output, "{:x}\r\n{event}\r\n", event.len()).unwrap();
}
