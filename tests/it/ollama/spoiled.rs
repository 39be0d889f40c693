//! A registry that is bad: each way gets its own words, and nothing of it becomes visible.

use orchestrator_core::error::Coded;
use orchestrator_tests::hub::{Misbehaviour, Origin, Part, Rule};

use super::*;

/// Pulls from a registry that is spoiled, and looks at what is told and left.
#[track_caller]
fn check(rule: &Rule, words: &[&str]) {
    let rig = Rig::new();
    rig.hub.rule(rule.clone());
    let error = rig.pull("ollama:demo:tiny", &Told::default()).unwrap_err();
    let told = format!("{error}; {}", error.hint().unwrap_or_default());
    assert!(words.iter().any(|word| told.contains(word)), "{rule:?}: {told}");
    assert!(!told.chars().any(char::is_control), "{rule:?}: {told:?}");
    assert!(rig.locate("ollama:demo:tiny").is_err(), "{rule:?}");
    assert!(!rig.files().iter().any(|file| file.starts_with("manifests/")), "{rule:?}: {:?}", rig.files());
    // A blob under its final name is a good one.
    for file in rig.files().iter().filter(|file| file.starts_with("blobs/") && !file.contains("orch-")) {
        let digest = orchestrator_tests::hub::Content::from(fs::read(rig.store().join(file)).unwrap());
        assert_eq!(file, &format!("blobs/sha256-{}", digest.sha256()), "{rule:?}");
    }
    assert_eq!(rig.hub.authorizations(Origin::Stranger), Vec::<String>::new());
    // And it can be pulled as soon as the registry is good again.
    rig.hub.clear_rules();
    let model = rig.pull("ollama:demo:tiny", &Told::default()).unwrap();
    assert_eq!(fs::read(model.path).unwrap(), weights(rig.folder.path()), "{rule:?}");
}

fn of(part: Part, how: Misbehaviour) -> Rule {
    Rule::new(how).part(part)
}

#[test]
fn manifests_that_lie_are_refused() {
    check(&of(Part::Manifest, Misbehaviour::HostileDigest("sha256:../../../../etc/passwd".to_owned())), &["no usable digest"]);
    check(&of(Part::Manifest, Misbehaviour::AbsurdListedSize), &["cannot be read", "claims"]);
    check(&of(Part::Manifest, Misbehaviour::BrokenJson), &["cannot be read"]);
    check(&of(Part::Manifest, Misbehaviour::DeepJson(10_000)), &["cannot be read"]);
    check(&of(Part::Manifest, Misbehaviour::HugeJson(4)), &["longer than", "more than"]);
    check(&of(Part::Manifest, Misbehaviour::WrongMediaType), &["type"]);
    check(&of(Part::Manifest, Misbehaviour::LoginPage), &["cannot be read"]);
    check(&of(Part::Manifest, Misbehaviour::Empty), &["cannot be read"]);
}

#[test]
fn weights_that_are_not_what_the_manifest_says_are_refused() {
    check(&of(Part::Bytes, Misbehaviour::FlippedBit(1000)), &["digest"]);
    check(&of(Part::Manifest, Misbehaviour::WrongListedDigest), &["404"]);
    check(&of(Part::Manifest, Misbehaviour::WrongListedSize(-7)), &["bytes"]);
}

#[test]
fn a_registry_that_fails_says_how() {
    let status = |code| Misbehaviour::Status { code, retry_after: None };
    check(&of(Part::Manifest, status(500)), &["500"]);
    check(&of(Part::Manifest, status(403)), &["403"]);
    check(&of(Part::Manifest, Misbehaviour::CloseBeforeHead), &["broke", "reached"]);
    check(&of(Part::Bytes, status(503)), &["503", "too much to do"]);
}

#[test]
fn a_token_is_not_asked_of_a_stranger() {
    let rig = Rig::new();
    rig.hub.rule(of(Part::Manifest, Misbehaviour::ForeignRealm));
    let error = rig.resolve("ollama:demo:tiny").unwrap_err();
    assert!(error.to_string().contains("which is not the registry"), "{error}");
    assert!(rig.hub.seen().iter().all(|seen| seen.origin != Origin::Stranger), "the stranger was asked");
}

#[test]
fn models_that_no_engine_here_runs_are_refused_by_name() {
    let rig = Rig::new();
    let weights = || weights(rig.folder.path());
    let mut cloud = LibraryModel::new("big", "cloud", weights());
    cloud.layers.clear();
    rig.hub.put_model(cloud);
    rig.hub.put_model(LibraryModel::new("demo", "adapter", weights()).layer("adapter", b"GGUF".to_vec()));
    let mut tensors = LibraryModel::new("demo", "tensors", weights()).layer("tensor", vec![0; 64]);
    tensors.layers.remove(0);
    rig.hub.put_model(tensors);
    for (reference, words) in
        [("ollama:big:cloud", "no weights"), ("ollama:demo:adapter", "adapter"), ("ollama:demo:tensors", "safetensors")]
    {
        let error = rig.resolve(reference).unwrap_err();
        assert!(error.to_string().contains(words), "{reference}: {error}");
        assert!(error.hint().is_some());
    }
}
