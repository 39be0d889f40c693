//! What a running Ollama says while it pulls: lines of JSON, each about one of the layers. Pure.

use std::collections::HashMap;

use serde::Deserialize;

/// The longest line that is read, in bytes.
const LONGEST_LINE: usize = 64 * 1024;
/// How many layers are told apart.
const MOST_LAYERS: usize = 256;
/// How much of what it says is shown.
const SHOWN: usize = 200;

/// A stream that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PullStreamError {
    /// A line does not end.
    #[error("it sent a line of more than {LONGEST_LINE} bytes")]
    LongLine,
    /// A line is no JSON object.
    #[error("it sent `{line}`, which is not what it should be")]
    Odd {
        /// The line.
        line: String,
    },
    /// It could not do it.
    #[error("{message}")]
    Failed {
        /// Its own words.
        message: String,
    },
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    status: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    total: u64,
    #[serde(default)]
    completed: u64,
    #[serde(default)]
    error: Option<String>,
}

/// How far one layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LayerProgress {
    /// The bytes that are there.
    pub(super) done: u64,
    /// Of how many.
    pub(super) total: u64,
}

/// Takes the stream, piece by piece.
#[derive(Debug, Default)]
pub(super) struct PullStream {
    begun: Vec<u8>,
    layers: HashMap<String, LayerProgress>,
    status: String,
    is_done: bool,
}

impl PullStream {
    /// Takes the next piece. Returns whether anything new was said.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<bool, PullStreamError> {
        let mut said = false;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.begun.len() + piece.len() > LONGEST_LINE {
                return Err(PullStreamError::LongLine);
            }
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                said |= self.finish_line()?;
            }
        }
        Ok(said)
    }

    /// Takes what came without an end of line before the stream ended.
    pub(super) fn end(&mut self) -> Result<(), PullStreamError> {
        self.finish_line().map(drop)
    }

    fn finish_line(&mut self) -> Result<bool, PullStreamError> {
        let line = std::mem::take(&mut self.begun);
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(false);
        }
        let odd = |_| PullStreamError::Odd { line: shown(&String::from_utf8_lossy(&line)) };
        let Line { status, digest, total, completed, error } = serde_json::from_slice(&line).map_err(odd)?;
        if let Some(message) = error {
            return Err(PullStreamError::Failed { message: shown(&message) });
        }
        self.is_done = status == "success";
        self.status = shown(&status);
        let digest = digest.strip_prefix("sha256:").unwrap_or(&digest);
        if !digest.is_empty() && (self.layers.len() < MOST_LAYERS || self.layers.contains_key(digest)) {
            self.layers.insert(digest.to_owned(), LayerProgress { done: completed.min(total), total });
        }
        Ok(true)
    }

    /// Returns its own word for what it does.
    pub(super) fn status(&self) -> &str {
        &self.status
    }

    /// Returns how far each layer is, by its digest.
    pub(super) fn layers(&self) -> impl Iterator<Item = (&str, LayerProgress)> {
        self.layers.iter().map(|(digest, progress)| (digest.as_str(), *progress))
    }

    /// Returns whether it said that it is done.
    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }
}

/// Returns what it says as it can be shown.
pub(super) fn shown(text: &str) -> String {
    text.trim().chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    const USUAL: &str = concat!(
        "{\"status\":\"pulling manifest\"}\n",
        "{\"status\":\"pulling aa\",\"digest\":\"sha256:aa\",\"total\":100}\n",
        "{\"status\":\"pulling aa\",\"digest\":\"sha256:aa\",\"total\":100,\"completed\":40}\n",
        "\n",
        "{\"status\":\"pulling bb\",\"digest\":\"sha256:bb\",\"total\":7,\"completed\":9}\r\n",
        "{\"status\":\"success\"}",
    );

    #[test]
    fn layers_are_told_apart_however_the_stream_is_cut() {
        for size in 1..USUAL.len() {
            let mut stream = PullStream::default();
            for piece in USUAL.as_bytes().chunks(size) {
                stream.push(piece).unwrap();
            }
            stream.end().unwrap();
            let mut layers: Vec<_> = stream.layers().collect();
            layers.sort_by_key(|(digest, _)| *digest);
            let expected = [("aa", LayerProgress { done: 40, total: 100 }), ("bb", LayerProgress { done: 7, total: 7 })];
            assert_eq!(layers, expected);
            assert!(stream.is_done());
        }
    }

    #[test]
    fn an_error_in_the_stream_is_one() {
        let mut stream = PullStream::default();
        stream.push(b"{\"status\":\"pulling manifest\"}\n").unwrap();
        let error = stream.push(b"{\"error\":\"pull model manifest: file does not exist\"}\n").unwrap_err();
        assert_eq!(error.to_string(), "pull model manifest: file does not exist");
        assert!(!stream.is_done());
    }

    #[test]
    fn nonsense_and_endless_lines_are_refused() {
        let refused = |bytes: &[u8]| PullStream::default().push(bytes).unwrap_err();
        assert!(matches!(refused(b"<html>\n"), PullStreamError::Odd { .. }));
        assert!(matches!(refused(b"{\"total\":-1}\n"), PullStreamError::Odd { .. }));
        assert_eq!(refused(&vec![b'x'; LONGEST_LINE + 1]), PullStreamError::LongLine);
        let shown = refused(b"\x1b[31mred\n").to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }

    #[test]
    fn a_stream_that_ends_early_is_not_done() {
        let mut stream = PullStream::default();
        stream.push(b"{\"status\":\"pulling manifest\"}\n").unwrap();
        stream.end().unwrap();
        assert!(!stream.is_done());
    }
}
