//! `orch logs`: what the server of an instance printed.

use futures_util::StreamExt as _;
use orchestrator_server::api::{LogLine, LogStream};

use crate::args::instance::{LogsArguments, StreamArgument};
use crate::context::Context;
use crate::error::CommandError;
use crate::output::{Output, format};

/// Shows the last lines, and new ones with `--follow`.
pub(crate) async fn run(context: &Context, arguments: &LogsArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let stream = match arguments.stream {
        StreamArgument::Stdout => LogStream::Stdout,
        StreamArgument::Stderr => LogStream::Stderr,
        StreamArgument::Both => LogStream::Both,
    };
    if arguments.follow {
        let mut lines = client.follow_logs(&arguments.name, stream, arguments.tail).await?;
        while let Some(line) = lines.next().await {
            show(context.output, &line?)?;
        }
        return Ok(());
    }
    let lines = client.logs(&arguments.name, stream, arguments.tail).await?;
    if lines.is_empty() && arguments.tail > 0 {
        context.output.note(&format!("`{}` has printed nothing yet.", arguments.name));
    }
    lines.iter().try_for_each(|line| show(context.output, line))
}

fn show(output: Output, line: &LogLine) -> Result<(), CommandError> {
    if output.is_json() { output.json_line(line) } else { output.line(&format::printable(&line.text)) }
}
