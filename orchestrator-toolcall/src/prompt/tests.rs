#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;

fn tools() -> ToolSet {
    ToolSet::from_openai(&json!([
        {"type": "function", "function": {"name": "weather", "description": "Says how the weather is.", "parameters": {
            "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}, "required": ["city"]
        }}},
        {"type": "function", "function": {"name": "time"}}
    ]))
    .unwrap()
}

#[test]
fn every_family_has_its_prompt() {
    for (name, family) in [
        ("generic", ModelFamily::Generic),
        ("chatml", ModelFamily::ChatMl),
        ("llama", ModelFamily::Llama),
        ("mistral", ModelFamily::Mistral),
        ("gemma", ModelFamily::Gemma),
        ("gpt_oss", ModelFamily::GptOss),
        ("deepseek", ModelFamily::DeepSeek),
        ("phi", ModelFamily::Phi),
    ] {
        let prompt = Prompt::new(&tools(), family);
        insta::assert_snapshot!(name, format!("[{:?}]\n{}", prompt.placement, prompt.text));
    }
}

#[test]
fn every_choice_has_its_prompt() {
    for (name, choice) in [
        ("choice_none", ToolChoice::None),
        ("choice_required", ToolChoice::Required),
        ("choice_named", ToolChoice::Named("time".to_owned())),
    ] {
        let tools = tools().with_max_calls(1).with_choice(choice).unwrap();
        insta::assert_snapshot!(name, Prompt::new(&tools, ModelFamily::Generic).text);
    }
}

#[test]
fn the_examples_in_the_prompt_are_envelopes() {
    let prompt = Prompt::new(&tools(), ModelFamily::Generic);
    let examples: Vec<&str> = prompt.text.lines().filter(|line| line.starts_with("{\"v\"")).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        serde_json::from_str::<crate::Envelope>(example).unwrap();
    }
}

#[test]
fn families_are_known_by_their_names() {
    for (name, family) in [
        ("Qwen/Qwen3-8B-GGUF", ModelFamily::ChatMl),
        ("meta-llama/Llama-3.2-3B-Instruct", ModelFamily::Llama),
        ("deepseek-r1-distill-llama-8b", ModelFamily::DeepSeek),
        ("google/gemma-2b-it", ModelFamily::Gemma),
        ("openai/gpt-oss-20b", ModelFamily::GptOss),
        ("mistralai/Ministral-8B", ModelFamily::Mistral),
        ("microsoft/phi-4", ModelFamily::Phi),
        ("random-tiny", ModelFamily::Generic),
    ] {
        assert_eq!(ModelFamily::of_model(name), family, "{name}");
    }
}

#[test]
fn stop_strings_cannot_occur_inside_an_envelope() {
    let strings = StopForm::Strings { limit: 4 };
    let stops = StopSequences::new(ModelFamily::Llama, &RuntimeCapabilities { stop: strings, ..Default::default() });
    assert!(stops.tokens.is_empty());
    assert!(!stops.strings.is_empty());
    for stop in &stops.strings {
        // A raw control character never stands in a string, and no bracket or key starts like this.
        assert!(stop.starts_with('\n') && !stop[1..].starts_with(['"', '{', '}', '[', ']', ' ']), "{stop:?}");
    }
    let both = StopForm::StringsAndTokens { limit: 1 };
    let stops = StopSequences::new(ModelFamily::Llama, &RuntimeCapabilities { stop: both, ..Default::default() });
    assert_eq!((stops.strings.len(), stops.tokens.len()), (1, 2));
    assert_eq!(StopSequences::new(ModelFamily::Llama, &RuntimeCapabilities::default()), StopSequences::default());
}
