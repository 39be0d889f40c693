//! What the hub does not give, and what is said then.

use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_core::provider::{Provider, ProviderError};
use orchestrator_tests::hub::{Access, Account, Misbehaviour, Origin, Part, Repository, Rule, World};

use super::{Rig, model, quantised};

fn guarded() -> World {
    let account = |token: &str, repositories: &[&str]| Account {
        token: token.to_owned(),
        name: "somebody".to_owned(),
        repositories: repositories.iter().map(|name| (*name).to_owned()).collect(),
    };
    World {
        repositories: vec![
            Repository::new("maker/gated").access(Access::Gated).file("m-Q8_0.gguf", model()).license("gemma"),
            Repository::new("maker/private").access(Access::Private).file("m-Q8_0.gguf", model()),
            Repository { gguf: Some(serde_json::json!({ "architecture": "llama" })), ..quantised().named("v1") },
        ],
        accounts: vec![account("hf_in", &["maker/gated", "maker/private"]), account("hf_out", &[])],
        ..World::default()
    }
}

/// Returns the code, the message and the hint of a failure.
fn said(error: &ProviderError) -> (ErrorCode, String) {
    (error.code(), format!("{error}; {}", error.hint().unwrap_or_default()))
}

async fn refusal(token: Option<&str>, reference: &str) -> (ErrorCode, String) {
    let rig = Rig::with_world(guarded(), token);
    let error = rig.pull(reference).await.unwrap_err();
    assert_eq!(rig.files(), Vec::<String>::new(), "nothing is left behind");
    said(&error)
}

#[tokio::test]
async fn a_gate_is_explained_to_whoever_stands_before_it() {
    let (code, words) = refusal(None, "hf:maker/gated").await;
    assert_eq!(code, ErrorCode::ModelAccessDenied);
    assert!(words.contains("accepted its licence") && words.contains("/maker/gated") && words.contains("HF_TOKEN"), "{words}");
    let (code, words) = refusal(Some("hf_out"), "hf:maker/gated").await;
    assert_eq!(code, ErrorCode::ModelAccessDenied);
    assert!(words.contains("account of this token"), "{words}");
    let outside = Rig::with_world(guarded(), None);
    let plan = outside.resolve("hf:maker/gated").await.unwrap();
    let (code, words) = said(&outside.provider.header(&plan).await.unwrap_err());
    assert_eq!(code, ErrorCode::ModelAccessDenied, "{words}");
    let rig = Rig::with_world(guarded(), Some("hf_in"));
    let plan = rig.resolve("hf:maker/gated").await.unwrap();
    assert!(plan.gated);
    assert!(rig.provider.header(&plan).await.is_ok());
    assert_eq!(plan.licence.as_deref(), Some("gemma"));
    rig.fetch(&plan).await.unwrap();
}

#[tokio::test]
async fn a_token_that_was_revoked_is_told_apart_and_never_shown() {
    let (code, words) = refusal(Some("hf_canary_revoked"), "hf:maker/model-GGUF").await;
    assert_eq!(code, ErrorCode::ModelAccessDenied);
    assert!(words.contains("revoked") && words.contains("settings/tokens"), "{words}");
    assert!(!words.contains("hf_canary"), "{words}");
}

#[tokio::test]
async fn a_token_is_told_to_the_hub_and_to_nobody_else() {
    let rig = Rig::with_world(guarded(), Some("hf_in"));
    rig.pull("hf:maker/gated").await.unwrap();
    assert!(!rig.hub.authorizations(Origin::HuggingFace).is_empty());
    assert_eq!(rig.hub.authorizations(Origin::Cdn), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_missing_may_be_private_and_near_names_are_shown() {
    for (token, reference, expected) in [
        (None, "hf:maker/private", "or is not shown to us"),
        (None, "hf:nobody/nothing", "or is not shown to us"),
        (Some("hf_out"), "hf:maker/private", "does not exist"),
        (None, "hf:maker/model-GUFF", "hf:maker/model-GGUF"),
    ] {
        let (code, words) = refusal(token, reference).await;
        assert_eq!(code, ErrorCode::ModelNotFound, "{words}");
        assert!(words.contains(expected), "{words}");
    }
    assert!(Rig::with_world(guarded(), Some("hf_in")).pull("hf:maker/private").await.is_ok());
}

#[tokio::test]
async fn a_revision_or_file_that_is_not_there_is_said_with_what_is() {
    let (code, words) = refusal(None, "hf:maker/model-GGUF@v9").await;
    assert_eq!(code, ErrorCode::ModelNotFound);
    assert!(words.contains("a revision `v9`") && words.contains("main") && words.contains("v1"), "{words}");
    let (code, words) = refusal(None, "hf:maker/model-GGUF:Q5_K_M").await;
    assert_eq!(code, ErrorCode::ModelNotFound);
    assert!(words.contains("`Q5_K_M`") && words.contains("`Q4_K_M`"), "{words}");
    let (code, words) = refusal(None, "hf:maker/model-GGUF:mmproj-F16.gguf").await;
    assert_eq!(code, ErrorCode::ModelInvalid);
    assert!(words.contains("not a model"), "{words}");
    let rig = Rig::with_world(guarded(), None);
    let named = rig.pull("hf:maker/model-GGUF@v1:q4_k_m").await.unwrap();
    assert_eq!(rig.locate("hf:maker/model-GGUF@v1").await.unwrap().path, named.path);
}

#[tokio::test]
async fn a_busy_hub_and_a_broken_one_are_told_apart() {
    for (how, expected) in [
        (Misbehaviour::Status { code: 429, retry_after: Some("17".to_owned()) }, "too much to do"),
        (Misbehaviour::Status { code: 500, retry_after: None }, "500"),
        (Misbehaviour::LoginPage, "cannot be understood"),
        (Misbehaviour::BrokenJson, "cannot be understood"),
        (Misbehaviour::DeepJson(100_000), "cannot be understood"),
        (Misbehaviour::HugeJson(64), "more than"),
        (Misbehaviour::Empty, "cannot be understood"),
    ] {
        let rig = Rig::with_world(guarded(), None);
        rig.hub.rule(Rule::new(how.clone()).part(Part::Listing));
        let error = rig.resolve("hf:maker/model-GGUF").await.unwrap_err();
        let (code, words) = said(&error);
        assert_eq!(code, ErrorCode::ProviderUnavailable, "{how:?}: {words}");
        assert!(words.contains(expected) && words.contains(&rig.hub.huggingface()), "{how:?}: {words}");
        if let (Misbehaviour::Status { code: 429, .. }, ProviderError::Source { retry_after, .. }) = (&how, &error) {
            assert_eq!(*retry_after, Some(std::time::Duration::from_secs(17)));
        }
    }
}

#[tokio::test]
async fn a_bad_moment_of_the_hub_is_waited_for() {
    let rig = Rig::with_world(guarded(), None);
    rig.hub.rule(Rule::new(Misbehaviour::Status { code: 502, retry_after: None }).part(Part::Listing).times(2));
    rig.resolve("hf:maker/model-GGUF").await.unwrap();
}

#[tokio::test]
async fn without_the_network_the_hub_is_named_and_what_is_here_works() {
    let rig = Rig::with_world(guarded(), None);
    rig.pull("hf:maker/model-GGUF").await.unwrap();
    let Rig { hub, folder, provider } = rig;
    let name = hub.huggingface();
    drop(hub);
    let reference = "hf:maker/model-GGUF".parse().unwrap();
    let (code, words) = said(&provider.resolve(&reference).await.unwrap_err());
    assert_eq!(code, ErrorCode::ProviderUnavailable);
    assert!(words.contains(&name) && words.contains("installed already"), "{words}");
    assert!(provider.locate(&reference).await.is_ok());
    drop(folder);
}

#[tokio::test]
async fn a_file_that_is_no_model_is_not_kept() {
    let noise = Repository::new("maker/noise-GGUF").file("noise-Q8_0.gguf", vec![0x5a; 300_000]).file("README.md", "noise\n");
    let rig = Rig::new([noise]);
    let error = rig.pull("hf:maker/noise-GGUF").await.unwrap_err();
    assert!(matches!(error, ProviderError::Invalid { .. }), "{error}");
    assert_eq!(rig.files(), Vec::<String>::new(), "nothing is left behind");
    assert!(matches!(rig.locate("hf:maker/noise-GGUF").await, Err(ProviderError::NotInstalled { .. })));
}
