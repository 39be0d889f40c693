#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::PathBuf;

use orchestrator_core::model::{ModelFormat, ModelReference};
use serde_json::json;

use super::*;

fn model(defaults: ModelDefaults) -> InstalledModel {
    InstalledModel {
        reference: "ollama:demo".parse::<ModelReference>().unwrap(),
        path: PathBuf::from("/models/ollama/blobs/sha256-00"),
        format: ModelFormat::Gguf,
        name: None,
        architecture: "llama".to_owned(),
        quantisation: None,
        context_length: Some(40_960),
        parameters: 1,
        size_bytes: 1,
        has_chat_template: false,
        files: Vec::new(),
        revision: None,
        licence: None,
        projector: None,
        defaults,
    }
}

fn spec(more: &Value) -> InstanceSpec {
    let mut whole = json!({ "name": "demo", "model": { "ref": "ollama:demo" } });
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn defaults() -> ModelDefaults {
    let request = json!({ "temperature": 0.6, "top_k": 20, "stop": ["<|im_end|>", "a\\b"], "max_tokens": 99, "logit_bias": {} });
    ModelDefaults {
        chat_template: Some("chatml".to_owned()),
        request: request.as_object().unwrap().clone(),
        context_size: Some(8192),
        ..ModelDefaults::default()
    }
}

fn check(config: &Value, model: &InstalledModel, expected: &[&str]) {
    let projector = model.projector.as_ref().map(|path| path.display().to_string());
    let found = arguments(&spec(config), model, projector);
    let template = templates::of_name("chatml").unwrap();
    let found: Vec<_> = found.iter().map(|argument| if argument == template { "TEMPLATE" } else { argument }).collect();
    assert_eq!(found, expected, "{config}");
}

const SAMPLED: [&str; 6] = ["--temp", "0.6", "--top-k", "20", "--n-predict", "99"];
const STOPPED: [&str; 4] = ["--reverse-prompt", "<|im_end|>", "--reverse-prompt", "a\\\\b"];

#[test]
fn what_the_source_says_becomes_arguments() {
    check(&json!({}), &model(defaults()), &[&["--chat-template", "TEMPLATE"][..], &SAMPLED, &STOPPED].concat());
    check(&json!({}), &model(ModelDefaults::default()), &[]);
}

#[test]
fn a_template_in_the_file_is_better_than_one_that_was_recognised() {
    let with_own = InstalledModel { has_chat_template: true, ..model(defaults()) };
    check(&json!({}), &with_own, &[&SAMPLED[..], &STOPPED].concat());
}

#[test]
fn what_a_person_sets_is_left_to_them() {
    let whole = model(defaults());
    let by_hand = json!({ "args": ["--temp", "1", "-r", "X", "--chat-template-file=/t.jinja", "-n", "5"] });
    check(&by_hand, &whole, &["--top-k", "20"]);
    let by_variable = json!({ "env": { "LLAMA_ARG_TOP_K": "1", "LLAMA_ARG_CHAT_TEMPLATE": "gemma" } });
    check(&by_variable, &whole, &[&["--temp", "0.6", "--n-predict", "99"][..], &STOPPED].concat());
    check(&json!({ "args": ["--no-jinja"] }), &whole, &[&SAMPLED[..], &STOPPED].concat());
}

#[test]
fn a_projector_is_passed_on_unless_another_is_named() {
    let seeing = InstalledModel { projector: Some(PathBuf::from("/p")), ..model(ModelDefaults::default()) };
    check(&json!({}), &seeing, &["--mmproj", "/p"]);
    check(&json!({ "args": ["-mm", "/other"] }), &seeing, &[]);
    check(&json!({ "args": ["--no-mmproj"] }), &seeing, &[]);
}

#[test]
fn the_context_is_meant_for_each_request_and_never_beyond_the_training() {
    let size = |config: &Value, context_size: u32| {
        let model = model(ModelDefaults { context_size: Some(context_size), ..ModelDefaults::default() });
        super::context_size(&spec(config), &model).map(NonZeroU32::get)
    };
    assert_eq!(size(&json!({}), 8192), Some(8192));
    assert_eq!(size(&json!({ "server": { "parallel": 4 } }), 8192), Some(32_768));
    assert_eq!(size(&json!({}), 1_000_000), Some(40_960));
    assert_eq!(size(&json!({ "args": ["-c", "5"] }), 8192), None);
    assert_eq!(super::context_size(&spec(&json!({})), &model(ModelDefaults::default())), None);
}

#[test]
fn a_name_that_is_no_template_gives_none() {
    let odd = ModelDefaults { chat_template: Some("{{ evil }}".to_owned()), ..ModelDefaults::default() };
    check(&json!({}), &model(odd), &[]);
}
