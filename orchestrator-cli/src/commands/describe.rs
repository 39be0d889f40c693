//! `orch describe`: everything about an instance, in sections.

use orchestrator_core::orchestrator::InstanceDescription;
use owo_colors::OwoColorize as _;

use super::events;
use super::model::info;
use crate::args::instance::DescribeArguments;
use crate::context::Context;
use crate::error::{self, CommandError};
use crate::output::{format, outline, state};

/// Shows the instance.
pub(crate) async fn run(context: &Context, arguments: &DescribeArguments) -> Result<(), CommandError> {
    let description = context.client().await?.describe(&arguments.name).await?;
    if context.output.is_json() {
        return context.output.json(&description);
    }
    context.output.text(&render(&description)?)
}

fn render(description: &InstanceDescription) -> Result<String, CommandError> {
    let summary = &description.summary;
    let mut text = format!("{}\n", summary.name.bold());
    text.push_str(&state_section(description));
    text.push_str(&heading("Settings, with their defaults"));
    let spec = serde_json::to_value(&description.spec).map_err(|error| CommandError::output(&error.into()))?;
    text.push_str(&outline::render(&spec, 2));
    text.push_str(&heading("Model"));
    if let Some(model) = &description.model {
        text.push_str(&info::render(model));
    }
    if let Some(problem) = &description.model_problem {
        text.push_str(&indented(&error::render_text(problem)));
    }
    text.push_str(&heading("Files"));
    text.push_str(&fact("configuration", &description.config_dir.display().to_string()));
    text.push_str(&fact("logs", &description.logs_dir.display().to_string()));
    text.push_str(&heading("Last events"));
    for event in &description.events {
        text.push_str(&format!("  {}\n", events::line(event)));
    }
    if description.events.is_empty() {
        text.push_str("  none\n");
    }
    Ok(text)
}

fn state_section(description: &InstanceDescription) -> String {
    let summary = &description.summary;
    let mut text = heading("State");
    let word = description.state.name().style(state::health_style(summary.health)).to_string();
    text.push_str(&format!("  {:<14} {word}\n", "state"));
    text.push_str(&fact("why", &description.reason));
    text.push_str(&fact("health", summary.health.as_str()));
    if let Some(server) = description.state.server() {
        text.push_str(&fact("server", &format!("{} on {}", server.identity, server.address)));
    }
    if let Some(seconds) = summary.uptime_seconds {
        text.push_str(&fact("uptime", &format::uptime(seconds)));
    }
    if let Some(memory) = summary.memory_mb {
        text.push_str(&fact("memory", &format::megabytes(memory)));
    }
    if let Some(memory) = summary.vram_mb {
        text.push_str(&fact("GPU memory", &format::megabytes(memory)));
    }
    if !description.memory_reserved_mb.is_empty() {
        text.push_str(&fact("reserved", &reserved(description)));
    }
    text.push_str(&fact("restarts", &summary.restarts.to_string()));
    text.push_str(&fact("requests", &requests(description)));
    let last_words = state::last_words(&description.state);
    if !last_words.is_empty() {
        text.push_str("  the engine's last words:\n");
        for line in last_words {
            text.push_str(&format!("    {}\n", format::printable(line).dimmed()));
        }
    }
    if description.config_changed {
        let advice = format!("  The configuration has changed since the start; `orch restart {}` takes it over.", summary.name);
        text.push_str(&format!("{}\n", advice.yellow()));
    }
    if let Some(problem) = &description.config_problem {
        text.push_str(&indented(&error::render_text(problem)));
    }
    text
}

fn heading(title: &str) -> String {
    format!("\n{}\n", title.bold())
}

fn fact(name: &str, value: &str) -> String {
    format!("  {name:<14} {}\n", format::printable(value))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect()
}

fn requests(description: &InstanceDescription) -> String {
    let under_way = format!("{} under way", description.requests_in_flight);
    if description.requests_waiting == 0 { under_way } else { format!("{under_way}, {} wait", description.requests_waiting) }
}

fn reserved(description: &InstanceDescription) -> String {
    let parts = description.memory_reserved_mb.iter().map(|(pool, mib)| format!("{mib} MB {pool}"));
    parts.collect::<Vec<_>>().join(", ")
}
