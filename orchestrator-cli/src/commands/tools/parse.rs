//! `orch tools parse`: judges texts against tools. Needs no daemon and no home.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use orchestrator_core::{ErrorCode, Problem};
use orchestrator_toolcall::{Finish, Limits, ToolSet};
use serde_json::Value;

use crate::args::tools::{FinishArgument, ParseArguments};
use crate::context::Context;
use crate::error::CommandError;

/// The largest file of tools that is read.
const LARGEST_TOOLS: u64 = 16 * 1024 * 1024;
/// The longest line that is read.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// Reads standard input and writes one verdict for each text.
pub(crate) fn run(context: &Context, arguments: &ParseArguments) -> Result<(), CommandError> {
    let tools = read_tools(&arguments.tools)?;
    let finish = match arguments.finish {
        FinishArgument::Stop => Finish::Stop,
        FinishArgument::Length => Finish::Length,
    };
    let mut input = BufReader::new(std::io::stdin().lock());
    if !arguments.jsonl {
        let text = read_text(&mut input)?;
        return context.output.json_line(&tools.parse(text, finish));
    }
    let mut line = Vec::new();
    let mut number = 0_u64;
    while read_line(&mut input, &mut line, number + 1)? {
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        context.output.json_line(&tools.parse(text_of(&line, number)?, finish))?;
    }
    Ok(())
}

/// Reads the description of the tools.
fn read_tools(path: &Path) -> Result<ToolSet, Problem> {
    let shown = path.display();
    let refuse = |title: String| Problem::new(ErrorCode::ToolsInvalid, title);
    let hint = "give a JSON list of tools, each with a name and the JSON Schema of its arguments";
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST_TOOLS + 1).read_to_end(&mut text));
    read.map_err(|error| refuse(format!("could not read the tools in `{shown}`")).with_cause(error.to_string()).with_hint(hint))?;
    if text.len() as u64 > LARGEST_TOOLS {
        return Err(refuse(format!("the tools in `{shown}` are more than {LARGEST_TOOLS} bytes")).with_hint(hint));
    }
    let tools: Value = serde_json::from_slice(&text)
        .map_err(|error| refuse(format!("the tools in `{shown}` are no JSON")).with_cause(error.to_string()).with_hint(hint))?;
    ToolSet::from_json(&tools)
        .map_err(|error| refuse(format!("the tools in `{shown}` cannot be used")).with_cause(error.to_string()).with_hint(error.hint()))
}

/// Reads one text. Of one that is too long only as much as it takes to say so.
fn read_text(input: &mut impl Read) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    let longest = Limits::DEFAULT.max_bytes as u64 + 1;
    let read = input.by_ref().take(longest).read_to_end(&mut text);
    read.and_then(|_| std::io::copy(input, &mut std::io::sink())).map_err(|error| unreadable(&error))?;
    Ok(text)
}

/// Reads one line; says whether there was one.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool, Problem> {
    line.clear();
    let length = input.by_ref().take(LONGEST_LINE).read_until(b'\n', line).map_err(|error| unreadable(&error))?;
    if length as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
        return Err(bad_line(number, format!("it is longer than {LONGEST_LINE} bytes")));
    }
    Ok(length > 0)
}

/// Returns the text of a line.
fn text_of(line: &[u8], number: u64) -> Result<String, Problem> {
    let mut value: Value = serde_json::from_slice(line).map_err(|error| bad_line(number, error.to_string()))?;
    match value.get_mut("text").map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(bad_line(number, "`text` is no string".to_owned())),
        None => Err(bad_line(number, "it has no `text`".to_owned())),
    }
}

fn bad_line(number: u64, cause: String) -> Problem {
    let problem = Problem::new(ErrorCode::InputInvalid, format!("line {number} of the input cannot be read")).with_cause(cause);
    problem.with_hint("write one JSON object with a `text` a line")
}

fn unreadable(error: &std::io::Error) -> Problem {
    Problem::new(ErrorCode::InputInvalid, "the input cannot be read").with_cause(error.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn lines_are_read_one_by_one_and_bad_ones_are_named() {
        assert_eq!(text_of(br#"{"text":"a\nb","id":1}"#, 1).unwrap(), "a\nb");
        for line in [r#"{"txt":"a"}"#, r#"{"text":1}"#, "nonsense", "[]", "\"a\""] {
            let problem = text_of(line.as_bytes(), 7).unwrap_err();
            assert_eq!(problem.code, ErrorCode::InputInvalid);
            assert!(problem.title.contains("line 7"), "{problem}");
        }
        let mut input: &[u8] = b"a\n\nb";
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while read_line(&mut input, &mut line, 1).unwrap() {
            lines.push(line.trim_ascii().to_vec());
        }
        assert_eq!(lines, [b"a".to_vec(), b"".to_vec(), b"b".to_vec()]);
    }

    #[test]
    fn of_a_long_text_no_more_is_kept_than_is_needed() {
        let long = vec![b'['; 3 * Limits::DEFAULT.max_bytes];
        assert_eq!(read_text(&mut long.as_slice()).unwrap().len(), Limits::DEFAULT.max_bytes + 1);
    }

    #[test]
    fn tools_that_cannot_be_used_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tools.json");
        for (text, word) in [("{", "no JSON"), ("7", "cannot be used"), (r#"[{"name":"a"},{"name":"a"}]"#, "cannot be used")] {
            std::fs::write(&file, text).unwrap();
            let problem = read_tools(&file).unwrap_err();
            assert!(problem.code == ErrorCode::ToolsInvalid && problem.title.contains(word), "{problem}");
        }
        assert!(read_tools(&folder.path().join("none")).unwrap_err().title.contains("could not read"));
    }
}
