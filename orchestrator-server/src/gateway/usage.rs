//! How many tokens an answer took, as the engine says at its end: found in the last bytes, without reading the rest.

use serde::Deserialize;

/// How much of the end of an answer is looked at. Engines write what it took last, and need less for it.
const TAIL: usize = 1_024;

/// How many tokens an answer took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Those that were read.
    pub(crate) prompt: u64,
    /// Those that were written.
    pub(crate) completion: u64,
}

/// The last bytes of a stream. Keeping them is a copy of a few hundred bytes for each piece.
pub(super) struct LastBytes {
    ring: [u8; TAIL],
    /// How many bytes came in all.
    seen: usize,
}

impl Default for LastBytes {
    fn default() -> Self {
        Self { ring: [0; TAIL], seen: 0 }
    }
}

impl LastBytes {
    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let kept = &piece[piece.len().saturating_sub(TAIL)..];
        let at = (self.seen + piece.len() - kept.len()) % TAIL;
        let (first, second) = kept.split_at(kept.len().min(TAIL - at));
        self.ring[at..at + first.len()].copy_from_slice(first);
        self.ring[..second.len()].copy_from_slice(second);
        self.seen += piece.len();
    }

    /// Returns what it took, where the end says so.
    pub(super) fn tokens(&self) -> Option<Tokens> {
        if self.seen <= TAIL {
            return tokens_in(&self.ring[..self.seen]);
        }
        let mut ring = self.ring;
        ring.rotate_left(self.seen % TAIL);
        tokens_in(&ring)
    }
}

/// Finds what an answer took in its end.
pub(super) fn tokens_in(answer: &[u8]) -> Option<Tokens> {
    let tail = &answer[answer.len().saturating_sub(TAIL)..];
    let usage = last_object::<Usage>(tail, b"\"usage\":")
        .map(|usage| Tokens { prompt: usage.prompt_tokens.unwrap_or(0), completion: usage.completion_tokens.unwrap_or(0) });
    // llama.cpp tells its timings where nobody asked for the usage of a stream.
    usage.or_else(|| {
        last_object::<Timings>(tail, b"\"timings\":").map(|timings| Tokens {
            prompt: timings.read.unwrap_or(0) + timings.remembered.unwrap_or(0),
            completion: timings.written.unwrap_or(0),
        })
    })
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Timings {
    #[serde(rename = "prompt_n")]
    read: Option<u64>,
    #[serde(rename = "cache_n")]
    remembered: Option<u64>,
    #[serde(rename = "predicted_n")]
    written: Option<u64>,
}

/// Reads the last object with this key. A text cannot hold the key: its quotes would be escaped there.
fn last_object<'a, T: Deserialize<'a>>(tail: &'a [u8], key: &[u8]) -> Option<T> {
    let mut end = tail.len();
    while let Some(quote) = tail[..end].iter().rposition(|byte| *byte == b'"') {
        if tail[quote..].starts_with(key) {
            let object = &tail[quote + key.len()..];
            // What follows the object is not looked at. Of `null`, and of anything else, an earlier one may know more.
            if let Some(Ok(found)) = serde_json::Deserializer::from_slice(object).into_iter::<T>().next() {
                return Some(found);
            }
        }
        end = quote;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}"}}],"usage":{"prompt_tokens":3,"completion_tokens":5,"prompt_tokens_details":null},"timings":{"prompt_n":1}}"#;

    #[test]
    fn the_usage_of_a_whole_answer_is_found_at_its_end_and_not_in_its_text() {
        assert_eq!(tokens_in(WHOLE.as_bytes()), Some(Tokens { prompt: 3, completion: 5 }));
        let text = r#"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}"}}]}"#;
        assert_eq!(tokens_in(text.as_bytes()), None);
    }

    #[test]
    fn embeddings_have_no_completion() {
        let answer = br#"{"data":[],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
        assert_eq!(tokens_in(answer), Some(Tokens { prompt: 4, completion: 0 }));
    }

    #[test]
    fn without_a_usage_the_timings_tell() {
        let chunk =
            b"data: {\"choices\":[],\"usage\":null,\"timings\":{\"cache_n\":2,\"prompt_n\":7,\"predicted_n\":11}}\n\ndata: [DONE]\n\n";
        assert_eq!(tokens_in(chunk), Some(Tokens { prompt: 9, completion: 11 }));
    }

    #[test]
    fn a_stream_is_remembered_by_its_end_however_it_is_cut() {
        let text = format!("{}{WHOLE}\n\ndata: [DONE]\n\n", "data: {\"n\":1}\n\n".repeat(400));
        for size in [1, 7, 100, TAIL - 1, TAIL, TAIL + 1, text.len()] {
            let mut tail = LastBytes::default();
            for piece in text.as_bytes().chunks(size) {
                tail.push(piece);
            }
            assert_eq!(tail.tokens(), Some(Tokens { prompt: 3, completion: 5 }), "pieces of {size}");
        }
        let mut short = LastBytes::default();
        short.push(b"data: {\"usage\":{\"prompt_tokens\":1}}\n\n");
        assert_eq!(short.tokens(), Some(Tokens { prompt: 1, completion: 0 }));
        assert_eq!(LastBytes::default().tokens(), None);
    }

    #[test]
    fn nonsense_is_no_usage() {
        for text in
            ["\"usage\":", "\"usage\":nul", "\"usage\":{\"prompt_tokens\":-1}", "\"usage\":{\"prompt_tokens\":\"x\"}", "\"\"\"\"usage\":5"]
        {
            assert_eq!(tokens_in(text.as_bytes()), None, "{text}");
        }
    }
}
