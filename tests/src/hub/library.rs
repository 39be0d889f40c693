//! [`LibraryModel`]: a model of the fake Ollama registry, which is a manifest and its blobs.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::content::Content;

/// The media type of a manifest.
pub(super) const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.ollama.image.";

/// A part of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// What it is: the end of its media type, such as `model`, `template`, `params`, `system`, `license`, `projector`.
    pub kind: String,
    /// Its bytes.
    pub content: Content,
}

/// A model of the registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryModel {
    /// Whose it is; `library` for those of the makers.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its tag.
    pub tag: String,
    /// What it is, in a line.
    #[serde(default)]
    pub description: String,
    /// What the configuration says.
    pub config: Content,
    /// Its parts.
    pub layers: Vec<Layer>,
}

impl LibraryModel {
    /// Makes a model of the makers' library that has nothing but its weights.
    pub fn new(name: &str, tag: &str, weights: impl Into<Content>) -> Self {
        let config = json!({
            "model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "1.2B", "file_type": "Q8_0",
            "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let model = Self {
            namespace: "library".to_owned(),
            name: name.to_owned(),
            tag: tag.to_owned(),
            description: format!("The model {name}."),
            config: config.to_string().into_bytes().into(),
            layers: Vec::new(),
        };
        model.layer("model", weights)
    }

    /// Adds a part.
    pub fn layer(mut self, kind: &str, content: impl Into<Content>) -> Self {
        self.layers.push(Layer { kind: kind.to_owned(), content: content.into() });
        self
    }

    /// Adds the parameters, such as `{ "stop": ["<|end|>"], "temperature": 0.5 }`.
    pub fn parameters(self, parameters: &Value) -> Self {
        self.layer("params", parameters.to_string().into_bytes())
    }

    /// Says whose it is.
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Returns the manifest as it is served.
    pub fn manifest(&self) -> Value {
        let layers: Vec<Value> = self.layers.iter().map(|layer| entry(&format!("{LAYER}{}", layer.kind), &layer.content)).collect();
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": entry(CONFIG, &self.config), "layers": layers })
    }

    /// Returns the blob with this digest (64 hexadecimal digits).
    pub(super) fn blob(&self, digest: &str) -> Option<&Content> {
        let all = self.layers.iter().map(|layer| &layer.content).chain([&self.config]);
        all.into_iter().find(|content| content.sha256() == digest)
    }

    /// How many bytes all of it has.
    pub(super) fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.content.size()).sum::<u64>() + self.config.size()
    }
}

fn entry(media_type: &str, content: &Content) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", content.sha256()), "size": content.size() })
}
