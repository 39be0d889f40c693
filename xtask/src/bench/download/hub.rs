//! The fake hub of the tests, as a program of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde::Serialize;
use serde_json::{Value, json};

use super::super::http;
use crate::shell::{TaskResult, command, target_dir};

/// The file that every model has.
pub(super) const FILE: &str = "weights.gguf";

/// How fast the hub is, in bytes per second; and how much the system keeps for a client that does not read.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Speed {
    pub(super) total: Option<u64>,
    pub(super) per_connection: Option<u64>,
    pub(super) send_buffer: Option<u32>,
}

/// A hub that runs until it is dropped.
pub(super) struct BenchHub {
    child: Child,
    endpoint: String,
}

impl BenchHub {
    /// Starts a hub with models of these names and lengths.
    pub(super) fn start(models: &[(&str, u64)]) -> TaskResult<Self> {
        let folder = target_dir().join("bench-download");
        std::fs::create_dir_all(&folder).map_err(|error| format!("could not create `{}`: {error}", folder.display()))?;
        let model = std::fs::read(demo_model(&folder)?).map_err(|error| format!("could not read the demo model: {error}"))?;
        let repositories: Vec<Value> = models.iter().map(|(name, size)| repository(name, *size, &model)).collect();
        let world = folder.join("world.json");
        std::fs::write(&world, json!({ "repositories": repositories }).to_string())
            .map_err(|error| format!("could not write `{}`: {error}", world.display()))?;
        let mut fake = command(target_dir().join("release").join("fake-hub"));
        let mut child = fake.arg(world).stdout(Stdio::piped()).spawn().map_err(|error| format!("could not start the hub: {error}"))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(|error| format!("the hub says nothing: {error}"))?;
        }
        let hosts: Value = serde_json::from_str(&line).map_err(|error| format!("the hub says `{line}`: {error}"))?;
        let endpoint = hosts["huggingface"].as_str().unwrap_or_default().to_owned();
        Ok(Self { child, endpoint })
    }

    /// Returns where it listens, such as `http://127.0.0.1:4711`.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Says how fast it is.
    pub(super) fn limit(&self, speed: Speed) -> TaskResult {
        let body = serde_json::to_string(&speed).map_err(|error| error.to_string())?;
        http::post(self.authority(), "/fake/limits", &body).map(|_| ())
    }

    /// Returns how many bytes of files went out since all was forgotten.
    pub(super) fn sent(&self) -> TaskResult<u64> {
        let answer = http::get(self.authority(), "/fake/sent")?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| format!("the hub answers `{answer}`: {error}"))?;
        answer["bytes"].as_u64().ok_or_else(|| format!("the hub answers `{answer}`"))
    }

    /// Lets it forget what it sent.
    pub(super) fn forget(&self) -> TaskResult {
        http::post(self.authority(), "/fake/forget", "{}").map(|_| ())
    }

    fn authority(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }
}

impl Drop for BenchHub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a small model whose header is the beginning of all models here.
fn demo_model(folder: &std::path::Path) -> TaskResult<std::path::PathBuf> {
    use orchestrator_core::model::demo::{DemoModel, write_demo_model};
    let path = folder.join("head.gguf");
    let shape = DemoModel { embedding_length: 32, block_count: 1, feed_forward_length: 32, ..DemoModel::default() };
    write_demo_model(&path, &shape).map_err(|error| format!("could not write the demo model: {error}"))?;
    Ok(path)
}

fn repository(name: &str, size: u64, head: &[u8]) -> Value {
    let content = json!({ "seeded": { "seed": size, "size": size, "head": head } });
    let files = json!([{ "path": FILE, "content": content }]);
    json!({ "id": name, "revisions": [{ "names": ["main"], "commit": "0123456789abcdef0123456789abcdef01234567", "files": files }] })
}
