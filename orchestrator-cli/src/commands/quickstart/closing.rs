//! The last words of quickstart: where it runs, how to talk to it, what to try next.

use owo_colors::OwoColorize as _;

use super::Outcome;

/// Writes the last words.
pub(super) fn text(outcome: &Outcome, left_running: bool) -> String {
    let Outcome { endpoint, instance, .. } = outcome;
    let body = format!(r#"{{"model":"{instance}","messages":[{{"role":"user","content":"Hello"}}],"max_tokens":64}}"#);
    let curl = format!("curl -s {endpoint}/v1/chat/completions \\\n    -H 'Content-Type: application/json' \\\n    -d '{body}'");
    let mut text = String::from("\n");
    if left_running {
        text.push_str(&format!("{instance} runs. Any client of the OpenAI protocol can use it:\n\n"));
    } else {
        text.push_str("It all works, and nothing is left running. Start it again whenever you like:\n\n");
        text.push_str("  orch quickstart --keep\n\nThen any client of the OpenAI protocol can use it:\n\n");
    }
    text.push_str(&format!(
        "  {}  {}\n  {}     {instance}\n\n  {curl}\n\n",
        "endpoint".bold(),
        format_args!("{endpoint}/v1"),
        "model".bold()
    ));
    text.push_str("What to try next:\n\n");
    for (command, purpose) in [
        (format!("orch run {instance}"), "chat in the terminal"),
        ("orch ps".to_owned(), "what runs, and how well"),
        (format!("orch tools smoke {instance}"), "tool calls, each one checked"),
        ("orch init NAME --model FILE.gguf".to_owned(), "a model of your own"),
        ("orch doctor".to_owned(), "what this machine has and lacks"),
    ] {
        text.push_str(&format!("  {command:<34}{}\n", purpose.dimmed()));
    }
    if left_running {
        text.push_str(&format!("  {:<34}{}\n", "orch daemon stop --all", "end everything".dimmed()));
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::InstanceName;

    use super::*;

    fn plain(left_running: bool) -> String {
        let outcome = Outcome {
            endpoint: "http://127.0.0.1:8484".to_owned(),
            instance: InstanceName::try_new("quickstart").unwrap(),
            model: "file:/m/demo.gguf".to_owned(),
            engine_version: "1".to_owned(),
            ready_ms: 1,
            reply: String::new(),
            structured: serde_json::Value::Null,
            tool_call: serde_json::Value::Null,
        };
        anstream::adapter::strip_str(&text(&outcome, left_running)).to_string()
    }

    #[test]
    fn the_last_words_tell_how_to_go_on() {
        insta::assert_snapshot!("kept", plain(true));
        insta::assert_snapshot!("stopped", plain(false));
    }
}
