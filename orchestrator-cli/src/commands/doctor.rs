//! `orch doctor`: what is wrong on this machine, and the way out. Looks only: starts nothing that stays, changes nothing.

mod daemon;
mod engines;
mod files;
mod hardware;
mod ports;
mod processes;

use orchestrator_core::ErrorCode;
use orchestrator_core::hardware::Hardware;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::context::Context;
use crate::error::CommandError;
use crate::output::format;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum CheckResult {
    /// All is well.
    Ok,
    /// It works, and something is not as it should be.
    Warn,
    /// Something does not work.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    result: CheckResult,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<ErrorCode>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, result: CheckResult::Ok, detail: detail.into(), hint: None, code: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, result: CheckResult::Warn, detail: detail.into(), hint: Some(hint.into()), code: None }
    }

    fn fail(name: &'static str, code: ErrorCode, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, result: CheckResult::Fail, detail: detail.into(), hint: Some(hint.into()), code: Some(code) }
    }
}

/// What all checks found.
#[derive(Debug, Serialize)]
struct DoctorReport {
    healthy: bool,
    checks: Vec<Check>,
    hardware: Hardware,
}

/// Looks at the machine and tells what it found.
pub(crate) async fn run(context: &Context) -> Result<(), CommandError> {
    let home = context.home()?;
    let daemon = daemon::look(context).await;
    let mut checks = files::checks(&home.paths);
    checks.push(daemon::check(&home.paths, daemon.as_ref()));
    checks.push(files::configurations(&home.paths));
    checks.extend(engines::checks(&home.paths).await);
    let hardware = hardware::look().await;
    checks.extend(hardware::checks(&home.paths, &hardware));
    checks.extend(ports::checks(&home.paths, daemon.as_ref()).await);
    checks.push(processes::check(&home.paths, daemon.is_some()).await);
    let first_failure = checks.iter().find_map(|check| check.code);
    if context.output.is_json() {
        context.output.json(&DoctorReport { healthy: first_failure.is_none(), checks, hardware })?;
    } else {
        let text: String = checks.iter().map(render).collect();
        context.output.text(&format!("{text}\n{}\n", summary(&checks)))?;
    }
    first_failure.map_or(Ok(()), |code| Err(CommandError::Reported(code)))
}

fn render(check: &Check) -> String {
    let mark = match check.result {
        CheckResult::Ok => "✓".green().to_string(),
        CheckResult::Warn => "!".yellow().bold().to_string(),
        CheckResult::Fail => "✗".red().bold().to_string(),
    };
    let mut lines = check.detail.lines().map(format::printable);
    let mut text = format!("{mark} {:<14} {}\n", check.name, lines.next().unwrap_or_default());
    for line in lines {
        text.push_str(&format!("  {:<14} {line}\n", ""));
    }
    if let Some(hint) = &check.hint {
        text.push_str(&format!("  {:<14} {} {}\n", "", "hint:".cyan(), format::printable(hint)));
    }
    text
}

fn summary(checks: &[Check]) -> String {
    let count = |result| checks.iter().filter(|check| check.result == result).count();
    match (count(CheckResult::Fail), count(CheckResult::Warn)) {
        (0, 0) => "All is well.".green().to_string(),
        (0, warnings) => format!("All works; {} to look at.", things(warnings)).yellow().to_string(),
        (failures, 0) => format!("{} to mend.", things(failures)).red().to_string(),
        (failures, warnings) => format!("{} to mend, {} to look at.", things(failures), things(warnings)).red().to_string(),
    }
}

fn things(count: usize) -> String {
    if count == 1 { "1 thing".to_owned() } else { format!("{count} things") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_shows_its_result_and_its_way_out() {
        let checks = [
            Check::ok("home", "/h can be written"),
            Check::warn("uv", "not found\nand more", "install it"),
            Check::fail("port 8484", ErrorCode::PortTaken, "taken", "free it"),
        ];
        let text: String = checks.iter().map(render).collect::<String>() + &summary(&checks);
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string());
    }
}
