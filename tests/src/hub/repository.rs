//! [`Repository`]: a model of the fake Hugging Face hub, with its revisions and files.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::content::{Content, sha256_of};

/// Larger files are kept apart from git, whatever their names.
const LFS_SIZE: u64 = 10 * 1024 * 1024;
/// Files with these endings are kept apart from git, whatever their sizes.
const LFS_ENDINGS: [&str; 6] = [".gguf", ".safetensors", ".bin", ".pt", ".model", ".onnx"];

/// A file of a repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryFile {
    /// Its path in the repository; no check is made, for a test may want a bad one.
    pub path: String,
    /// Its bytes.
    pub content: Content,
    /// Whether it is kept apart from git, and comes from another host. Decided by its name and size unless it is said.
    #[serde(default)]
    pub lfs: Option<bool>,
}

impl RepositoryFile {
    pub(super) fn is_lfs(&self) -> bool {
        let usual = || self.content.size() >= LFS_SIZE || LFS_ENDINGS.iter().any(|ending| self.path.ends_with(ending));
        self.lfs.unwrap_or_else(usual)
    }

    /// What identifies the file in the listing and in `ETag`.
    pub(super) fn etag(&self) -> &str {
        if self.is_lfs() { self.content.sha256() } else { self.content.git_oid() }
    }

    /// The name git has for what it keeps of the file, and its length there.
    pub(super) fn pointer(&self) -> (String, usize) {
        let digest = self.content.sha256();
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {}\n", self.content.size());
        let length = pointer.len();
        (Content::from(pointer.as_str()).git_oid().to_owned(), length)
    }
}

/// One state of a repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// The branches and tags that name it.
    pub names: Vec<String>,
    /// Its commit, in 40 hexadecimal digits.
    pub commit: String,
    /// Its files.
    pub files: Vec<RepositoryFile>,
}

impl Revision {
    pub(super) fn file(&self, path: &str) -> Option<&RepositoryFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// Who may have the files of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// Whoever was let in; everybody sees that it is there.
    Gated,
    /// Whoever was let in; nobody else sees that it is there.
    Private,
}

/// A model of the hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// `OWNER/NAME`.
    pub id: String,
    /// Its states, the newest first.
    pub revisions: Vec<Revision>,
    /// Who may have its files.
    #[serde(default)]
    pub access: Access,
    /// The licence its card names.
    #[serde(default)]
    pub license: Option<String>,
    /// Further tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What the hub read from a GGUF file of it (`total`, `architecture`, `context_length`, …).
    #[serde(default)]
    pub gguf: Option<Value>,
    /// How often it was downloaded.
    #[serde(default)]
    pub downloads: u64,
    /// How many like it.
    #[serde(default)]
    pub likes: u64,
    /// Whether any path at all that leads nowhere gets the bytes of its first file: a hub that wants a bad name to be used.
    #[serde(default)]
    pub serves_anything: bool,
}

impl Repository {
    /// Makes an open repository with one state, `main`, without files.
    pub fn new(id: &str) -> Self {
        let first = Revision { names: vec!["main".to_owned()], commit: commit_of(id, 0), files: Vec::new() };
        Self {
            id: id.to_owned(),
            revisions: vec![first],
            access: Access::Open,
            license: None,
            tags: Vec::new(),
            gguf: None,
            downloads: 1_000,
            likes: 10,
            serves_anything: false,
        }
    }

    /// Adds a file to the newest state.
    pub fn file(mut self, path: &str, content: impl Into<Content>) -> Self {
        self.revisions[0].files.push(RepositoryFile { path: path.to_owned(), content: content.into(), lfs: None });
        self
    }

    /// Begins a new state that has the names of the newest one, and no files yet.
    pub fn next_revision(mut self) -> Self {
        let names = std::mem::take(&mut self.revisions[0].names);
        let commit = commit_of(&self.id, self.revisions.len());
        self.revisions.insert(0, Revision { names, commit, files: Vec::new() });
        self
    }

    /// Gives the newest state another name.
    pub fn named(mut self, name: &str) -> Self {
        self.revisions[0].names.push(name.to_owned());
        self
    }

    /// Says who may have the files.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Says which licence the card names.
    pub fn license(mut self, license: &str) -> Self {
        self.license = Some(license.to_owned());
        self
    }

    /// Returns the commit of the newest state.
    pub fn commit(&self) -> &str {
        &self.revisions[0].commit
    }

    pub(super) fn revision(&self, name: &str) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.commit == name || revision.names.iter().any(|known| known == name))
    }

    /// What the hub tells about it: with its files, or their sizes and digests as well.
    pub(super) fn describe(&self, revision: &Revision, detail: Detail) -> Value {
        let mut tags = self.tags.clone();
        tags.extend(self.license.iter().map(|license| format!("license:{license}")));
        if self.gguf.is_some() {
            tags.push("gguf".to_owned());
        }
        let author = self.id.split('/').next();
        let gated = if self.access == Access::Gated { json!("manual") } else { json!(false) };
        let mut model = json!({
            "_id": &commit_of(&self.id, 99)[..24], "id": self.id, "modelId": self.id, "author": author, "sha": revision.commit,
            "private": self.access == Access::Private, "gated": gated, "disabled": false,
            "createdAt": "2026-01-02T03:04:05.000Z", "lastModified": "2026-02-03T04:05:06.000Z",
            "downloads": self.downloads, "likes": self.likes, "tags": tags,
            "pipeline_tag": "text-generation", "library_name": if self.gguf.is_some() { "gguf" } else { "transformers" },
        });
        if detail == Detail::Summary {
            return model;
        }
        let siblings = revision.files.iter().map(|file| sibling(file, detail)).collect();
        model["siblings"] = Value::Array(siblings);
        if let Some(license) = &self.license {
            model["cardData"] = json!({ "license": license });
        }
        if let Some(gguf) = &self.gguf {
            model["gguf"] = gguf.clone();
        }
        model["spaces"] = json!([]);
        model["usedStorage"] = revision.files.iter().map(|file| file.content.size()).sum::<u64>().into();
        model
    }
}

/// How much is told about a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// What a search shows.
    Summary,
    /// The names of the files too.
    Names,
    /// The sizes and digests of the files too.
    Blobs,
}

fn sibling(file: &RepositoryFile, detail: Detail) -> Value {
    let mut sibling = json!({ "rfilename": file.path });
    if detail == Detail::Blobs {
        let size = file.content.size();
        if file.is_lfs() {
            let (oid, length) = file.pointer();
            sibling["blobId"] = oid.into();
            sibling["size"] = size.into();
            sibling["lfs"] = json!({ "sha256": file.content.sha256(), "size": size, "pointerSize": length });
        } else {
            sibling["blobId"] = file.content.git_oid().into();
            sibling["size"] = size.into();
        }
    }
    sibling
}

/// A commit that follows from the name of the repository and a number.
fn commit_of(id: &str, number: usize) -> String {
    sha256_of(format!("{id} {number}").as_bytes())[..40].to_owned()
}
