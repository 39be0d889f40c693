//! Reads the last words of llama.cpp's server and of our launcher script.
//!
//! Owns: the words, collected by provoking each failure. The first rule that finds its words wins, so the order
//! goes from the cause to its consequences: a model for which memory ran out also "failed to load".

use orchestrator_core::instance::ExitCause;

/// The longest detail that is shown, in characters.
const LONGEST_DETAIL: usize = 300;

const OUT_OF_MEMORY: [&str; 8] = [
    "insufficient memory",
    "failed to allocate",
    "unable to allocate",
    "std::bad_alloc",
    "Cannot allocate memory",
    "out of memory",
    "ErrorOutOfDeviceMemory",
    "cudaMalloc failed",
];

/// Reads the engine's last words.
pub(super) fn explain(stderr_tail: &[String]) -> Option<ExitCause> {
    missing_library(stderr_tail)
        .or_else(|| bad_argument(stderr_tail))
        .or_else(|| contains_any(stderr_tail, &["couldn't bind", "Address already in use"]).then_some(ExitCause::PortTaken))
        .or_else(|| contains_any(stderr_tail, &OUT_OF_MEMORY).then_some(ExitCause::OutOfMemory))
        .or_else(|| unknown_architecture(stderr_tail))
        .or_else(|| model_rejected(stderr_tail))
}

fn missing_library(lines: &[String]) -> Option<ExitCause> {
    let detail = after(lines, "error while loading shared libraries: ")
        .or_else(|| after(lines, "ModuleNotFoundError: "))
        .or_else(|| after(lines, "ImportError: "))?;
    Some(ExitCause::MissingLibrary { detail })
}

fn bad_argument(lines: &[String]) -> Option<ExitCause> {
    let whole = |word: &str| after(lines, word).map(|rest| format!("{word}{rest}"));
    let detail = whole("error while handling argument ")
        .or_else(|| whole("invalid argument: "))
        .or_else(|| whole("unknown argument: "))
        .or_else(|| after(lines, "error: ").filter(|rest| rest.starts_with("--") || rest.contains("unknown value for --")))?;
    Some(ExitCause::BadArgument { detail })
}

fn unknown_architecture(lines: &[String]) -> Option<ExitCause> {
    const WORDS: &str = "unknown model architecture: ";
    let name = after(lines, WORDS)?;
    Some(ExitCause::UnknownArchitecture { detail: format!("{WORDS}{name}") })
}

fn model_rejected(lines: &[String]) -> Option<ExitCause> {
    // What the reader of the file saw says more than that the model was not loaded.
    let reader = after(lines, "gguf_init_from_reader: ").or_else(|| after(lines, "gguf_init_from_file: "));
    let loader = after(lines, "error loading model: ");
    let detail = match (reader, loader) {
        (Some(reader), _) => reader,
        (None, Some(loader)) => loader,
        (None, None) => after(lines, "failed to load model").map(|rest| format!("failed to load model {rest}"))?,
    };
    Some(ExitCause::ModelRejected { detail })
}

fn contains_any(lines: &[String], words: &[&str]) -> bool {
    lines.iter().any(|line| words.iter().any(|word| line.contains(word)))
}

/// Returns what follows `words` in the first line that has them, cut to a readable length.
fn after(lines: &[String], words: &str) -> Option<String> {
    let rest = lines.iter().find_map(|line| line.split_once(words).map(|(_, rest)| rest.trim()))?;
    let mut short: String = rest.chars().take(LONGEST_DETAIL).collect();
    if rest.chars().nth(LONGEST_DETAIL).is_some() {
        short.push('…');
    }
    Some(short)
}

#[cfg(test)]
mod tests;
