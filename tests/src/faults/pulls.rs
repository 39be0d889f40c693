//! What the faults about models share: a hub beside the home, models that are there to be pulled, and what must hold of
//! every file at any time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use orchestrator_core::model::demo::{DemoModel, write_demo_model};
use serde_json::{Value, json};

use crate::hub::{Account, Content, Hub, LibraryModel, Origin, Repository, RunningHub, Source, World};
use crate::{TestHome, http};

/// The token that the home's `orch` has for the hub.
pub(super) const TOKEN: &str = "hf_secretsecretsecretsecretsecret";
/// The file that repositories have.
pub(super) const FILE: &str = "weights.gguf";
/// The cache that Python would use too, below the home.
const CACHE: &str = "cache";
/// How often an operation is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Starts a hub, and leads the home's `orch` to it.
pub(super) fn open_hub(home: &TestHome) -> Hub {
    let account = Account { token: TOKEN.to_owned(), name: "somebody".to_owned(), repositories: Vec::new() };
    let running = RunningHub::start(World { accounts: vec![account], registry_needs_token: true, ..World::default() });
    let hub = Hub::clone(&running);
    home.set_variable("HF_ENDPOINT", hub.huggingface());
    home.set_variable("HF_TOKEN", TOKEN);
    home.set_variable("HF_HUB_CACHE", home.path().join(CACHE));
    home.set_variable("ORCH_OLLAMA_REGISTRY", hub.registry());
    home.set_variable("ORCH_OLLAMA_CATALOGUE", hub.registry());
    // Nobody runs an Ollama here.
    home.set_variable("OLLAMA_HOST", "http://127.0.0.1:9");
    home.hold(hub.clone());
    home.hold(running);
    hub
}

/// Returns the hub of a home.
pub(super) fn hub_of(home: &TestHome) -> Hub {
    home.held().unwrap()
}

/// Returns the cache of the Hugging Face hub.
pub(super) fn cache_of(home: &TestHome) -> PathBuf {
    home.path().join(CACHE)
}

/// Makes a model file of this length: a good header, and noise.
pub(super) fn weights(seed: u64, size: u64) -> Content {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.gguf");
    let shape = DemoModel { embedding_length: 32, block_count: 1, feed_forward_length: 32, ..DemoModel::default() };
    write_demo_model(&path, &shape).unwrap();
    Source::Seeded { seed, size, head: fs::read(path).unwrap() }.into()
}

/// Where a model comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shop {
    HuggingFace,
    Ollama,
}

impl Shop {
    /// Offers a model under a name; returns its reference.
    pub(super) fn offer(self, hub: &Hub, name: &str, content: &Content) -> String {
        match self {
            Self::HuggingFace => {
                hub.put(
                    Repository::new(&format!("maker/{name}")).license("mit").file("README.md", "# A model\n").file(FILE, content.clone()),
                );
                format!("hf:maker/{name}:{FILE}")
            }
            Self::Ollama => {
                let model = LibraryModel::new(name, "latest", content.clone()).layer("template", "{{ .Prompt }}");
                hub.put_model(model.parameters(&json!({ "stop": ["<|end|>"] })));
                format!("ollama:{name}")
            }
        }
    }
}

/// Returns what the path of the large file has in it that no other path has, at its host.
pub(super) fn large_file(name: &str) -> String {
    format!("{}/{FILE}", Repository::new(&format!("maker/{name}")).commit())
}

/// Begins to pull a model; returns the operation, or the error's body.
pub(super) fn begin(endpoint: &str, reference: &str) -> Result<String, Value> {
    let body = json!({ "reference": reference, "confirm": true }).to_string();
    let answer = http::send(endpoint, "POST", "/api/v1/models/install", body.as_bytes()).map_err(|error| json!(error.to_string()))?;
    let status = answer.status;
    let body = answer.json();
    if status == 202 { Ok(body["id"].as_str().unwrap().to_owned()) } else { Err(body) }
}

/// Returns the status of an operation.
#[track_caller]
pub(super) fn status(endpoint: &str, id: &str) -> Value {
    http::send(endpoint, "GET", &format!("/api/v1/models/operations/{id}"), b"").unwrap().json()["status"].clone()
}

/// Waits until an operation has ended, and returns its status.
#[track_caller]
pub(super) fn ended(endpoint: &str, id: &str, limit: Duration) -> Value {
    ended_within(endpoint, id, limit).unwrap_or_else(|status| panic!("after {limit:?} the operation is not over: {status:#}"))
}

/// Waits until an operation has ended, and returns its status; as an error, when it has not ended by then.
pub(super) fn ended_within(endpoint: &str, id: &str, limit: Duration) -> Result<Value, Value> {
    let begun = Instant::now();
    loop {
        let status = status(endpoint, id);
        if status["status"] != "running" {
            return Ok(status);
        }
        if begun.elapsed() > limit {
            return Err(status);
        }
        std::thread::sleep(LOOK);
    }
}

/// Removes a model, which must go.
#[track_caller]
pub(super) fn remove(endpoint: &str, reference: &str) {
    let body = json!({ "reference": reference, "force": true }).to_string();
    let answer = http::send(endpoint, "POST", "/api/v1/models/remove", body.as_bytes()).unwrap();
    let status = answer.status;
    let body = answer.json();
    assert_eq!(status, 202, "{body:#}");
    let status = ended(endpoint, body["id"].as_str().unwrap(), crate::home::SOON);
    assert_eq!(status["status"], "succeeded", "{status:#}");
}

/// Lists the references of the models that are on this machine.
#[track_caller]
pub(super) fn installed(endpoint: &str) -> Vec<String> {
    let models = http::send(endpoint, "GET", "/api/v1/models", b"").unwrap().json();
    models.as_array().unwrap().iter().map(|model| model["reference"].as_str().unwrap().to_owned()).collect()
}

/// Fails unless every file that has the digest of some content for its name is that content, whole. Returns how many there are.
#[track_caller]
pub(super) fn assert_nothing_unverified(home: &TestHome, content: &Content) -> usize {
    let is_named = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == content.sha256() || name == format!("sha256-{}", content.sha256()) || name == FILE
    };
    let found: Vec<PathBuf> = files_below(home.path()).into_iter().filter(|path| is_named(path)).collect();
    for path in &found {
        let (size, digest) = (fs::metadata(path).unwrap().len(), digest_of(path));
        assert!(size == content.size() && digest == content.sha256(), "`{}` has {size} bytes and the digest {digest}", path.display());
    }
    found.len()
}

/// Fails unless nothing but whole files is left of all pulls: no parts, no notes about them.
#[track_caller]
pub(super) fn assert_no_parts(home: &TestHome) {
    let is_part = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains("orch-part") || name.contains("orch-pieces") || name.contains(".incomplete")
    };
    let parts: Vec<PathBuf> = files_below(home.path()).into_iter().filter(is_part).collect();
    assert!(parts.is_empty(), "left over: {parts:?}");
}

/// Fails when a token was told to a host that it is not for.
#[track_caller]
pub(super) fn assert_tokens_stayed(hub: &Hub) {
    for origin in [Origin::Cdn, Origin::Stranger] {
        assert_eq!(hub.authorizations(origin), [""; 0], "what {origin:?} was told");
    }
    let registry = hub.authorizations(Origin::Registry);
    assert!(registry.iter().all(|told| !told.contains(TOKEN)), "what the registry was told: {registry:?}");
}

/// Tells what was asked about something whose paths have one of these texts in them.
pub(super) fn story(hub: &Hub, texts: [&str; 2]) -> String {
    let about = hub.seen().into_iter().filter(|seen| texts.iter().any(|text| seen.path.contains(text)));
    let line = |seen: crate::hub::Seen| {
        let (range, spoiled) = (seen.range().unwrap_or_default().to_owned(), seen.spoiled.map(|how| format!("{how:?}")));
        let place = seen.path.rsplit('/').next().unwrap_or_default().to_owned();
        format!(
            "{:?} {} …/{place} {range} -> {}, {} bytes {}",
            seen.origin,
            seen.method,
            seen.status,
            seen.sent,
            spoiled.unwrap_or_default()
        )
    };
    about.map(line).collect::<Vec<_>>().join("\n")
}

/// Lists the regular files below a folder, without following links to other folders.
pub(super) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // What is there in one moment may be gone in the next.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// Returns the SHA-256 digest of a file.
pub(super) fn digest_of(path: &Path) -> String {
    let mut context = Context::new(&SHA256);
    let mut file = fs::File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = std::io::Read::read(&mut file, &mut buffer).unwrap();
        if count == 0 {
            break;
        }
        context.update(&buffer[..count]);
    }
    context.finish().as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
