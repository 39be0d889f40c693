//! A small HTTP server that can be told to misbehave: a thread for each connection, and a function for each answer.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;

/// What a client asks.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// How many were asked before.
    pub(super) number: usize,
    pub(super) path: String,
    pub(super) headers: HashMap<String, String>,
}

impl Ask {
    /// The range that is asked for.
    pub(super) fn range(&self) -> Option<Range<usize>> {
        let (first, last) = self.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some(first.parse().ok()?..last.parse::<usize>().ok()? + 1)
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Sent in chunks and without a length.
    pub(super) chunked: bool,
    /// The connection ends after so many bytes of the body.
    pub(super) cut: Option<usize>,
    /// The time between the bytes of the body.
    pub(super) drip: Option<Duration>,
    /// The time before the head.
    pub(super) delay: Option<Duration>,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), chunked: false, cut: None, drip: None, delay: None }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub(super) fn redirect(target: impl Into<String>) -> Self {
        Self::new(302, Vec::new()).with("Location", target)
    }

    /// What an honest server answers.
    pub(super) fn file(ask: &Ask, data: &[u8], etag: &str) -> Self {
        let tagged = |reply: Self| reply.with("ETag", format!("\"{etag}\"")).with("Accept-Ranges", "bytes");
        match ask.range() {
            None => tagged(Self::new(200, data)),
            Some(range) if range.start >= data.len() => Self::new(416, "").with("Content-Range", format!("bytes */{}", data.len())),
            Some(range) => {
                let end = range.end.min(data.len());
                let part = format!("bytes {}-{}/{}", range.start, end - 1, data.len());
                tagged(Self::new(206, &data[range.start..end])).with("Content-Range", part)
            }
        }
    }
}

type Handler = dyn Fn(&Ask) -> Reply + Send + Sync;

/// A server on this machine. It ends when it is dropped.
pub(super) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<Handler>,
    asks: Mutex<Vec<Ask>>,
    sent: AtomicU64,
    ended: AtomicBool,
}

impl Origin {
    pub(super) fn start(handler: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { handler: Box::new(handler), asks: Mutex::default(), sent: AtomicU64::new(0), ended: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if shared.ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || while_connected(&stream, &shared));
                }
            }
        });
        Self { address, shared }
    }

    /// Serves one file under every path.
    pub(super) fn serving(data: Arc<Vec<u8>>) -> Self {
        Self::start(move |ask| Reply::file(ask, &data, "tag"))
    }

    pub(super) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}/{path}", self.address)).unwrap()
    }

    pub(super) fn asks(&self) -> Vec<Ask> {
        self.shared.asks.lock().unwrap().clone()
    }

    /// The bytes of bodies that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
    }
}

fn while_connected(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some(ask) = read_ask(&mut reader, shared) {
        let reply = (shared.handler)(&ask);
        if answer(stream, &reply, shared).is_none() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn read_ask(reader: &mut impl std::io::BufRead, shared: &Shared) -> Option<Ask> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut asks = shared.asks.lock().unwrap();
    let ask = Ask { number: asks.len(), path, headers };
    asks.push(ask.clone());
    Some(ask)
}

/// Nothing, when the connection is over.
fn answer(mut stream: &TcpStream, reply: &Reply, shared: &Shared) -> Option<()> {
    if let Some(delay) = reply.delay {
        // Over when the client has gone; nothing more is asked while it waits.
        stream.set_read_timeout(Some(delay)).ok()?;
        if (&mut stream).read(&mut [0]).is_ok() {
            return None;
        }
        stream.set_read_timeout(None).ok()?;
    }
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let framing = if reply.chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {}", reply.body.len()) };
    let _ = write!(head, "{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let body = &reply.body[..reply.cut.unwrap_or(usize::MAX).min(reply.body.len())];
    let piece = if reply.drip.is_some() { 1 } else { 64 << 10 };
    for piece in body.chunks(piece) {
        if reply.chunked {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).ok()?;
        }
        stream.write_all(piece).ok()?;
        if reply.chunked {
            stream.write_all(b"\r\n").ok()?;
        }
        shared.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        if let Some(pause) = reply.drip {
            std::thread::sleep(pause);
        }
    }
    if reply.cut.is_some() {
        return None;
    }
    if reply.chunked {
        stream.write_all(b"0\r\n\r\n").ok()?;
    }
    Some(())
}
