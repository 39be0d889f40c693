//! `orch config schema`: the JSON Schema of a configuration.

use orchestrator_core::config::schema;

use crate::args::config::{SchemaArgument, SchemaArguments};
use crate::context::Context;
use crate::error::CommandError;

/// Prints the schema. It is JSON with and without `--json`.
pub(crate) fn run(context: &Context, arguments: &SchemaArguments) -> Result<(), CommandError> {
    context.output.json(&match arguments.of {
        SchemaArgument::Instance => schema::instance_schema(),
        SchemaArgument::Daemon => schema::daemon_schema(),
    })
}
