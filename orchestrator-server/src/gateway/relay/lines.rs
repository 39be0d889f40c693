//! Whole lines of a stream of events: what an engine leaves half said is not passed on, so that an error event can follow.

use bytes::{Bytes, BytesMut};

use super::DONE;

/// The longest line that is kept until its end has come. A longer one passes piece by piece.
const LONGEST_KEPT: usize = 8 * 1024;

/// The beginning of a line whose end has not come.
#[derive(Debug, Default)]
pub(super) struct Lines {
    kept: BytesMut,
    /// Whether the line that is passing now is too long to be kept.
    is_long: bool,
}

impl Lines {
    /// Takes a piece of the stream and returns what can be passed on: everything up to the end of the last line, or
    /// nothing. Most pieces end with a line, and pass as they came.
    pub(super) fn pass(&mut self, mut piece: Bytes) -> Bytes {
        let is_whole = piece.ends_with(b"\n") || piece.ends_with(DONE);
        let end = if is_whole { piece.len() } else { piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
        self.is_long = end == 0 && (self.is_long || self.kept.len() + piece.len() > LONGEST_KEPT);
        if self.kept.is_empty() && (is_whole || self.is_long) {
            return piece;
        }
        if self.is_long {
            self.kept.extend_from_slice(&piece);
            return self.rest();
        }
        let rest = piece.split_off(end);
        let passed = if self.kept.is_empty() || piece.is_empty() {
            piece
        } else {
            self.kept.extend_from_slice(&piece);
            self.rest()
        };
        self.kept.extend_from_slice(&rest);
        passed
    }

    /// Returns what was kept: the stream has ended in order, if without the end of its last line.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.kept).freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(pieces: &[&str]) -> Vec<String> {
        let mut lines = Lines::default();
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        let mut passed: Vec<String> = pieces.iter().map(|piece| text(lines.pass(Bytes::copy_from_slice(piece.as_bytes())))).collect();
        passed.push(text(lines.rest()));
        passed
    }

    #[test]
    fn only_whole_lines_are_passed_on() {
        assert_eq!(passed(&["data: 1\n\n", "data: 2\n\n"]), ["data: 1\n\n", "data: 2\n\n", ""]);
        assert_eq!(passed(&["data: {\"a", "\":1}\n", "\ndata: 2"]), ["", "data: {\"a\":1}\n", "\n", "data: 2"]);
        assert_eq!(passed(&["data: 1\ndata: ", "2", "\n"]), ["data: 1\n", "", "data: 2\n", ""]);
        assert_eq!(passed(&["data: [DONE]"]), ["data: [DONE]", ""]);
        assert_eq!(passed(&["data: [DO", "NE]\n\n"]), ["", "data: [DONE]\n\n", ""]);
    }

    #[test]
    fn nothing_is_lost_and_an_endless_line_is_not_kept() {
        let line = "x".repeat(1_000);
        let pieces = vec![line.as_str(); 100];
        let passed = passed(&pieces);
        assert_eq!(passed.concat(), line.repeat(100));
        assert!(passed.iter().all(|piece| piece.len() <= LONGEST_KEPT + line.len()));
    }
}
