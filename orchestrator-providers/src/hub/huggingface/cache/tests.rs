#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::os::unix::fs::symlink;

use super::publish::CacheError;
use super::*;

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

struct Rig {
    folder: tempfile::TempDir,
    cache: Cache,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("hub"));
        Self { folder, cache }
    }

    fn repository(&self) -> CachedRepository {
        self.cache.repository("owner/repo")
    }

    /// Puts a file in as a pull does.
    fn put(&self, commit: &str, name: &str, content: &str) {
        let repository = self.repository();
        let (commit, digest) = (Commit::parse(commit).unwrap(), digest(content));
        repository.prepare(&commit).unwrap();
        fs::write(repository.blob(&digest), content).unwrap();
        repository.publish(&commit, &path(name), &digest).unwrap();
    }

    fn remove(&self, commit: &str, names: &[&str]) -> u64 {
        let names: Vec<_> = names.iter().map(|name| path(name)).collect();
        self.repository().remove(&Commit::parse(commit).unwrap(), &names).unwrap()
    }

    fn blobs(&self) -> usize {
        fs::read_dir(self.repository().folder.join("blobs")).map_or(0, Iterator::count)
    }
}

fn path(name: &str) -> RepositoryPath {
    RepositoryPath::try_new(name).unwrap()
}

/// A digest that follows from the content, good enough to be a name.
fn digest(content: &str) -> FileDigest {
    let byte = content.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    FileDigest::Sha256(Sha256Digest::from_bytes(&[byte; 32]))
}

#[test]
fn what_is_published_looks_like_what_python_makes() {
    let rig = Rig::new();
    rig.put(ONE, "a.gguf", "alpha");
    rig.put(ONE, "deep/er/b.gguf", "beta");
    let repository = rig.repository();
    let commit = Commit::parse(ONE).unwrap();
    repository.write_reference("main", &commit).unwrap();
    repository.write_reference("refs/pr/1", &commit).unwrap();
    repository.write_reference(ONE, &commit).unwrap();
    let root = rig.folder.path().join("hub/models--owner--repo");
    let link = |name: &str| fs::read_link(root.join("snapshots").join(ONE).join(name)).unwrap();
    assert_eq!(link("a.gguf"), Path::new("../../blobs").join(digest("alpha").as_str()));
    assert_eq!(link("deep/er/b.gguf"), Path::new("../../../../blobs").join(digest("beta").as_str()));
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), ONE);
    assert_eq!(fs::read_to_string(root.join("refs/refs/pr/1")).unwrap(), ONE);
    assert_eq!(fs::read_dir(root.join("refs")).unwrap().count(), 2);
    assert!(
        fs::read_to_string(rig.folder.path().join("hub/CACHEDIR.TAG"))
            .unwrap()
            .starts_with("Signature: 8a477f597d28d172789f06886806bc55\n")
    );
    assert_eq!(repository.lock(&digest("alpha")).parent().unwrap(), rig.folder.path().join("hub/.locks/models--owner--repo"));
    let found = repository.find(&commit, &path("deep/er/b.gguf")).unwrap().unwrap();
    assert_eq!((found.size_bytes, found.blob.as_deref()), (4, Some(digest("beta").as_str())));
    assert_eq!(repository.commit_of("refs/pr/1"), Some(commit));
    assert_eq!(rig.cache.repositories(), ["owner/repo"]);
}

#[test]
fn publishing_again_changes_nothing_and_mends_what_is_wrong() {
    let rig = Rig::new();
    rig.put(ONE, "a.gguf", "alpha");
    rig.put(ONE, "a.gguf", "alpha");
    let pointer = rig.repository().snapshot(&Commit::parse(ONE).unwrap()).join("a.gguf");
    fs::remove_file(&pointer).unwrap();
    fs::write(&pointer, "cut o").unwrap();
    rig.put(ONE, "a.gguf", "alpha");
    assert_eq!(fs::read_to_string(&pointer).unwrap(), "alpha");
    let repository = rig.repository();
    let commit = Commit::parse(ONE).unwrap();
    let missing = repository.publish(&commit, &path("b.gguf"), &digest("never fetched")).unwrap_err();
    assert_eq!(missing.source.kind(), ErrorKind::NotFound);
    assert_eq!(fs::read_dir(repository.snapshot(&commit)).unwrap().count(), 1, "nothing is left of it");
}

#[test]
fn plain_files_in_a_snapshot_are_found_as_on_windows() {
    let rig = Rig::new();
    let repository = rig.repository();
    let commit = Commit::parse(ONE).unwrap();
    repository.prepare(&commit).unwrap();
    fs::write(repository.snapshot(&commit).join("a.gguf"), "alpha").unwrap();
    let found = repository.find(&commit, &path("a.gguf")).unwrap().unwrap();
    assert_eq!((found.size_bytes, found.blob), (5, None));
    assert_eq!(rig.remove(ONE, &["a.gguf"]), 5);
    assert!(!repository.folder.exists());
}

#[test]
fn nothing_that_leads_out_of_the_cache_is_followed() {
    let rig = Rig::new();
    rig.put(ONE, "a.gguf", "alpha");
    let outside = rig.folder.path().join("secret");
    fs::write(&outside, "secret").unwrap();
    let repository = rig.repository();
    let commit = Commit::parse(ONE).unwrap();
    let snapshot = repository.snapshot(&commit);
    symlink(&outside, snapshot.join("absolute")).unwrap();
    symlink("../../../../secret", snapshot.join("relative")).unwrap();
    symlink(rig.folder.path(), snapshot.join("folder")).unwrap();
    symlink("circle", snapshot.join("circle")).unwrap();
    for name in ["absolute", "relative", "folder/secret", "circle"] {
        assert!(repository.find(&commit, &path(name)).is_err(), "{name} was followed");
    }
    let names: Vec<_> = repository.files(&commit).into_iter().map(|(name, _)| name.as_str().to_owned()).collect();
    assert_eq!(names, ["a.gguf"]);
    // A blob that is a link out of the cache is no blob, and is taken away before something is fetched in its place.
    let planted = digest("planted");
    symlink(&outside, repository.blob(&planted)).unwrap();
    assert!(repository.blob_bytes(&planted).is_err());
    repository.clear_blob(&planted).unwrap();
    assert_eq!(repository.blob_bytes(&planted).unwrap(), None);
    assert_eq!(rig.remove(ONE, &["absolute", "relative", "folder/secret", "a.gguf"]), 5);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "secret");
}

#[test]
fn folders_that_lead_out_of_the_cache_are_not_written_to() {
    let rig = Rig::new();
    let outside = rig.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let repository = rig.repository();
    fs::create_dir_all(&repository.folder).unwrap();
    symlink(&outside, repository.folder.join("blobs")).unwrap();
    let CacheError { source, .. } = repository.prepare(&Commit::parse(ONE).unwrap()).unwrap_err();
    assert_eq!(source.kind(), ErrorKind::InvalidData);
    fs::remove_file(repository.folder.join("blobs")).unwrap();
    rig.put(ONE, "a.gguf", "alpha");
    symlink(&outside, repository.snapshot(&Commit::parse(ONE).unwrap()).join("sub")).unwrap();
    let refused = repository.publish(&Commit::parse(ONE).unwrap(), &path("sub/x.gguf"), &digest("alpha")).unwrap_err();
    assert_eq!(refused.source.kind(), ErrorKind::InvalidData);
    symlink(&outside, repository.folder.join("refs")).unwrap();
    assert!(repository.write_reference("main", &Commit::parse(ONE).unwrap()).is_err());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn the_store_that_python_shares_between_repositories_is_part_of_the_cache() {
    let rig = Rig::new();
    let repository = rig.repository();
    let commit = Commit::parse(ONE).unwrap();
    repository.prepare(&commit).unwrap();
    let shared = rig.folder.path().join("hub/blobs/ab");
    fs::create_dir_all(&shared).unwrap();
    fs::write(shared.join("ab".repeat(32)), "alpha").unwrap();
    symlink(format!("../../blobs/ab/{}", "ab".repeat(32)), repository.blob(&digest("alpha"))).unwrap();
    repository.publish(&commit, &path("a.gguf"), &digest("alpha")).unwrap();
    assert!(repository.find(&commit, &path("a.gguf")).is_err(), "without its marker it is any folder");
    fs::write(rig.folder.path().join("hub/blobs/.huggingface-shared-blobs"), "1\n").unwrap();
    let found = repository.find(&commit, &path("a.gguf")).unwrap().unwrap();
    assert_eq!((found.size_bytes, found.blob.as_deref()), (5, Some(digest("alpha").as_str())));
    assert_eq!(rig.remove(ONE, &["a.gguf"]), 0, "what others may use stays");
    assert!(shared.join("ab".repeat(32)).exists() && !repository.folder.exists());
}

#[test]
fn removing_keeps_what_other_snapshots_use() {
    let rig = Rig::new();
    rig.put(ONE, "a.gguf", "alpha");
    rig.put(ONE, "sub/b.gguf", "beta!");
    rig.put(TWO, "a.gguf", "alpha");
    let repository = rig.repository();
    repository.write_reference("main", &Commit::parse(TWO).unwrap()).unwrap();
    repository.write_reference("v1/old", &Commit::parse(ONE).unwrap()).unwrap();
    assert_eq!(rig.remove(ONE, &["a.gguf", "sub/b.gguf", "never/there"]), 5, "only beta");
    assert_eq!(rig.blobs(), 1);
    assert_eq!(repository.commit_of("v1/old"), None, "the branch of the snapshot that is gone");
    assert!(!repository.folder.join("refs/v1").exists());
    assert_eq!(repository.commit_of("main").unwrap().as_str(), TWO);
    assert_eq!(rig.remove(TWO, &["a.gguf"]), 5);
    assert!(!repository.folder.exists());
}

#[test]
fn parts_of_a_download_outlive_a_removal_and_a_failed_pull() {
    let rig = Rig::new();
    rig.put(ONE, "a.gguf", "alpha");
    let repository = rig.repository();
    let part = repository.folder.join("blobs/xyz.orch-part");
    fs::write(&part, "half").unwrap();
    rig.remove(ONE, &["a.gguf"]);
    assert!(part.exists() && repository.folder.join("snapshots").is_dir());
    repository.prepare(&Commit::parse(TWO).unwrap()).unwrap();
    repository.tidy(&Commit::parse(TWO).unwrap());
    assert!(part.exists());
    fs::remove_file(&part).unwrap();
    repository.tidy(&Commit::parse(TWO).unwrap());
    assert!(!repository.folder.exists());
}

#[test]
fn the_newest_snapshot_is_first_and_strangers_are_none() {
    let rig = Rig::new();
    rig.put(ONE, "a.gguf", "alpha");
    rig.put(TWO, "a.gguf", "alpha");
    let snapshots = rig.repository().folder.join("snapshots");
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    fs::File::open(snapshots.join(TWO)).unwrap().set_modified(old).unwrap();
    fs::write(snapshots.join(".DS_Store"), "").unwrap();
    fs::create_dir(snapshots.join("not-a-commit")).unwrap();
    let found: Vec<_> = rig.repository().snapshots().into_iter().map(|commit| commit.as_str().to_owned()).collect();
    assert_eq!(found, [ONE, TWO]);
    for name in ["models--gpt2", "models--a--b--c", "datasets--a--b", "models----x", ".locks"] {
        fs::create_dir(rig.folder.path().join("hub").join(name)).ok();
    }
    assert_eq!(rig.cache.repositories(), ["owner/repo"]);
}

#[test]
fn a_revision_that_is_no_name_is_not_looked_for() {
    let rig = Rig::new();
    rig.put(ONE, "a.gguf", "alpha");
    let repository = rig.repository();
    fs::create_dir_all(repository.folder.join("refs")).unwrap();
    for (text, name) in [("../../../secret", "bad"), ("", "empty"), ("main\n", "word")] {
        fs::write(repository.folder.join("refs").join(name), text).unwrap();
        assert_eq!(repository.commit_of(name), None);
    }
    fs::write(repository.folder.join("refs/newline"), format!("{ONE}\n")).unwrap();
    assert!(repository.commit_of("newline").is_some());
    assert_eq!(repository.commit_of("../snapshots"), None);
    assert_eq!(repository.commit_of(ONE).unwrap().as_str(), ONE);
}

#[test]
fn the_card_names_the_licence() {
    let check = |card: &str, expected: Option<&str>| assert_eq!(licence_of_card(card).as_deref(), expected, "{card:?}");
    check("---\nlicense: apache-2.0\ntags: [x]\n---\n# Model", Some("apache-2.0"));
    check("---\nlicense: \"mit\"\n---\n", Some("mit"));
    check("---\nlicense: other\nlicense_name: gemma\n---\n", Some("gemma"));
    check("---\ntags: x\n---\nlicense: mit\n", None);
    check("license: mit", None);
    check("", None);
}
