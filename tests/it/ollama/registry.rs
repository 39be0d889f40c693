//! Straight from the registry, where no Ollama runs.

use std::time::Duration;

use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_core::model::{FileRole, ModelHeader};
use orchestrator_core::provider::ModelQuery;
use orchestrator_tests::hub::{Limits, Origin};
use orchestrator_tests::wait_until;

use super::*;

#[test]
fn a_model_is_pulled_into_ollamas_own_layout_and_says_how_it_is_used() {
    let rig = Rig::new();
    let told = Told::default();
    let model = rig.pull("ollama:demo:tiny", &told).unwrap();
    assert!(model.path.starts_with(rig.store().join("blobs")), "{}", model.path.display());
    assert_eq!(fs::read(&model.path).unwrap(), weights(rig.folder.path()));
    let manifest = rig.store().join("manifests/registry.ollama.ai/library/demo/tiny");
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    assert_eq!(kept, demo(rig.folder.path()).manifest());
    let request = json!({ "temperature": 0.5, "stop": ["<|im_end|>"] });
    assert_eq!(serde_json::Value::Object(model.defaults.request.clone()), request);
    assert_eq!(model.defaults.context_size, Some(1024));
    assert_eq!(model.defaults.chat_template.as_deref(), Some("chatml"));
    assert_eq!(model.defaults.source_template.as_deref(), Some(TEMPLATE));
    assert_eq!(model.defaults.system_prompt.as_deref(), Some("Be brief."));
    assert_eq!(model.licence.as_deref(), Some("MIT License"));
    assert_eq!(model.files.len(), 6);
    assert!(told.phases().contains(&format!("from {}, because no Ollama answers at", rig.hub.registry())), "{}", told.phases());
    assert_eq!(told.last_done(), (Some(model.size_bytes), Some(model.size_bytes)));
    assert_eq!(rig.locate("ollama:demo:tiny").unwrap(), model);
    assert_eq!(rig.installed(), ["ollama:demo:tiny"]);
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let rig = Rig::new();
    let first = rig.pull("ollama:demo:tiny", &Told::default()).unwrap();
    rig.hub.forget_seen();
    assert_eq!(rig.resolve("ollama:demo:tiny").unwrap().missing_bytes(), 0);
    assert_eq!(rig.pull("ollama:demo:tiny", &Told::default()).unwrap(), first);
    assert_eq!(rig.hub.bytes_sent(&format!("/{}", first.path.file_name().unwrap().to_str().unwrap().replace('-', ":"))), 0);
    let asked: Vec<_> = rig.hub.seen().into_iter().filter(|seen| seen.origin == Origin::Cdn).collect();
    let bytes: u64 = asked.iter().map(|seen| seen.sent).sum();
    assert!(bytes < 4096, "{bytes} bytes were fetched again: {asked:?}");
}

#[test]
fn a_plan_tells_all_before_a_weight_is_fetched() {
    let rig = Rig::new();
    let plan = rig.resolve("ollama:demo:tiny").unwrap();
    assert_eq!((plan.quantisation.as_deref(), plan.architecture.as_deref()), (Some("Q8_0"), Some("llama")));
    assert_eq!(plan.licence.as_deref(), Some("MIT License"));
    assert_eq!(plan.files[0].role, FileRole::Weights);
    assert_eq!(plan.files[0].size_bytes, Some(weights(rig.folder.path()).len() as u64));
    assert_eq!(plan.missing_bytes(), plan.total_bytes());
    assert_eq!(rig.files(), Vec::<String>::new());
}

#[test]
fn a_header_is_read_at_the_registry_and_not_the_rest() {
    let rig = Rig::new();
    for needs_token in [false, true] {
        rig.hub.change(|world| world.registry_needs_token = needs_token);
        let plan = rig.resolve("ollama:demo:tiny").unwrap();
        let header = rig.runtime.block_on(rig.provider().header(&plan)).unwrap();
        let ModelHeader::Gguf(header) = header else { panic!("it is no GGUF header") };
        assert_eq!(header.architecture(), Some("llama"));
    }
    assert_eq!(rig.files(), Vec::<String>::new());
}

#[test]
fn a_token_is_fetched_where_the_registry_wants_one_and_goes_nowhere_else() {
    let rig = Rig::new();
    rig.hub.change(|world| world.registry_needs_token = true);
    rig.pull("ollama:demo:tiny", &Told::default()).unwrap();
    assert!(!rig.hub.authorizations(Origin::Registry).is_empty());
    for other in [Origin::Cdn, Origin::Stranger, Origin::HuggingFace] {
        assert_eq!(rig.hub.authorizations(other), Vec::<String>::new(), "{other:?}");
    }
}

#[test]
fn a_pull_that_was_cancelled_goes_on_where_it_ended() {
    let rig = Rig::new();
    rig.hub.limit(Limits { total: Some(400_000), ..Limits::default() });
    let cancel = CancellationToken::new();
    let told = Told::default();
    let enough = || told.last_done().0.is_some_and(|done| done > 100_000).then(|| cancel.cancel());
    let error = std::thread::scope(|scope| {
        scope.spawn(|| wait_until("a part is here", Duration::from_secs(20), enough));
        rig.pull_until("ollama:demo:tiny", &told, &cancel).unwrap_err()
    });
    assert_eq!(error.code(), ErrorCode::Cancelled);
    assert!(rig.locate("ollama:demo:tiny").is_err());
    rig.hub.limit(Limits::default());
    let model = rig.pull("ollama:demo:tiny", &Told::default()).unwrap();
    assert_eq!(fs::read(&model.path).unwrap(), weights(rig.folder.path()));
    assert!(!rig.files().iter().any(|file| file.contains("orch-")), "{:?}", rig.files());
}

#[test]
fn a_name_that_is_not_there_is_told_from_a_tag() {
    let rig = Rig::new();
    rig.hub.put_model(LibraryModel::new("demo", "latest", weights(rig.folder.path())));
    let tag = rig.resolve("ollama:demo:huge").unwrap_err();
    assert!(tag.to_string().contains("a tag `huge`"), "{tag}");
    let hint = tag.hint().unwrap();
    assert!(hint.contains("`ollama:demo`") && hint.contains("https://ollama.com/library/demo/tags"), "{hint}");
    // Names come from the catalogue, where one was kept.
    rig.runtime.block_on(rig.provider().search(&ModelQuery::default())).unwrap();
    let name = rig.resolve("ollama:demmo").unwrap_err();
    assert_eq!(name.code(), ErrorCode::ModelNotFound);
    assert!(name.hint().unwrap().contains("`ollama:demo`"), "{:?}", name.hint());
}

#[test]
fn models_share_their_weights_until_the_last_goes() {
    let rig = Rig::new();
    rig.hub.put_model(LibraryModel::new("demo", "twin", weights(rig.folder.path())));
    let tiny = rig.pull("ollama:demo:tiny", &Told::default()).unwrap();
    let twin = rig.pull("ollama:demo:twin", &Told::default()).unwrap();
    assert_eq!(tiny.path, twin.path);
    assert_eq!(rig.installed(), ["ollama:demo:tiny", "ollama:demo:twin"]);
    let first = rig.remove(&tiny).unwrap();
    assert!(twin.path.exists());
    let second = rig.remove(&twin).unwrap();
    assert!(first < 10_000 && second > 100_000, "{first}, {second}");
    assert_eq!(rig.files(), Vec::<String>::new());
    assert_eq!(rig.remove(&twin).unwrap_err().code(), ErrorCode::ModelNotFound);
}

#[test]
fn without_a_registry_what_is_here_still_works() {
    let mut rig = Rig::new();
    let model = rig.pull("ollama:demo:tiny", &Told::default()).unwrap();
    rig.settings.ollama.registry = Some(NOBODY.to_owned());
    assert_eq!(rig.locate("ollama:demo:tiny").unwrap(), model);
    assert_eq!(rig.pull("ollama:demo:tiny", &Told::default()).unwrap(), model);
    let error = rig.resolve("ollama:other").unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProviderUnavailable);
    assert!(error.to_string().starts_with("http://127.0.0.1:1 could not be asked"), "{error}");
}

#[test]
fn two_pulls_of_the_same_fetch_it_once() {
    let rig = Rig::new();
    let (left, right) = (rig.provider(), rig.provider());
    let plan = rig.resolve("ollama:demo:tiny").unwrap();
    rig.hub.forget_seen();
    let (told, cancel) = (Told::default(), CancellationToken::new());
    let watch = PullWatch { progress: &told, cancel: &cancel };
    let both = rig.runtime.block_on(async { tokio::join!(left.pull(&plan, watch), right.pull(&plan, watch)) });
    assert_eq!(both.0.unwrap(), both.1.unwrap());
    let bytes: u64 = rig.hub.seen().iter().filter(|seen| seen.origin == Origin::Cdn).map(|seen| seen.sent).sum();
    let size = weights(rig.folder.path()).len() as u64;
    assert!((size..size + size / 2).contains(&bytes), "{bytes} bytes for a file of {size}");
}
