//! What the source of a model says about its use, as arguments of llama.cpp's server. Pure.
//!
//! ```text
//! defaults.request ──► --temp, --top-k … and --reverse-prompt: for requests that do not say otherwise themselves
//! defaults.chat_template ──► --chat-template, for a file that carries none
//! projector ──► --mmproj
//! ```
//!
//! Whatever a person's own `args` or `env` set is left to them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use orchestrator_core::instance::InstanceSpec;
use orchestrator_core::model::{InstalledModel, ModelDefaults};
use serde_json::Value;

use super::templates;

/// A field of a request, the names of its option, and the option's variable.
const SAMPLING: [(&str, &[&str], &str); 10] = [
    ("temperature", &["--temp", "--temperature"], "LLAMA_ARG_TEMPERATURE"),
    ("top_k", &["--top-k"], "LLAMA_ARG_TOP_K"),
    ("top_p", &["--top-p"], "LLAMA_ARG_TOP_P"),
    ("min_p", &["--min-p"], "LLAMA_ARG_MIN_P"),
    ("typical_p", &["--typical", "--typical-p"], ""),
    ("repeat_penalty", &["--repeat-penalty"], "LLAMA_ARG_REPEAT_PENALTY"),
    ("repeat_last_n", &["--repeat-last-n"], ""),
    ("presence_penalty", &["--presence-penalty"], "LLAMA_ARG_PRESENCE_PENALTY"),
    ("frequency_penalty", &["--frequency-penalty"], "LLAMA_ARG_FREQUENCY_PENALTY"),
    ("seed", &["--seed", "-s"], ""),
];
/// The same for how much is written at most.
const LONGEST_ANSWER: (&str, &[&str], &str) = ("max_tokens", &["--n-predict", "--predict", "-n"], "LLAMA_ARG_N_PREDICT");
const STOPS: &[&str] = &["--reverse-prompt", "-r"];
/// Options that decide about the template, or take from it the language it is written in.
const TEMPLATE: &[&str] = &["--chat-template", "--chat-template-file", "--no-jinja"];
const TEMPLATE_VARIABLES: [&str; 3] = ["LLAMA_ARG_CHAT_TEMPLATE", "LLAMA_ARG_CHAT_TEMPLATE_FILE", "LLAMA_ARG_JINJA"];
const PROJECTOR: &[&str] = &["--mmproj", "-mm", "--mmproj-url", "-mmu", "--no-mmproj", "--no-mmproj-auto"];
const PROJECTOR_VARIABLES: [&str; 2] = ["LLAMA_ARG_MMPROJ", "LLAMA_ARG_MMPROJ_URL"];

/// What a person set by hand.
struct Given<'a> {
    args: &'a [String],
    env: &'a BTreeMap<String, String>,
}

impl Given<'_> {
    fn has(&self, options: &[&str], variables: &[&str]) -> bool {
        let is_option = |argument: &String| argument.split('=').next().is_some_and(|name| options.contains(&name));
        self.args.iter().any(is_option) || variables.iter().any(|variable| self.env.contains_key(*variable))
    }
}

/// Returns the arguments that a model's source asks for and its instance leaves open. `projector` is the path as text.
pub(super) fn arguments(spec: &InstanceSpec, model: &InstalledModel, projector: Option<String>) -> Vec<String> {
    let given = Given { args: &spec.args, env: &spec.env };
    let mut arguments = Vec::new();
    if let Some(projector) = projector.filter(|_| !given.has(PROJECTOR, &PROJECTOR_VARIABLES)) {
        arguments.extend(["--mmproj".to_owned(), projector]);
    }
    let ModelDefaults { chat_template, request, .. } = &model.defaults;
    let template = chat_template.as_deref().filter(|_| !model.has_chat_template).and_then(templates::of_name);
    if let Some(template) = template.filter(|_| !given.has(TEMPLATE, &TEMPLATE_VARIABLES)) {
        arguments.extend(["--chat-template".to_owned(), template.to_owned()]);
    }
    for (field, options, variable) in SAMPLING.into_iter().chain([LONGEST_ANSWER]) {
        let value = request.get(field).filter(|value| value.is_number());
        if let Some(value) = value.filter(|_| !given.has(options, &[variable])) {
            arguments.extend([options[0].to_owned(), value.to_string()]);
        }
    }
    if !given.has(STOPS, &[]) {
        for stop in stops(request.get("stop")) {
            arguments.extend([STOPS[0].to_owned(), stop]);
        }
    }
    arguments
}

/// Returns the context that a model is meant to be loaded with, for all requests that run at once.
pub(super) fn context_size(spec: &InstanceSpec, model: &InstalledModel) -> Option<NonZeroU32> {
    let given = Given { args: &spec.args, env: &spec.env };
    model.meant_context(spec.server.parallel).filter(|_| !given.has(&["--ctx-size", "-c"], &["LLAMA_ARG_CTX_SIZE"]))
}

/// Returns the stop sequences as the engine's option takes them: it reads `\n` and the like as escapes.
fn stops(value: Option<&Value>) -> Vec<String> {
    let all = match value {
        Some(Value::String(stop)) => vec![stop.as_str()],
        Some(Value::Array(stops)) => stops.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    all.into_iter().filter(|stop| !stop.is_empty()).map(|stop| stop.replace('\\', "\\\\")).collect()
}

#[cfg(test)]
mod tests;
