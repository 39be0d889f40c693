//! `orch model info`: what is known about a model.

use orchestrator_core::model::InstalledModel;

use crate::args::model::InfoArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::model_argument;
use crate::output::format;

/// Looks at a model.
pub(crate) async fn run(context: &Context, arguments: &InfoArguments) -> Result<(), CommandError> {
    let reference = model_argument::parse(&arguments.reference)?;
    let model = context.client().await?.model_info(&reference).await?;
    if context.output.is_json() {
        return context.output.json(&model);
    }
    context.output.text(&render(&model))
}

/// Writes the facts of a model, one a line.
#[must_use]
pub(crate) fn render(model: &InstalledModel) -> String {
    let unknown = || "-".to_owned();
    let facts = [
        ("reference", model.reference.to_string()),
        ("file", model.path.display().to_string()),
        ("name", model.name.clone().unwrap_or_else(unknown)),
        ("architecture", model.architecture.clone()),
        ("quantisation", model.quantisation.clone().unwrap_or_else(unknown)),
        ("parameters", format::count(model.parameters)),
        ("context", model.context_length.map_or_else(unknown, |tokens| format!("{tokens} tokens"))),
        ("size", format::bytes(model.size_bytes)),
        ("chat template", if model.has_chat_template { "yes" } else { "no" }.to_owned()),
    ];
    facts.iter().map(|(name, value)| format!("  {name:<14} {}\n", format::printable(value))).collect()
}
