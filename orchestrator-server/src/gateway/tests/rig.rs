//! An engine that follows a script, a scheduler that says where it is, and a gateway between them and a client.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use orchestrator_core::config::ConfigDuration;
use orchestrator_core::config::daemon::LimitsConfig;
use orchestrator_core::event::EventDraft;
use orchestrator_core::orchestrator::Requester;
use orchestrator_core::runtime::RuntimeCapabilities;
use orchestrator_core::{ErrorCode, InstanceName, InstanceSpec, Problem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::super::tools::Pace;
use super::super::{Admission, Gateway, InstanceLease, Stations};
use crate::Client;
use crate::api::ServedModel;

/// Everything a test needs ends within this.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// The engine's end of a connection.
pub(super) struct Wire(pub(super) TcpStream);

impl Wire {
    /// Reads one request, head and body, as text; `None` at the end of the connection.
    pub(super) async fn request(&mut self) -> Option<String> {
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        loop {
            if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
                if text.len() >= end + 4 + length {
                    return Some(String::from_utf8(text).unwrap());
                }
            }
            match self.0.read(&mut piece).await {
                Ok(0) | Err(_) => return None,
                Ok(size) => text.extend_from_slice(&piece[..size]),
            }
        }
    }

    pub(super) async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Answers with a JSON body.
    pub(super) async fn json(&mut self, body: &str) {
        self.write(&format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    }

    /// Begins a stream of events.
    pub(super) async fn begin_stream(&mut self) {
        self.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await;
    }

    pub(super) async fn chunk(&mut self, text: &str) {
        self.write(&format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    pub(super) async fn end_stream(&mut self) {
        self.write("0\r\n\r\n").await;
    }

    /// Waits for the end of the connection and returns how long that took.
    pub(super) async fn closed(&mut self) -> Duration {
        let started = Instant::now();
        let mut piece = [0; 64];
        while !matches!(self.0.read(&mut piece).await, Ok(0) | Err(_)) {}
        started.elapsed()
    }

    /// Ends the connection the way a killed process does.
    pub(super) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.0, Some(Duration::ZERO)).unwrap();
    }
}

/// Starts an engine; `script` is run for each connection, with its number from 0.
pub(super) async fn engine<F, W>(script: F) -> SocketAddr
where
    F: Fn(Wire, usize) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(script(Wire(stream), number));
        }
    });
    address
}

/// Returns an address where nobody listens.
pub(super) async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Says where the instance `m` is: at each of `addresses` in turn, then at the last.
#[derive(Clone)]
pub(super) struct Scheduler {
    addresses: Arc<Vec<SocketAddr>>,
    /// Where it is from now on, whatever the list says.
    elsewhere: Arc<Mutex<Option<SocketAddr>>>,
    spec: Arc<InstanceSpec>,
    admitted: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
    server: Arc<AtomicU64>,
    gone: watch::Sender<bool>,
    events: Arc<Mutex<Vec<EventDraft>>>,
    /// Another instance of the same model, which gets the requests while the first one is shunned.
    sibling: Option<(Arc<InstanceSpec>, SocketAddr)>,
    pub(super) shunned_until: Arc<Mutex<Option<Instant>>>,
}

impl Scheduler {
    pub(super) fn new(addresses: impl Into<Vec<SocketAddr>>) -> Self {
        Self::with_spec(addresses, |_| {})
    }

    pub(super) fn with_spec(addresses: impl Into<Vec<SocketAddr>>, change: impl FnOnce(&mut InstanceSpec)) -> Self {
        let mut spec: InstanceSpec = serde_json::from_str(r#"{"name":"m","model":{"path":"/m.gguf"}}"#).unwrap();
        change(&mut spec);
        let addresses = Arc::new(addresses.into());
        Self {
            addresses,
            elsewhere: Arc::default(),
            spec: Arc::new(spec),
            admitted: Arc::default(),
            held: Arc::default(),
            server: Arc::default(),
            gone: watch::channel(false).0,
            events: Arc::default(),
            sibling: None,
            shunned_until: Arc::default(),
        }
    }

    /// Adds an instance `n` of the same model.
    pub(super) fn beside(mut self, address: SocketAddr) -> Self {
        let spec: InstanceSpec = serde_json::from_str(r#"{"name":"n","model":{"path":"/m.gguf"}}"#).unwrap();
        self.sibling = Some((Arc::new(spec), address));
        self
    }

    /// How many requests were let in.
    pub(super) fn admitted(&self) -> usize {
        self.admitted.load(Ordering::SeqCst)
    }

    /// How many places are held now.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// What was recorded.
    pub(super) fn events(&self) -> Vec<EventDraft> {
        self.events.lock().unwrap().clone()
    }

    /// Says that the instance is at this address from now on.
    pub(super) fn go_to(&self, address: SocketAddr) {
        *self.elsewhere.lock().unwrap() = Some(address);
    }

    /// Says that the instance has another server from now on.
    pub(super) fn replace_server(&self) {
        self.server.fetch_add(1, Ordering::SeqCst);
    }

    /// Says that the server has ended.
    pub(super) fn say_gone(&self) {
        self.gone.send_replace(true);
    }

    /// Waits until no place is held.
    pub(super) async fn until_free(&self) {
        let deadline = Instant::now() + SOON;
        while self.held() > 0 {
            assert!(Instant::now() < deadline, "a place is still held");
            tokio::task::yield_now().await;
        }
    }
}

pub(super) struct Place {
    address: SocketAddr,
    spec: Arc<InstanceSpec>,
    server: u64,
    scheduler: Scheduler,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.scheduler.held.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Admission for Scheduler {
    type Lease = Place;

    async fn admit(&self, model: &str, _: Requester) -> Result<Place, Problem> {
        if model != "m" {
            return Err(Problem::new(ErrorCode::ModelUnknown, format!("no instance is called `{model}`")).with_hint("is `m` meant?"));
        }
        let turn = self.admitted.fetch_add(1, Ordering::SeqCst);
        self.held.fetch_add(1, Ordering::SeqCst);
        let is_shunned = self.shunned_until.lock().unwrap().is_some_and(|until| until > Instant::now());
        if let Some((spec, address)) = self.sibling.clone().filter(|_| is_shunned) {
            return Ok(Place { address, spec, server: 0, scheduler: self.clone() });
        }
        let listed = self.addresses.get(turn).or(self.addresses.last()).copied().unwrap();
        let address = self.elsewhere.lock().unwrap().unwrap_or(listed);
        Ok(Place { address, spec: self.spec.clone(), server: self.server.load(Ordering::SeqCst), scheduler: self.clone() })
    }

    fn shun(&self, instance: &InstanceName, pause: Duration) {
        if *instance == self.spec.name {
            *self.shunned_until.lock().unwrap() = Some(Instant::now() + pause);
        }
    }

    fn record(&self, event: EventDraft) {
        self.events.lock().unwrap().push(event);
    }

    fn served(&self) -> Vec<ServedModel> {
        vec![ServedModel {
            id: "m".to_owned(),
            instance: self.spec.name.clone(),
            aliases: vec!["small".to_owned()],
            model: "tiny".to_owned(),
            state: "ready".to_owned(),
        }]
    }
}

impl InstanceLease for Place {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn server(&self) -> u64 {
        self.server
    }

    fn instance(&self) -> &InstanceName {
        &self.spec.name
    }

    fn spec(&self) -> &Arc<InstanceSpec> {
        &self.spec
    }

    fn capabilities(&self) -> RuntimeCapabilities {
        RuntimeCapabilities { json_schema: true, native_tools: true, embeddings: true }
    }

    async fn gone(&self) {
        let mut gone = self.scheduler.gone.subscribe();
        if gone.wait_for(|gone| *gone).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A gateway that listens.
pub(super) struct Rig {
    pub(super) address: SocketAddr,
    pub(super) client: Client,
    pub(super) stations: Arc<Stations>,
}

impl Rig {
    pub(super) async fn new(scheduler: &Scheduler) -> Self {
        Self::with_limits(scheduler, |_| {}, Pace::default()).await
    }

    pub(super) async fn with_pace(scheduler: &Scheduler, pace: Pace) -> Self {
        Self::with_limits(scheduler, |_| {}, pace).await
    }

    pub(super) async fn with_first_byte(scheduler: &Scheduler, milliseconds: u64) -> Self {
        Self::with_limits(scheduler, |limits| limits.first_byte = ConfigDuration::from_millis(milliseconds), Pace::default()).await
    }

    async fn with_limits(scheduler: &Scheduler, change: impl FnOnce(&mut LimitsConfig), pace: Pace) -> Self {
        let mut limits = LimitsConfig { max_body_mb: 1, ..LimitsConfig::default() };
        change(&mut limits);
        let mut gateway = Gateway::new(scheduler.clone(), &limits, TaskTracker::new());
        gateway.pace = pace;
        let stations = Arc::clone(gateway.stations());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let gateway = gateway.clone();
                tokio::spawn(async move {
                    let answer = service_fn(move |request| {
                        let gateway = gateway.clone();
                        async move { Ok::<_, Infallible>(gateway.handle(request).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self { address, stations, client: Client::http(&format!("http://{address}"), Some("sk-secret")).unwrap() }
    }

    /// Sends a chat request and returns status, headers and body.
    pub(super) async fn chat(&self, body: &str) -> (u16, http::HeaderMap, String) {
        let answer = tokio::time::timeout(SOON, self.client.openai_post("/v1/chat/completions", body.to_owned())).await.unwrap().unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = tokio::time::timeout(SOON, answer.bytes()).await.unwrap().unwrap();
        (status, headers, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Sends a chat request by hand and returns the connection.
    pub(super) async fn raw_chat(&self) -> TcpStream {
        self.raw_chat_with("").await
    }

    /// Sends a chat request by hand with these headers and returns the answer as it came.
    pub(super) async fn raw_answer(&self, headers: &str) -> String {
        let mut stream = self.raw_chat_with(&format!("{headers}connection: close\r\n")).await;
        let mut answer = String::new();
        tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    async fn raw_chat_with(&self, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}");
        stream.write_all(format!("{head}content-length: {}\r\n\r\n{MODEL}", MODEL.len()).as_bytes()).await.unwrap();
        stream
    }
}

/// The smallest body there is.
pub(super) const MODEL: &str = r#"{"model":"m"}"#;

/// Returns the error of an answer in OpenAI's shape.
pub(super) fn error_of(body: &str) -> serde_json::Value {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    let error = value["error"].clone();
    assert!(error["message"].is_string() && error["type"].is_string() && error["code"].is_string(), "{body}");
    error
}
