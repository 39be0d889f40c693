//! What the hub says of a repository at one commit: its files, their lengths and digests, and what its card says.
//!
//! The input is hostile: lists have limits, every name is checked, and a digest is one before it names a file.

use orchestrator_core::model::FileDigest;
use serde::Deserialize;
use serde_json::Value;

use super::path::{PathError, RepositoryPath, shown};

/// How many files a repository has at most.
const MOST_FILES: usize = 50_000;
/// The longest word that is taken over from a card, in characters.
const LONGEST_WORD: usize = 100;

/// A commit: 40 hexadecimal digits, so always safe as the name of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Commit(String);

impl Commit {
    /// Takes a commit. `None` for anything that is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
        digits.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    /// Which commit.
    pub(super) commit: Commit,
    /// Its files.
    pub(super) files: Vec<ListedFile>,
    /// Its licence.
    pub(super) licence: Option<String>,
    /// Whether its makers give it only to those they know.
    pub(super) gated: bool,
    /// Its architecture.
    pub(super) architecture: Option<String>,
    /// What it was made from, for an adapter.
    pub(super) base_model: Option<String>,
    /// Whether it brings along program code that it needs.
    pub(super) needs_remote_code: bool,
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedFile {
    /// Its name.
    pub(super) name: RepositoryPath,
    /// Its length in bytes, where it is told.
    pub(super) size_bytes: Option<u64>,
    /// What its content is, where it is told. Its hexadecimal digits are also what the cache names it by.
    pub(super) digest: Option<FileDigest>,
}

/// Why an answer of the hub is no listing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListingError {
    /// It is not the JSON it should be.
    #[error("its answer cannot be understood: {reason}")]
    Json {
        /// What the reader says.
        reason: String,
    },
    /// It names no commit.
    #[error("its answer names no commit, but `{found}`")]
    Commit {
        /// What stands there instead.
        found: String,
    },
    /// There are too many files.
    #[error("its answer lists {count} files, and {MOST_FILES} is the limit")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A digest is none.
    #[error("its answer gives `{file}` a digest that is none")]
    Digest {
        /// The file.
        file: String,
    },
    /// A name would leave its folder.
    #[error(transparent)]
    Name(#[from] PathError),
}

#[derive(Deserialize)]
struct Answer {
    sha: Option<String>,
    siblings: Option<Vec<Sibling>>,
    #[serde(default)]
    gated: Value,
    #[serde(default, rename = "cardData")]
    card: Value,
    #[serde(default)]
    tags: Value,
    #[serde(default)]
    gguf: Value,
    #[serde(default)]
    config: Value,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    // Older hubs call it `oid`.
    #[serde(alias = "oid")]
    sha256: Option<String>,
    size: Option<u64>,
}

impl Listing {
    /// Reads the answer to `/api/models/{repository}/revision/{revision}?blobs=true`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ListingError> {
        let answer: Answer = serde_json::from_slice(bytes).map_err(|error| ListingError::Json { reason: shown(&error.to_string()) })?;
        let found = answer.sha.unwrap_or_default();
        let commit = Commit::parse(&found).ok_or_else(|| ListingError::Commit { found: shown(&found) })?;
        let siblings = answer.siblings.unwrap_or_default();
        if siblings.len() > MOST_FILES {
            return Err(ListingError::TooMany { count: siblings.len() });
        }
        let files = siblings.into_iter().map(listed).collect::<Result<Vec<_>, _>>()?;
        let auto_map = answer.config.get("auto_map").and_then(Value::as_object);
        let architecture = answer.gguf.get("architecture").or_else(|| answer.config.get("model_type"));
        Ok(Self {
            commit,
            files,
            licence: licence(&answer.card, &answer.tags),
            gated: is_gated(&answer.gated),
            architecture: architecture.and_then(word),
            base_model: answer.card.get("base_model").and_then(first_word),
            needs_remote_code: auto_map.is_some_and(|map| !map.is_empty()),
        })
    }

    /// Finds a file by its name.
    pub(super) fn find(&self, name: &str) -> Option<&ListedFile> {
        self.files.iter().find(|file| file.name.as_str() == name)
    }
}

fn listed(sibling: Sibling) -> Result<ListedFile, ListingError> {
    let name = RepositoryPath::try_new(&sibling.rfilename)?;
    let bad = || ListingError::Digest { file: name.as_str().to_owned() };
    let (large, small) = (sibling.lfs.as_ref().and_then(|lfs| lfs.sha256.as_deref()), sibling.blob.as_deref());
    let digest = match (large, small) {
        (Some(text), _) => {
            let digest = orchestrator_core::model::Sha256Digest::try_new(text).map_err(|_| bad())?;
            Some(FileDigest::Sha256(digest))
        }
        // Without its SHA-256 a large file would be compared with the digest of its pointer.
        (None, Some(text)) if sibling.lfs.is_none() => Some(FileDigest::try_git_blob(text).map_err(|_| bad())?),
        (None, _) => None,
    };
    let size_bytes = sibling.lfs.and_then(|lfs| lfs.size).or(sibling.size);
    Ok(ListedFile { name, size_bytes, digest })
}

/// `false`, or how the makers decide: `"auto"` or `"manual"`.
pub(super) fn is_gated(value: &Value) -> bool {
    match value {
        Value::Bool(gated) => *gated,
        Value::String(how) => how != "false",
        _ => false,
    }
}

/// Returns the licence: what the card says, by its name where it is one of its own, else what a tag says.
pub(super) fn licence(card: &Value, tags: &Value) -> Option<String> {
    let stated = card.get("license").and_then(first_word);
    if stated.as_deref() == Some("other")
        && let Some(name) = card.get("license_name").and_then(word)
    {
        return Some(name);
    }
    let tagged = || tags.as_array()?.iter().filter_map(Value::as_str).find_map(|tag| clean(tag.strip_prefix("license:")?));
    stated.or_else(tagged)
}

fn first_word(value: &Value) -> Option<String> {
    value.as_array().map_or_else(|| word(value), |list| list.first().and_then(word))
}

fn word(value: &Value) -> Option<String> {
    value.as_str().and_then(clean)
}

/// Takes over a word from outside, without what cannot be shown.
pub(super) fn clean(text: &str) -> Option<String> {
    let text: String = text.trim().chars().filter(|each| !each.is_control()).take(LONGEST_WORD).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use serde_json::json;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn parse(answer: &Value) -> Result<Listing, ListingError> {
        Listing::parse(&serde_json::to_vec(answer).unwrap())
    }

    #[test]
    fn a_listing_has_lengths_digests_and_what_the_card_says() {
        let listing = parse(&json!({
            "id": "owner/repo", "sha": COMMIT, "gated": "manual", "private": false,
            "cardData": { "license": "other", "license_name": "gemma", "base_model": ["google/gemma"] },
            "gguf": { "architecture": "gemma3", "total": 5 },
            "config": { "auto_map": { "AutoModel": "x--y.Z" } },
            "siblings": [
                { "rfilename": "m.gguf", "blobId": "a".repeat(40), "size": 134, "lfs": { "sha256": "b".repeat(64), "size": 999, "pointerSize": 134 } },
                { "rfilename": "config.json", "blobId": "c".repeat(40), "size": 12 },
                { "rfilename": "bare.txt" },
            ],
        }))
        .unwrap();
        assert_eq!((listing.commit.as_str(), listing.gated, listing.needs_remote_code), (COMMIT, true, true));
        assert_eq!(listing.licence.as_deref(), Some("gemma"));
        assert_eq!(listing.architecture.as_deref(), Some("gemma3"));
        assert_eq!(listing.base_model.as_deref(), Some("google/gemma"));
        let model = listing.find("m.gguf").unwrap();
        assert_eq!((model.size_bytes, model.digest.as_ref().unwrap().as_str()), (Some(999), "b".repeat(64).as_str()));
        let config = listing.find("config.json").unwrap();
        assert_eq!((config.size_bytes, config.digest.as_ref().unwrap().as_str()), (Some(12), "c".repeat(40).as_str()));
        assert_eq!(listing.find("bare.txt").unwrap().digest, None);
    }

    #[test]
    fn the_digest_of_a_pointer_is_not_that_of_its_file() {
        let answer = json!({ "sha": COMMIT, "siblings": [{ "rfilename": "m.gguf", "blobId": "a".repeat(40), "lfs": { "size": 9 } }] });
        assert_eq!(parse(&answer).unwrap().files[0].digest, None);
    }

    #[test]
    fn a_bare_answer_is_an_empty_repository() {
        let listing = parse(&json!({ "sha": COMMIT, "siblings": null, "cardData": null, "tags": ["gguf", "license:mit"] })).unwrap();
        assert!(listing.files.is_empty() && !listing.gated && !listing.needs_remote_code);
        assert_eq!(listing.licence.as_deref(), Some("mit"));
    }

    #[test]
    fn a_hostile_answer_is_refused_with_its_reason() {
        let file = |name: &str| json!({ "sha": COMMIT, "siblings": [{ "rfilename": name }] });
        for (answer, words) in [
            (json!([]), "understood"),
            (json!({ "siblings": [] }), "no commit"),
            (json!({ "sha": "../../etc", "siblings": [] }), "no commit"),
            (json!({ "sha": COMMIT.to_uppercase(), "siblings": [] }), "no commit"),
            (file("../../.bashrc"), "leaves its folder"),
            (file("/etc/passwd"), "absolute"),
            (file("a\0b"), "seen"),
            (json!({ "sha": COMMIT, "siblings": [{ "rfilename": "a", "blobId": "../../x" }] }), "digest"),
            (json!({ "sha": COMMIT, "siblings": [{ "rfilename": "a", "lfs": { "sha256": "zz" } }] }), "digest"),
            (json!({ "sha": COMMIT, "siblings": [{ "rfilename": 7 }] }), "understood"),
            (json!({ "sha": COMMIT, "siblings": vec![json!({ "rfilename": "a" }); MOST_FILES + 1] }), "limit"),
        ] {
            let error = parse(&answer).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(Listing::parse(&b"[".repeat(100_000)).is_err());
    }

    #[test]
    fn a_gate_has_three_spellings() {
        for (value, expected) in
            [(json!(false), false), (json!("auto"), true), (json!("manual"), true), (json!(true), true), (json!(null), false)]
        {
            assert_eq!(is_gated(&value), expected, "{value}");
        }
    }
}
