//! [`Seen`]: what was asked of the fake hub, of whom, and how many bytes went out.

use serde::{Deserialize, Serialize};

use super::misbehaviour::{Misbehaviour, Part};

/// One of the hosts of the fake hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The Hugging Face hub.
    HuggingFace,
    /// Ollama's registry, and its site.
    Registry,
    /// Where the bytes of large files come from.
    Cdn,
    /// A host that nobody has any business with.
    Stranger,
}

/// A request that came, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Who was asked.
    pub origin: Origin,
    /// The connection, in the order in which they came.
    pub connection: u64,
    /// The method.
    pub method: String,
    /// The path, decoded, without what follows `?`.
    pub path: String,
    /// What was asked for.
    pub part: Part,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The status of the answer.
    pub status: u16,
    /// How many bytes of the body went out so far; the last piece of a connection that broke may have been on its way.
    pub sent: u64,
    /// Whether the answer has ended.
    pub ended: bool,
    /// In which way it was a bad one.
    pub spoiled: Option<Misbehaviour>,
}

impl Seen {
    /// Returns a header of the request.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Returns what `Range` asked for.
    pub fn range(&self) -> Option<&str> {
        self.header("range")
    }

    /// Returns what `Authorization` said.
    pub fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }
}
