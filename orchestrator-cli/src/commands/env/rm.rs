//! `orch env rm`: removes an environment.

use owo_colors::OwoColorize as _;

use crate::args::env::KeyArguments;
use crate::context::Context;
use crate::error::CommandError;

/// Removes the environment.
pub(crate) async fn run(context: &Context, arguments: &KeyArguments) -> Result<(), CommandError> {
    let key = &arguments.key;
    context.client().await?.remove_environment(key).await?;
    if context.output.is_json() {
        return context.output.json(&serde_json::json!({ "removed": key }));
    }
    context.output.line(&format!("{} {} is removed", "✓".green(), key.bold()))
}
