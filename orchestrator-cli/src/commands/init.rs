//! `orch init`: the commented configuration of a new instance.

use orchestrator_core::config::template::{self, InitOptions};
use orchestrator_core::instance::spec::{Backend, ToolsMode};
use orchestrator_core::runtime::RuntimeKind;
use owo_colors::OwoColorize as _;

use crate::args::instance::{InitArguments, RuntimeArgument, TemplateArgument};
use crate::context::Context;
use crate::error::CommandError;
use crate::model_argument;

/// Writes the configuration. An existing one is left as it is.
pub(crate) fn run(context: &Context, arguments: &InitArguments) -> Result<(), CommandError> {
    let paths = context.paths()?;
    let options = InitOptions {
        name: arguments.name.clone(),
        model: model_argument::parse(&arguments.model)?,
        runtime: match arguments.runtime {
            RuntimeArgument::LlamaCpp => RuntimeKind::LlamaCpp,
        },
        backend: match arguments.template {
            TemplateArgument::Cpu => Backend::Cpu,
            TemplateArgument::Vulkan => Backend::Vulkan,
            TemplateArgument::Cuda => Backend::Cuda,
            TemplateArgument::Metal => Backend::Metal,
        },
        env_key: None,
        tools: ToolsMode::default(),
    };
    let file = template::init_instance(&paths.instances_dir(), &options)?;
    if context.output.is_json() {
        return context.output.json(&serde_json::json!({ "name": options.name, "model": options.model, "config_file": file }));
    }
    context.output.line(&format!("{} wrote {}", "✓".green(), file.display()))?;
    if let Some(path) = options.model.as_file()
        && !path.exists()
    {
        context.output.note(&format!("{} there is no `{}` yet", "warning:".yellow().bold(), path.display()));
    }
    // Whether a model of elsewhere is here is the daemon's to say, and nothing is started for that.
    let fetches = if options.model.as_file().is_none() { "; that fetches the model first, if it is missing" } else { "" };
    context.output.note(&format!("Start it with `orch up {}`{fetches}.", options.name));
    Ok(())
}
