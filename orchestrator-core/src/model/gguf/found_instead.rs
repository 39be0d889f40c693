//! What a file is that someone took for a GGUF file.

use std::fmt;

/// What a file that is not GGUF looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoundInstead {
    /// A safetensors file.
    Safetensors,
    /// A zip archive, which is how `PyTorch` saves a `.bin` or `.pt` file.
    ZipArchive,
    /// A bare Python pickle.
    Pickle,
    /// GGML, GGMF, GGJT or GGLA: what came before GGUF.
    OldGgml,
    /// A web page.
    WebPage,
    /// The text that stands for a large file in git.
    GitLfsPointer,
    /// A JSON document.
    Json,
    /// A gzip-compressed file.
    Gzip,
    /// Zero bytes, as in a file that was reserved and never filled.
    Zeros,
    /// Some other text, with its beginning.
    Text {
        /// The first characters, escaped.
        beginning: String,
    },
    /// Anything else, with its first bytes.
    Unknown {
        /// Up to the first four bytes.
        first: Vec<u8>,
    },
}

impl FoundInstead {
    /// Guesses from the first bytes of a file (512 are enough).
    #[must_use]
    pub fn guess(head: &[u8]) -> Self {
        let trimmed = head.trim_ascii_start();
        let starts_with_word = |word: &str| trimmed.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
        if head.starts_with(b"version https://git-lfs") {
            Self::GitLfsPointer
        } else if head.starts_with(b"PK\x03\x04") {
            Self::ZipArchive
        } else if matches!(head, [0x80, 2..=5, ..]) {
            Self::Pickle
        } else if [&b"lmgg"[..], b"fmgg", b"tjgg", b"algg"].iter().any(|magic| head.starts_with(magic)) {
            Self::OldGgml
        } else if head.starts_with(b"\x1f\x8b") {
            Self::Gzip
        } else if looks_like_safetensors(head) {
            Self::Safetensors
        } else if ["<!doctype html", "<html", "<head", "<?xml"].iter().any(|word| starts_with_word(word)) {
            Self::WebPage
        } else if matches!(trimmed.first(), Some(b'{' | b'[')) {
            Self::Json
        } else if head.iter().all(|byte| *byte == 0) {
            Self::Zeros
        } else if let Some(beginning) = text_beginning(head) {
            Self::Text { beginning }
        } else {
            Self::Unknown { first: head.iter().take(4).copied().collect() }
        }
    }

    /// Returns the way out, as one sentence.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Safetensors => "llama.cpp needs GGUF: choose a GGUF file of this model, or run the safetensors folder with vLLM",
            Self::ZipArchive | Self::Pickle => "pickled checkpoints can run code and are never loaded: choose a GGUF file of this model",
            Self::OldGgml => "the format was replaced in 2023: choose a GGUF file of this model",
            Self::WebPage | Self::Json => {
                "an error page was saved in place of the model: check the address and the access rights, then fetch it again"
            }
            Self::GitLfsPointer => "git fetched only the pointer: run `git lfs pull`, or pull the model with `orch model pull`",
            Self::Gzip => "decompress the file first",
            Self::Zeros => "the download reserved the space and did not finish: fetch the file again",
            Self::Text { .. } | Self::Unknown { .. } => "name a `.gguf` file, or convert the model to GGUF first",
        }
    }
}

impl fmt::Display for FoundInstead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safetensors => formatter.write_str("a safetensors file"),
            Self::ZipArchive => formatter.write_str("a zip archive, such as a PyTorch `.bin` checkpoint"),
            Self::Pickle => formatter.write_str("a Python pickle, such as an old PyTorch checkpoint"),
            Self::OldGgml => formatter.write_str("a GGML file, the format before GGUF"),
            Self::WebPage => formatter.write_str("a web page"),
            Self::GitLfsPointer => formatter.write_str("a git-lfs pointer"),
            Self::Json => formatter.write_str("JSON text"),
            Self::Gzip => formatter.write_str("a gzip archive"),
            Self::Zeros => formatter.write_str("zero bytes"),
            Self::Text { beginning } => write!(formatter, "text that begins with `{beginning}`"),
            Self::Unknown { first } => {
                formatter.write_str("something else that begins with")?;
                first.iter().try_for_each(|byte| write!(formatter, " {byte:02x}"))
            }
        }
    }
}

/// A safetensors file begins with the length of a JSON object, then the object.
fn looks_like_safetensors(head: &[u8]) -> bool {
    head.split_first_chunk::<8>()
        .is_some_and(|(length, rest)| (2..=100_000_000).contains(&u64::from_le_bytes(*length)) && rest.first() == Some(&b'{'))
}

/// Returns the first characters, escaped, when all of `head` is text.
fn text_beginning(head: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut in two.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let is_text = |character: char| !character.is_control() || character.is_ascii_whitespace();
    (!text.is_empty() && text.chars().all(is_text)).then(|| text.chars().take(24).flat_map(char::escape_debug).collect())
}
