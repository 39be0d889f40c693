//! Watching a generation as it comes, to stop it where the envelope ends.
//!
//! Owns a byte scanner (string, escape, depth) that never holds text back: it only says when enough has come.
//! It gives the same answer however the bytes are cut into chunks. What was generated is judged afterwards by
//! [`ToolSet::parse`](crate::ToolSet::parse); the scanner decides nothing about validity.

use crate::limits::Limits;

/// What to do with a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    /// Let it go on.
    Running,
    /// Cancel it: the envelope ended before the byte at this offset of all that was pushed.
    Complete {
        /// The offset after the closing brace.
        end: usize,
    },
    /// Cancel it: nothing but whitespace comes.
    WhitespaceLoop {
        /// Where the whitespace started.
        start: usize,
    },
    /// Cancel it: it is longer than anything that would be parsed.
    TooLong,
}

/// Finds the end of the envelope in a stream of bytes.
///
/// # Examples
/// ```
/// use orchestrator_toolcall::{Limits, StreamScanner, StreamState};
///
/// let mut scanner = StreamScanner::new(Limits::DEFAULT);
/// assert_eq!(scanner.push(b"{\"v\":1,\"type\":\"final\",\"con"), StreamState::Running);
/// assert_eq!(scanner.push(b"tent\":\"a } in text\"}\n\n\n"), StreamState::Complete { end: 46 });
/// ```
#[derive(Debug, Clone)]
pub struct StreamScanner {
    limits: Limits,
    state: StreamState,
    /// How many bytes were seen.
    seen: usize,
    spaces: usize,
    place: Place,
    /// The last bytes outside the object, to recognise tags.
    tail: [u8; TAIL],
    /// The closing tag that ends the block of reasoning, while inside one.
    hidden: Option<&'static [u8]>,
    object: Object,
}

/// How many bytes outside the object are remembered.
const TAIL: usize = 24;

/// Blocks in which no envelope is looked for. The full list is the parser's; what is missing here only means that
/// the stream is not stopped early.
const BLOCKS: [(&[u8], &[u8]); 8] = [
    (b"<think>", b"</think>"),
    (b"<thinking>", b"</thinking>"),
    (b"<reasoning>", b"</reasoning>"),
    (b"<thought>", b"</thought>"),
    (b"[think]", b"[/think]"),
    (b"<tool_response>", b"</tool_response>"),
    (b"<|channel|>analysis", b"<|end|>"),
    (b"<|start_thinking|>", b"<|end_thinking|>"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Inside,
}

/// The object that is being watched.
#[derive(Debug, Clone, Default)]
struct Object {
    depth: usize,
    quote: Option<u8>,
    escaped: bool,
    /// The last byte that was no space and stood outside strings.
    last: u8,
    /// The string at depth one that may be a key, while it is short.
    key: Vec<u8>,
    /// Whether a key of the envelope was seen.
    is_envelope: bool,
}

impl StreamScanner {
    /// Makes a scanner that has seen nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: StreamState::Running,
            seen: 0,
            spaces: 0,
            place: Place::Outside,
            tail: [0; TAIL],
            hidden: None,
            object: Object::default(),
        }
    }

    /// The same scanner for a model whose prompt template has already opened `<think>`.
    ///
    /// Without this, an envelope that is only thought about would end the stream.
    #[must_use]
    pub fn starting_in_reasoning(mut self) -> Self {
        self.hidden = Some(b"</think>");
        self
    }

    /// Takes the next bytes and says what to do; once it says to cancel, it keeps saying so.
    pub fn push(&mut self, bytes: &[u8]) -> StreamState {
        for byte in bytes {
            if self.state != StreamState::Running {
                break;
            }
            self.step(*byte);
        }
        self.state
    }

    /// What the last push said.
    #[must_use]
    pub const fn state(&self) -> StreamState {
        self.state
    }

    fn step(&mut self, byte: u8) {
        self.seen += 1;
        if self.seen > self.limits.max_bytes {
            self.state = StreamState::TooLong;
            return;
        }
        if self.place == Place::Outside || self.object.quote.is_none() {
            self.count_space(byte);
        } else {
            self.spaces = 0;
        }
        match self.place {
            Place::Outside => self.outside(byte),
            Place::Inside => {
                if self.object.step(byte) {
                    self.end_object();
                }
            }
        }
    }

    fn count_space(&mut self, byte: u8) {
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            self.spaces += 1;
            if self.spaces > self.limits.max_whitespace_run {
                self.state = StreamState::WhitespaceLoop { start: self.seen - self.spaces };
            }
        } else {
            self.spaces = 0;
        }
    }

    fn outside(&mut self, byte: u8) {
        self.tail.rotate_left(1);
        self.tail[TAIL - 1] = byte.to_ascii_lowercase();
        if let Some(close) = self.hidden {
            if self.tail.ends_with(close) {
                self.hidden = None;
            }
            return;
        }
        if let Some((_, close)) = BLOCKS.iter().find(|(open, _)| self.tail.ends_with(open)) {
            self.hidden = Some(close);
        } else if byte == b'{' {
            self.place = Place::Inside;
            self.object = Object { depth: 1, last: b'{', ..Object::default() };
        }
    }

    fn end_object(&mut self) {
        self.place = Place::Outside;
        self.tail = [0; TAIL];
        if self.object.is_envelope {
            self.state = StreamState::Complete { end: self.seen };
        }
    }
}

impl Object {
    /// Takes one byte; says whether it closed the object.
    fn step(&mut self, byte: u8) -> bool {
        if let Some(quote) = self.quote {
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == quote {
                self.quote = None;
                self.last = quote;
            } else if self.depth == 1 && self.key.len() < 8 {
                self.key.push(byte);
            }
            return false;
        }
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => return false,
            b'"' => self.open_string(byte),
            // An apostrophe opens a string only where a string can stand.
            b'\'' if matches!(self.last, b'{' | b'[' | b',' | b':') => self.open_string(byte),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    return true;
                }
            }
            b':' if self.depth == 1 && matches!(self.key.as_slice(), b"v" | b"type" | b"calls" | b"content") => {
                self.is_envelope = true;
            }
            b',' if self.depth == 1 => self.key.clear(),
            _ if self.depth == 1 && self.key.len() < 8 => self.key.push(byte),
            _ => {}
        }
        self.last = byte;
        false
    }

    fn open_string(&mut self, quote: u8) {
        self.quote = Some(quote);
        if self.depth == 1 {
            self.key.clear();
        }
    }
}

#[cfg(test)]
mod tests;
