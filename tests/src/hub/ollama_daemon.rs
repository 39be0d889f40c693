//! [`OllamaDaemon`]: a running Ollama, as far as its API to list, show, pull and delete goes; it runs no model.
//!
//! What it pulls it writes to a folder in the way of the real one (`blobs/sha256-…`, `manifests/…`), from models the
//! test gives it; it asks no registry. What it does wrong is a [`Trouble`].

mod pull;
mod store;

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::answer::Answer;
use super::library::LibraryModel;
use super::misbehaviour::Part;
use super::pace::{Limits, Pace};
use super::request::Request;
use super::send::{After, Line, send};
use store::Store;

/// What a daemon does wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// A pull ends with this error after so many bytes.
    PullFails {
        /// The bytes.
        after: u64,
        /// What it says.
        message: String,
    },
    /// The connection is closed in the middle of a pull.
    PullBreaks {
        /// After so many bytes.
        after: u64,
    },
    /// Nothing more is heard of a pull.
    PullHangs {
        /// After so many bytes.
        after: u64,
    },
    /// A pull tells something that is no JSON.
    PullMumbles,
    /// Everything is answered with this status.
    Status(u16),
}

/// A request that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The method and the path, such as `POST /api/pull`.
    pub what: String,
    /// The body, where it is JSON.
    pub body: Value,
}

/// A running Ollama.
#[derive(Debug)]
pub struct OllamaDaemon {
    shared: Arc<Shared>,
    address: SocketAddr,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    /// What can be pulled.
    remote: Mutex<Vec<LibraryModel>>,
    /// The names of the models that are in memory.
    running: Mutex<Vec<String>>,
    asked: Mutex<Vec<Asked>>,
    trouble: Mutex<Option<Trouble>>,
    limits: Mutex<Limits>,
    open: Mutex<Vec<TcpStream>>,
    ending: AtomicBool,
}

impl OllamaDaemon {
    /// Starts a daemon that keeps its models in a folder, and can pull these.
    pub fn start(folder: &Path, remote: Vec<LibraryModel>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            store: Store::open(folder),
            remote: Mutex::new(remote),
            running: Mutex::default(),
            asked: Mutex::default(),
            trouble: Mutex::default(),
            limits: Mutex::default(),
            open: Mutex::default(),
            ending: AtomicBool::new(false),
        });
        let server = Arc::clone(&shared);
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server.ending.load(Ordering::SeqCst) {
                    break;
                }
                locked(&server.open).push(stream.try_clone().unwrap());
                let server = Arc::clone(&server);
                std::thread::spawn(move || {
                    // An error is a client that is gone.
                    let _ = server.converse(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { shared, address, listener: Some(listener) }
    }

    /// Returns where it listens, such as `http://127.0.0.1:11434` (`OLLAMA_HOST`).
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts a model into its folder, as if it had been pulled.
    pub fn install(&self, model: &LibraryModel) {
        self.shared.store.add(model);
    }

    /// Returns the names of the models it has, such as `llama3.2:1b`.
    pub fn installed(&self) -> Vec<String> {
        self.shared.store.models().iter().map(store::name_of).collect()
    }

    /// Says which models are in memory.
    pub fn run(&self, names: &[&str]) {
        *locked(&self.shared.running) = names.iter().map(|name| (*name).to_owned()).collect();
    }

    /// Lets it go wrong, or go well again.
    pub fn trouble(&self, trouble: Option<Trouble>) {
        *locked(&self.shared.trouble) = trouble;
    }

    /// Says how fast it pulls (`total`).
    pub fn limit(&self, limits: Limits) {
        *locked(&self.shared.limits) = limits;
    }

    /// Returns all that was asked.
    pub fn asked(&self) -> Vec<Asked> {
        locked(&self.shared.asked).clone()
    }
}

impl Drop for OllamaDaemon {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        for stream in locked(&self.shared.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(status: u16, message: &str) -> Answer {
    Answer::json(Part::Other, status, json!({ "error": message }))
}

impl Shared {
    fn converse(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let pace = Pace::new();
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut reader)? {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            locked(&self.asked).push(Asked { what: format!("{} {}", request.method, request.path), body: body.clone() });
            let trouble = locked(&self.trouble).clone();
            let answer = match (&trouble, request.method.as_str(), request.path.as_str()) {
                (Some(Trouble::Status(status)), _, _) => error(*status, "fake: told to fail"),
                (trouble, "POST", "/api/pull") => match self.pull(stream, &body, trouble.as_ref(), &pace)? {
                    Some(answer) => answer,
                    None => break,
                },
                (_, method, path) => self.answer(method, path, &body),
            };
            let line = Line { stream, limits: Limits::default(), total: &pace, own: &pace, ending: &self.ending, sent: &|_| {} };
            if send(&line, &answer, request.is_head())? == After::Close {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, method: &str, path: &str, body: &Value) -> Answer {
        let ok = |value: Value| Answer::json(Part::Other, 200, value);
        match (method, path) {
            ("GET" | "HEAD", "/") => Answer::text(Part::Other, 200, "Ollama is running"),
            ("GET", "/api/version") => ok(json!({ "version": "0.12.6" })),
            ("GET", "/api/tags") => ok(json!({ "models": self.store.models().iter().map(store::summary).collect::<Vec<_>>() })),
            ("GET", "/api/ps") => ok(json!({ "models": self.in_memory() })),
            ("POST", "/api/show") => match self.find(body) {
                Ok(model) => ok(self.store.show(&model)),
                Err(answer) => answer,
            },
            ("DELETE", "/api/delete") => match self.find(body) {
                Ok(model) => {
                    self.store.remove(&model);
                    Answer::text(Part::Other, 200, "")
                }
                Err(answer) => answer,
            },
            _ => Answer::text(Part::Other, 404, "404 page not found"),
        }
    }

    fn in_memory(&self) -> Vec<Value> {
        let running = locked(&self.running).clone();
        let models = self.store.models();
        let of_it = models.iter().filter(|model| running.contains(&store::name_of(model)));
        of_it
            .map(|model| {
                let mut entry = store::summary(model);
                entry["expires_at"] = "2099-01-01T00:00:00Z".into();
                entry["size_vram"] = 0.into();
                entry["context_length"] = 4096.into();
                entry
            })
            .collect()
    }

    /// Finds the model that a request names.
    fn find(&self, body: &Value) -> Result<LibraryModel, Answer> {
        let Some(name) = wanted(body) else { return Err(error(400, "model is required")) };
        let found = self.store.models().into_iter().find(|model| store::is_named(model, name));
        found.ok_or_else(|| error(404, &format!("model '{name}' not found")))
    }
}

fn wanted(body: &Value) -> Option<&str> {
    body["model"].as_str().or(body["name"].as_str()).filter(|name| !name.is_empty())
}

/// Writes a line of JSON as a chunk.
fn write_line(mut stream: &TcpStream, value: &Value) -> std::io::Result<()> {
    let line = format!("{value}\n");
    stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())
}
