//! The crate `orchestrator-toolcall` alone, without any server: reads what models write as tool calls.
//!
//! ```text
//! cargo run -p orchestrator-examples --bin toolcall [FILE]
//! ```
//! FILE holds what a model wrote; without one, some samples are judged. What is ambiguous is refused, never guessed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::process::ExitCode;

use orchestrator_toolcall::{Finish, ToolError, ToolSet, Verdict};
use serde_json::json;

const SAMPLES: [&str; 5] = [
    r#"{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{"city":"Paris"}}]}"#,
    "Sure!\n```json\n{v: 1, type: 'tool_calls', calls: [{name: 'weather', arguments: {city: 'Łódź', days: 3,}}]}\n```",
    r#"{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{"city":"Paris","days":0}}]}"#,
    r#"{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{"city":"Par"#,
    r#"{"v":1,"type":"final","content":"It will rain."}"#,
];

fn main() -> ExitCode {
    let tools = match tools() {
        Ok(tools) => tools,
        Err(error) => {
            eprintln!("error: {error}\nhint: {}", error.hint());
            return ExitCode::FAILURE;
        }
    };
    let Some(file) = std::env::args_os().nth(1) else {
        for sample in SAMPLES {
            tell(&tools, &tools.parse(sample, Finish::Stop));
        }
        return ExitCode::SUCCESS;
    };
    match std::fs::read(&file) {
        Ok(text) => {
            tell(&tools, &tools.parse(text, Finish::Stop));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: could not read `{}`: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}

/// One tool, in the shape of OpenAI's requests. Repaired calls of it may run: it changes nothing.
fn tools() -> Result<ToolSet, ToolError> {
    let parameters = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city"]
    });
    let weather = json!({"name": "weather", "description": "Says how the weather will be.", "parameters": parameters});
    ToolSet::from_openai(&json!([{"type": "function", "function": weather}]))?.with_read_only("weather")
}

fn tell(tools: &ToolSet, verdict: &Verdict) {
    for problem in &verdict.errors {
        println!("{}, refused: {problem}", verdict.fidelity);
    }
    if let Some(answer) = verdict.content() {
        println!("{}, answer: {answer}", verdict.fidelity);
    }
    let runs = if tools.may_run(verdict) { "may run" } else { "is for a person to allow" };
    for call in verdict.calls() {
        println!("{}, {runs}: {}({})", verdict.fidelity, call.name, serde_json::Value::from(call.arguments.clone()));
    }
}
