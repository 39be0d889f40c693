//! What a manifest says about how its model is to be used: the template, parameters and stop sequences. Pure.
//!
//! Owns: the names of parameters, and which of their values are believed. Parameters that speak of the machine — threads,
//! layers, maps of memory — are left out: they are for a machine of the model's makers.

use orchestrator_core::model::ModelDefaults;
use serde_json::{Map, Value};

use super::template;

/// The most stop sequences that are taken over, and the longest of them in bytes.
const MOST_STOPS: usize = 32;
const LONGEST_STOP: usize = 256;
/// The largest context that is believed, in tokens.
const LARGEST_CONTEXT: u64 = 16 * 1024 * 1024;

/// The texts of a manifest that speak of its use.
#[derive(Debug, Clone, Default)]
pub(super) struct UsageTexts {
    /// The template of a prompt.
    pub(super) template: Option<String>,
    /// What the model is told before anything else.
    pub(super) system: Option<String>,
    /// Parameters, as JSON.
    pub(super) parameters: Option<String>,
}

/// A number that is taken over: its name at Ollama and in a request, and the range in which it makes sense.
struct Number {
    name: &'static str,
    field: &'static str,
    least: f64,
    most: f64,
    is_whole: bool,
}

const fn real(name: &'static str, least: f64, most: f64) -> Number {
    Number { name, field: name, least, most, is_whole: false }
}

const fn whole(name: &'static str, field: &'static str, least: f64, most: f64) -> Number {
    Number { name, field, least, most, is_whole: true }
}

const NUMBERS: [Number; 11] = [
    real("temperature", 0.0, 100.0),
    whole("top_k", "top_k", 0.0, 1_000_000.0),
    real("top_p", 0.0, 1.0),
    real("min_p", 0.0, 1.0),
    real("typical_p", 0.0, 1.0),
    real("repeat_penalty", 0.0, 100.0),
    whole("repeat_last_n", "repeat_last_n", -1.0, 16_777_216.0),
    real("presence_penalty", -2.0, 2.0),
    real("frequency_penalty", -2.0, 2.0),
    whole("seed", "seed", 0.0, 4_294_967_295.0),
    // Ollama's -1 and -2 mean no limit of its own.
    whole("num_predict", "max_tokens", 1.0, 16_777_216.0),
];

/// Takes over what the texts say.
pub(super) fn read(texts: UsageTexts) -> ModelDefaults {
    let UsageTexts { template, system, parameters } = texts;
    let parameters = parameters.as_deref().map(parse).unwrap_or_default();
    let mut request = Map::new();
    for Number { name, field, least, most, is_whole } in NUMBERS {
        let value = parameters.get(name).and_then(Value::as_f64).filter(|value| (least..=most).contains(value));
        match (value, parameters.get(name)) {
            (Some(value), Some(as_written)) if !is_whole || value.fract() == 0.0 => {
                let rounded = as_written.as_i64().map_or_else(|| as_written.clone(), Value::from);
                request.insert(field.to_owned(), rounded);
            }
            (_, Some(odd)) => tracing::debug!(parameter = name, value = %odd, "a parameter of a manifest is left out"),
            (_, None) => {}
        }
    }
    let stops = stops(parameters.get("stop"));
    if !stops.is_empty() {
        request.insert("stop".to_owned(), Value::from(stops));
    }
    let context = parameters.get("num_ctx").and_then(Value::as_u64).filter(|size| (1..=LARGEST_CONTEXT).contains(size));
    let not_blank = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let template = not_blank(template);
    ModelDefaults {
        chat_template: template.as_deref().and_then(template::recognise).map(str::to_owned),
        source_template: template,
        system_prompt: not_blank(system),
        request,
        context_size: context.and_then(|size| u32::try_from(size).ok()),
    }
}

fn parse(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_else(|error| {
        tracing::debug!(%error, "the parameters of a manifest cannot be read");
        Map::new()
    })
}

/// One text or several.
fn stops(value: Option<&Value>) -> Vec<String> {
    let all = match value {
        Some(Value::String(stop)) => vec![stop.as_str()],
        Some(Value::Array(stops)) => stops.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is_usable = |stop: &&str| !stop.is_empty() && stop.len() <= LONGEST_STOP && !stop.contains('\0');
    let mut kept: Vec<String> = Vec::new();
    for stop in all.into_iter().filter(is_usable).take(MOST_STOPS) {
        if !kept.iter().any(|known| known == stop) {
            kept.push(stop.to_owned());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_parameters(parameters: &str) -> ModelDefaults {
        read(UsageTexts { parameters: Some(parameters.to_owned()), ..UsageTexts::default() })
    }

    #[test]
    fn parameters_get_the_names_of_a_request() {
        let found = read_parameters(
            r#"{"stop":["<|im_start|>","<|im_end|>","<|im_end|>"],"temperature":0.6,"top_k":20,"top_p":0.95,"repeat_penalty":1,
                "num_predict":256,"seed":42,"num_ctx":8192,"num_gpu":99,"num_thread":8}"#,
        );
        let expected = json!({
            "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repeat_penalty": 1, "seed": 42, "max_tokens": 256,
            "stop": ["<|im_start|>", "<|im_end|>"],
        });
        assert_eq!(Value::Object(found.request), expected);
        assert_eq!(found.context_size, Some(8192));
    }

    #[test]
    fn values_that_make_no_sense_are_left_out() {
        let odd = r#"{"temperature":"hot","top_k":1.5,"top_p":7,"min_p":-1,"num_predict":-1,"num_ctx":-5,"stop":[1,"",null],"seed":1e99}"#;
        assert_eq!(read_parameters(odd), ModelDefaults::default());
        for text in ["", "[]", "nonsense", "null", r#"{"stop":{}}"#] {
            assert_eq!(read_parameters(text), ModelDefaults::default(), "`{text}`");
        }
    }

    #[test]
    fn a_template_is_kept_and_recognised() {
        let text = "<|im_start|>user\n{{ .Prompt }}<|im_end|>\n";
        let found = read(UsageTexts { template: Some(text.to_owned()), system: Some("Be kind.".to_owned()), parameters: None });
        assert_eq!((found.chat_template.as_deref(), found.source_template.as_deref()), (Some("chatml"), Some(text)));
        assert_eq!(found.system_prompt.as_deref(), Some("Be kind."));
        let unknown = read(UsageTexts { template: Some("{{ .Prompt }}".to_owned()), ..UsageTexts::default() });
        assert_eq!((unknown.chat_template, unknown.source_template.is_some()), (None, true));
    }
}
