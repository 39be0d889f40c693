//! Blocks that are never a source of calls: reasoning, quoted tool results, comments of markup.

/// A block, or the end of one, at some offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// A block starts here; it reaches to `end`, which is the end of the text if it is never closed.
    Open {
        /// Where its content starts.
        body: usize,
        /// The offset after its closing tag.
        end: usize,
    },
    /// A closing tag without its opening tag.
    OrphanClose {
        /// The offset after it.
        end: usize,
    },
}

/// Names of tags around reasoning, in lower case.
const REASONING: [&str; 12] = [
    "think",
    "thinking",
    "thought",
    "thoughts",
    "reasoning",
    "reason",
    "reflection",
    "scratchpad",
    "analysis",
    "seed:think",
    "inner_monologue",
    "internal_monologue",
];

/// Names of tags around what tools returned, in lower case.
const RESULTS: [&str; 10] = [
    "tool_response",
    "tool_responses",
    "tool_result",
    "tool_results",
    "tool_output",
    "tool_outputs",
    "function_response",
    "function_result",
    "function_results",
    "observation",
];

/// Pairs of markers that are not a tag and its closing tag.
const PAIRS: [(&str, &str); 8] = [
    ("[THINK]", "[/THINK]"),
    ("[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|START_TOOL_RESULT|>", "<|END_TOOL_RESULT|>"),
    ("<!--", "-->"),
];

/// The longest tag that is looked at, in bytes.
const MAX_TAG: usize = 200;

/// The block that starts or ends at an offset.
pub(super) fn at(text: &str, offset: usize) -> Option<Block> {
    let rest = text.get(offset..)?;
    for (open, close) in PAIRS {
        if rest.starts_with(open) {
            let body = offset + open.len();
            let end = text[body..].find(close).map_or(text.len(), |found| body + found + close.len());
            return Some(Block::Open { body, end });
        }
        if close != "-->" && rest.starts_with(close) {
            return Some(Block::OrphanClose { end: offset + close.len() });
        }
    }
    if let Some(body) = harmony_analysis(rest) {
        return Some(Block::Open { body: offset + body, end: end_of_channel(text, offset + body) });
    }
    let tag = Tag::at(rest)?;
    if !is_hidden(tag.name) {
        return None;
    }
    let body = offset + tag.length;
    if tag.closes {
        return Some(Block::OrphanClose { end: body });
    }
    if tag.is_empty {
        return Some(Block::Open { body, end: body });
    }
    let end = text[body..].match_indices('<').find_map(|(found, _)| {
        let closing = Tag::at(&text[body + found..])?;
        (closing.closes && closing.name.eq_ignore_ascii_case(tag.name)).then_some(body + found + closing.length)
    });
    Some(Block::Open { body, end: end.unwrap_or(text.len()) })
}

fn is_hidden(name: &str) -> bool {
    REASONING.iter().chain(&RESULTS).any(|hidden| name.eq_ignore_ascii_case(hidden))
}

/// A tag like `<name …>`, `</name>`, `<|name|>` or `<|/name|>`.
struct Tag<'a> {
    name: &'a str,
    closes: bool,
    is_empty: bool,
    length: usize,
}

impl<'a> Tag<'a> {
    fn at(text: &'a str) -> Option<Self> {
        let inner = text.strip_prefix('<')?;
        let inner = inner.strip_prefix('|').unwrap_or(inner);
        let (closes, inner) = inner.strip_prefix('/').map_or((false, inner), |inner| (true, inner));
        let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-'))).unwrap_or(inner.len());
        let (name, after) = inner.split_at(end);
        if name.is_empty() {
            return None;
        }
        let window = after.len().min(MAX_TAG);
        let close = after.as_bytes()[..window].iter().position(|byte| matches!(byte, b'>' | b'<'))?;
        if after.as_bytes()[close] != b'>' {
            return None;
        }
        Some(Self { name, closes, is_empty: after[..close].ends_with('/'), length: text.len() - after.len() + close + 1 })
    }
}

/// The length of the opening of a reasoning channel in OpenAI's harmony format.
fn harmony_analysis(text: &str) -> Option<usize> {
    const CHANNEL: &str = "<|channel|>";
    let name = text.strip_prefix(CHANNEL)?;
    let trimmed = name.trim_start_matches(' ');
    trimmed.starts_with("analysis").then(|| CHANNEL.len() + (name.len() - trimmed.len()) + "analysis".len())
}

/// Where a channel ends: at its end token, or where the next message begins.
fn end_of_channel(text: &str, body: usize) -> usize {
    text[body..]
        .match_indices("<|")
        .find(|(found, _)| {
            let rest = &text[body + found..];
            ["<|end|>", "<|start|>", "<|channel|>", "<|return|>", "<|call|>"].iter().any(|token| rest.starts_with(token))
        })
        .map_or(text.len(), |(found, _)| body + found)
}
