//! A hub that lies, and repositories that want out of their folder.

use std::path::Path;

use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_core::provider::{ModelQuery, Provider, ProviderError};
use orchestrator_tests::hub::{Misbehaviour, Part, Repository, Rule};

use super::{Rig, model, quantised};

#[tokio::test]
async fn a_name_that_leaves_its_folder_spoils_the_whole_repository() {
    for name in [
        "../../../../escaped.gguf",
        "/tmp/escaped.gguf",
        "a/../../escaped.gguf",
        "..\\..\\escaped.gguf",
        "C:/escaped.gguf",
        "a//escaped.gguf",
        "./escaped.gguf",
        "escaped\0.gguf",
        "escaped\n.gguf",
        "\u{1b}[31mescaped.gguf",
        "escaped\u{202e}fugg.gguf",
        "",
        &format!("{}.gguf", "long".repeat(100)),
    ] {
        let mut bait = Repository::new("maker/model").file("model-Q8_0.gguf", model());
        bait.serves_anything = true;
        let rig = Rig::new([bait]);
        rig.hub.rule(Rule::new(Misbehaviour::HostileName(name.to_owned())));
        let error = rig.pull("hf:maker/model").await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ModelInvalid, "{name:?}: {error}");
        assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
        assert_eq!(rig.files(), Vec::<String>::new());
        let inside: Vec<_> = std::fs::read_dir(rig.folder.path()).unwrap().collect();
        assert!(inside.is_empty(), "{name:?}: {inside:?}");
        assert!(!Path::new("/tmp/escaped.gguf").exists());
    }
}

#[tokio::test]
async fn names_that_differ_only_in_case_are_refused() {
    let rig = Rig::new([Repository::new("maker/model").file("model-Q8_0.gguf", model()).file("MODEL-Q8_0.gguf", model())]);
    let error = rig.pull("hf:maker/model:model-Q8_0.gguf").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ModelInvalid);
    assert!(error.to_string().contains("MODEL-Q8_0.gguf"), "{error}");
    assert_eq!(rig.files(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_what_was_listed_is_never_visible() {
    for how in [Misbehaviour::FlippedBit(1000), Misbehaviour::WrongListedDigest] {
        let rig = Rig::new([quantised()]);
        let rule = Rule::new(how.clone());
        rig.hub.rule(if matches!(how, Misbehaviour::FlippedBit(_)) { rule.path("Q4_K_M") } else { rule });
        let error = rig.pull("hf:maker/model-GGUF").await.unwrap_err();
        assert!(matches!(error, ProviderError::Corrupt { .. }), "{how:?}: {error}");
        assert!(!rig.files().iter().any(|name| name.contains("snapshots") || name.contains("refs")), "{:?}", rig.files());
        assert!(rig.locate("hf:maker/model-GGUF").await.is_err());
        rig.hub.clear_rules();
        rig.pull("hf:maker/model-GGUF").await.unwrap();
    }
}

#[tokio::test]
async fn a_repository_that_disappears_after_it_was_listed_leaves_nothing_behind() {
    let rig = Rig::new([quantised()]);
    let plan = rig.resolve("hf:maker/model-GGUF").await.unwrap();
    rig.hub.change(|world| world.repositories.clear());
    let error = rig.fetch(&plan).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ModelNotFound, "{error}");
    assert_eq!(rig.files(), Vec::<String>::new());
    assert!(!rig.cache().join("models--maker--model-GGUF").exists());
}

#[tokio::test]
async fn a_link_in_the_cache_that_leads_out_of_it_is_replaced_and_never_written_through() {
    let rig = Rig::new([quantised()]);
    let plan = rig.resolve("hf:maker/model-GGUF").await.unwrap();
    let outside = rig.folder.path().join("precious");
    let size = usize::try_from(plan.files[0].size_bytes.unwrap()).unwrap();
    std::fs::write(&outside, vec![7; size]).unwrap();
    let repository = rig.cache().join("models--maker--model-GGUF");
    let blob = repository.join("blobs").join(plan.files[0].digest.as_ref().unwrap().as_str());
    std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&outside, &blob).unwrap();
    assert_eq!(rig.resolve("hf:maker/model-GGUF").await.unwrap().files[0].present_bytes, 0);
    let pulled = rig.fetch(&plan).await.unwrap();
    assert_eq!(std::fs::read(&pulled.path).unwrap(), model());
    assert_eq!(std::fs::read(&outside).unwrap(), vec![7; size]);
    assert!(std::fs::symlink_metadata(&blob).unwrap().is_file());
}

#[tokio::test]
async fn a_search_that_lies_finds_nothing_that_cannot_be_named() {
    let mut odd = Repository::new("maker/../../model");
    odd.gguf = Some(serde_json::json!({}));
    let rig = Rig::new([odd]);
    let found = rig.provider.search(&ModelQuery::default()).await.unwrap();
    assert!(found.models.is_empty(), "{found:?}");
    for how in [Misbehaviour::BrokenJson, Misbehaviour::HugeJson(64), Misbehaviour::DeepJson(100_000)] {
        rig.hub.clear_rules();
        rig.hub.rule(Rule::new(how.clone()).part(Part::Search));
        let error = rig.provider.search(&ModelQuery::default()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ProviderUnavailable, "{how:?}: {error}");
    }
}
