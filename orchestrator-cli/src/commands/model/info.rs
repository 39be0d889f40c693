//! `orch model info`: what is known about a model; of one that is not here, what a pull would fetch.

use orchestrator_core::model::{InstalledModel, ModelFile, ModelFormat, PullPlan};

use crate::args::model::InfoArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::fetch;
use crate::model_argument;
use crate::output::format;

/// Looks at a model, here or at its source.
pub(crate) async fn run(context: &Context, arguments: &InfoArguments) -> Result<(), CommandError> {
    let reference = model_argument::parse(&arguments.reference)?;
    let client = context.client().await?;
    if let Some(model) = fetch::look(&client, &reference).await? {
        return if context.output.is_json() { context.output.json(&model) } else { context.output.text(&render(&model)) };
    }
    let plan = client.plan_pull(&reference).await?;
    if context.output.is_json() {
        return context.output.json(&plan);
    }
    context.output.text(&render_plan(&plan))?;
    context.output.note(&format!("It is not on this machine; `orch model pull {reference}` fetches it."));
    Ok(())
}

/// Writes the facts of a model, one a line.
#[must_use]
pub(crate) fn render(model: &InstalledModel) -> String {
    let mut facts = vec![
        ("reference", model.reference.to_string()),
        ("file", model.path.display().to_string()),
        ("name", optional(model.name.as_deref())),
        ("architecture", model.architecture.clone()),
        ("format", format_name(model.format).to_owned()),
        ("quantisation", optional(model.quantisation.as_deref())),
        ("parameters", format::count(model.parameters)),
        ("context", model.context_length.map_or_else(|| optional(None), |tokens| format!("{tokens} tokens"))),
        ("size", format::bytes(model.size_bytes)),
        ("chat template", yes_or_no(model.has_chat_template)),
    ];
    facts.extend(model.licence.clone().map(|licence| ("licence", licence)));
    facts.extend(model.revision.clone().map(|revision| ("revision", revision)));
    facts.extend(model.projector.as_ref().map(|path| ("projector", path.display().to_string())));
    if model.files.len() > 1 {
        let line = |file: &ModelFile| format!("{:>8}  {}", format::bytes(file.size_bytes), file.path.display());
        facts.extend(model.files.iter().enumerate().map(|(index, file)| (if index == 0 { "files" } else { "" }, line(file))));
    }
    lines(&facts)
}

/// Writes what a pull would fetch, one fact a line.
fn render_plan(plan: &PullPlan) -> String {
    let mut facts = vec![
        ("reference", plan.reference.to_string()),
        ("revision", plan.revision.clone()),
        ("architecture", optional(plan.architecture.as_deref())),
        ("format", format_name(plan.format).to_owned()),
        ("quantisation", optional(plan.quantisation.as_deref())),
        ("licence", optional(plan.licence.as_deref())),
        ("gated", yes_or_no(plan.gated)),
        ("size", format::bytes(plan.total_bytes())),
        ("to fetch", format::bytes(plan.missing_bytes())),
    ];
    if plan.needs_remote_code {
        facts.push(("remote code", "it can only be run with program code that it brings along".to_owned()));
    }
    for (index, file) in plan.files.iter().enumerate() {
        let size = file.size_bytes.map_or_else(|| optional(None), format::bytes);
        facts.push((if index == 0 { "files" } else { "" }, format!("{size:>8}  {}", file.name)));
    }
    lines(&facts)
}

/// Returns the name of a format, as it is written in JSON too.
#[must_use]
pub(crate) fn format_name(format: ModelFormat) -> &'static str {
    match format {
        ModelFormat::Gguf => "gguf",
        ModelFormat::Safetensors => "safetensors",
        _ => "other",
    }
}

fn lines(facts: &[(&str, String)]) -> String {
    facts.iter().map(|(name, value)| format!("  {name:<14} {}\n", format::printable(value))).collect()
}

fn optional(value: Option<&str>) -> String {
    value.unwrap_or("-").to_owned()
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::model::{FileRole, PlannedFile};

    use super::*;

    #[test]
    fn a_plan_tells_what_would_be_fetched() {
        let file = |name: &str, size: Option<u64>, present: u64| PlannedFile {
            name: name.to_owned(),
            role: FileRole::Weights,
            size_bytes: size,
            digest: None,
            present_bytes: present,
        };
        let plan = PullPlan {
            reference: "hf:owner/repo:Q4_K_M".parse().unwrap(),
            revision: "5dd1d4e".to_owned(),
            format: ModelFormat::Gguf,
            quantisation: Some("Q4_K_M".to_owned()),
            architecture: Some("qwen3".to_owned()),
            licence: Some("apache-2.0\x1b[2J".to_owned()),
            gated: false,
            needs_remote_code: false,
            files: vec![file("x-Q4_K_M.gguf", Some(3 << 30), 1 << 30), file("LICENSE", None, 0)],
        };
        insta::assert_snapshot!(render_plan(&plan));
    }
}
