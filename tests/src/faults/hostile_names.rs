//! Names that want to lead out of the folders that are ours: of models, files, digests; and links that do.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::pulls::{Shop, assert_nothing_unverified, begin, cache_of, digest_of, ended, files_below, hub_of, open_hub, remove, weights};
use super::{Row, Stage};
use crate::hub::{Content, Hub, LibraryModel, Misbehaviour, Repository, Rule};
use crate::{TestHome, http};

pub(super) const ROW: Row = Row {
    number: 22,
    fault: "traversal, absolute paths, links, case-folding clashes and NUL in references, file names and digests",
    holds: "nothing is read or written outside the folders that are ours; each has a clear error or does no harm",
    count: 200,
    prepare,
    round,
};

const SIZE: u64 = 100_000;
const LIMIT: Duration = Duration::from_mins(1);
/// What is outside: nothing here may change, and nobody may be told of it.
const OUTSIDE: &str = "outside";
/// What every hostile name has in it.
const MARK: &str = "escape";

/// References that no one means well with.
const REFERENCES: [&str; 22] = [
    "hf:../escape",
    "hf:maker/..",
    "hf:maker/../../escape",
    "hf:maker/model:../../../../outside/escape.gguf",
    "hf:maker/model:/etc/passwd",
    "hf:maker/model:..",
    "hf:maker/model@../../escape:weights.gguf",
    "hf:maker/model@..:weights.gguf",
    "hf:maker/mo\u{0}del",
    "hf:maker\\..\\escape/model",
    "hf:maker/model:%2e%2e/%2e%2e/escape.gguf",
    "hf:maker/model:weights.gguf\u{0}.txt",
    "ollama:../../escape",
    "ollama:..",
    "ollama:library/../../escape:latest",
    "ollama:model:../../escape",
    "ollama:model:..",
    "ollama:mo\u{0}del",
    "ollama:/etc/passwd",
    "file:../outside/escape.gguf",
    "file:/etc/passwd",
    "file:/proc/self/environ",
];

/// Names of files; `{}` is another number each time.
const NAMES: [&str; 22] = [
    "../escape-{}.gguf",
    "../../../escape-{}.gguf",
    "../../../../../../../../tmp/orch-escape-{}.gguf",
    "/tmp/orch-escape-{}.gguf",
    "a/../../../../escape-{}.gguf",
    "..\\..\\escape-{}.gguf",
    "C:\\escape-{}.gguf",
    "escape-{}.gguf\u{0}.txt",
    "escape-{}\u{0}.gguf",
    "./escape-{}.gguf",
    "a//escape-{}.gguf",
    "escape-{}/..",
    "escape-{}/.",
    "WEIGHTS.GGUF",
    "weights.gguf/escape-{}.gguf",
    "..",
    "",
    "escape-{}\n.gguf",
    "\u{1b}[31mescape-{}.gguf",
    ".../...//escape-{}.gguf",
    "../../refs/escape-{}.gguf",
    "../blobs/escape-{}.gguf",
];

/// Digests of blobs.
const DIGESTS: [&str; 10] = [
    "sha256:../../../../escape",
    "sha256-../../../../escape",
    "../../escape",
    "/tmp/orch-escape",
    "sha256:",
    "",
    "sha256:escape\u{0}",
    "sha512:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddee",
    "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccdde/..",
];

fn prepare(home: &TestHome) {
    open_hub(home);
    home.hold(weights(22, SIZE));
    let outside = home.path().join(OUTSIDE);
    fs::create_dir(&outside).unwrap();
    // A model that could be used, if somebody led us there.
    fs::write(outside.join("escape.gguf"), weights(23, SIZE).all()).unwrap();
    fs::write(outside.join("precious"), "precious\n").unwrap();
    home.orch(&["daemon", "start"]).assert_ok();
}

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let endpoint = home.endpoint();
    let before = outside_of(home);
    match stage.random.below(4) {
        0 => reference(stage, &endpoint),
        1 => file_name(stage, &endpoint),
        2 => digest(stage, &endpoint),
        _ => link(stage, &endpoint),
    }
    hub_of(home).clear_rules();
    assert_eq!(outside_of(home), before, "something changed outside");
    assert_nothing_escaped(home);
}

/// What lies outside: paths and digests.
fn outside_of(home: &TestHome) -> BTreeMap<PathBuf, String> {
    files_below(&home.path().join(OUTSIDE)).into_iter().map(|path| (path.clone(), digest_of(&path))).collect()
}

/// Fails when something with a hostile name lies where nothing of ours does.
fn assert_nothing_escaped(home: &TestHome) {
    let ours = [cache_of(home), home.path().join("models"), home.path().join(OUTSIDE), home.path().join("logs")];
    let is_stray = |path: &PathBuf| path.to_string_lossy().contains(MARK) && !ours.iter().any(|folder| path.starts_with(folder));
    let mut strays: Vec<PathBuf> = files_below(home.path()).into_iter().filter(is_stray).collect();
    for folder in ["/tmp", "/"] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        strays.extend(entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("orch-escape"))));
    }
    assert!(strays.is_empty(), "{strays:?}");
}

/// Fails unless a problem has a code and says what to do.
#[track_caller]
fn assert_is_told(what: &str, problem: &Value) {
    let code = problem["code"].as_str().unwrap_or_default();
    assert!(!code.is_empty() && !code.starts_with("internal"), "{what:?}: {problem:#}");
    assert!(!problem.to_string().contains('\u{1b}'), "{what:?}: control characters are passed on");
}

fn reference(stage: &mut Stage<'_>, endpoint: &str) {
    let text = *stage.random.pick(&REFERENCES);
    match begin(endpoint, text) {
        Err(problem) => assert_is_told(text, &problem),
        Ok(id) => {
            let status = ended(endpoint, &id, LIMIT);
            assert_eq!(status["status"], "failed", "{text:?}: {status:#}");
            assert_is_told(text, &status["problem"]);
        }
    }
    let encoded: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let encoded = encoded.concat();
    for question in ["info", "plan"] {
        let answer = http::send(endpoint, "GET", &format!("/api/v1/models/{question}?ref={encoded}"), b"").unwrap();
        assert!(answer.status >= 400, "{text:?}: {question} answers {}", answer.status);
        assert_is_told(text, &answer.json());
    }
}

/// A repository that has a file with such a name, and gives it to whoever asks for anything.
fn file_name(stage: &mut Stage<'_>, endpoint: &str) {
    let home = stage.home;
    let (hub, content): (Hub, Content) = (hub_of(home), home.held().unwrap());
    let number = stage.random.next();
    let name = stage.random.pick(&NAMES).replace("{}", &format!("{number:x}"));
    let id = format!("maker/n{number:x}");
    let beside = stage.random.below(2) == 0;
    let mut repository = Repository::new(&id).file(&name, content.clone());
    if beside {
        repository = repository.file("weights.gguf", content.clone());
    }
    repository.serves_anything = true;
    hub.put(repository);
    let wanted = match stage.random.below(3) {
        0 => format!("hf:{id}"),
        1 => format!("hf:{id}:weights.gguf"),
        _ => format!("hf:{id}:{name}"),
    };
    end_of_pull(home, endpoint, &wanted, &content);
    hub.change(|world| world.repositories.clear());
}

/// A manifest that has such a digest, from a registry that gives something for it.
fn digest(stage: &mut Stage<'_>, endpoint: &str) {
    let home = stage.home;
    let (hub, content): (Hub, Content) = (hub_of(home), home.held().unwrap());
    let name = format!("n{:x}", stage.random.next());
    let mut bait = Repository::new("maker/bait").file("bait", content.clone());
    bait.serves_anything = true;
    hub.put(bait);
    hub.put_model(LibraryModel::new(&name, "latest", content.clone()));
    let digest = (*stage.random.pick(&DIGESTS)).to_owned();
    hub.rule(Rule::new(Misbehaviour::HostileDigest(digest)));
    end_of_pull(home, endpoint, &format!("ollama:{name}"), &content);
    hub.change(|world| {
        world.repositories.clear();
        world.models.clear();
    });
}

/// Pulls what may be refused. What comes is right, and goes again.
#[track_caller]
fn end_of_pull(home: &TestHome, endpoint: &str, reference: &str, content: &Content) {
    let outcome = begin(endpoint, reference).map(|id| ended(endpoint, &id, LIMIT));
    assert_nothing_unverified(home, content);
    match outcome {
        Err(problem) => assert_is_told(reference, &problem),
        Ok(status) if status["status"] == "succeeded" => remove(endpoint, reference),
        Ok(status) => assert_is_told(reference, &status["problem"]),
    }
}

/// Links in the cache that lead out: whatever is done with the model, what they lead to stays as it is.
fn link(stage: &mut Stage<'_>, endpoint: &str) {
    let home = stage.home;
    let (hub, content): (Hub, Content) = (hub_of(home), home.held().unwrap());
    let name = format!("n{:x}", stage.random.next());
    let reference = Shop::HuggingFace.offer(&hub, &name, &content);
    let precious = home.path().join(OUTSIDE).join("precious");
    let folder = cache_of(home).join(format!("models--maker--{name}"));
    let blobs = folder.join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let in_the_way = match stage.random.below(3) {
        0 => Some(blobs.join(format!("{}.orch-part", content.sha256()))),
        1 => Some(blobs.join(format!("{}.orch-pieces", content.sha256()))),
        _ => None,
    };
    if let Some(path) = &in_the_way {
        symlink(&precious, path).unwrap();
    }
    let status = begin(endpoint, &reference).map(|id| ended(endpoint, &id, LIMIT));
    assert_nothing_unverified(home, &content);
    match status {
        Ok(status) if status["status"] == "succeeded" => {
            plant_links(&folder, &precious);
            remove(endpoint, &reference);
        }
        Ok(status) => assert_is_told("a link in the way", &status["problem"]),
        Err(problem) => assert_is_told("a link in the way", &problem),
    }
    hub.change(|world| world.repositories.clear());
}

/// Puts links beside the files of a model, to something precious and to its folder.
fn plant_links(folder: &Path, precious: &Path) {
    for snapshot in fs::read_dir(folder.join("snapshots")).unwrap().flatten() {
        symlink(precious, snapshot.path().join("escape.gguf")).unwrap();
        symlink(precious.parent().unwrap(), snapshot.path().join("escape-folder")).unwrap();
    }
    symlink(precious, folder.join("blobs").join("0".repeat(64))).unwrap();
}
