//! Members without a comma between them: when that is what they are, and when a quote may have misled.

use super::edit::EditKind;
use super::reader::{Before, Next, Reader};
use crate::error::ParseError;

impl Reader<'_> {
    /// Goes on without a comma, if what follows can be nothing but the next member.
    pub(super) fn missing_comma(&mut self, byte: u8) -> Result<Next, ParseError> {
        if self.may_be_inner_quote(byte) {
            return Err(ParseError::GuessedQuotes { offset: self.token_end });
        }
        // In an object, the key has to prove itself by a colon.
        let certain = if self.in_array() { self.begins_value(byte) } else { byte == b'"' || self.is_word_with_colon() };
        if !certain {
            return self.end_without_closers();
        }
        self.log(EditKind::MissingComma, self.token_end, self.token_end);
        Ok(self.next_in_container(Before::Nothing))
    }

    /// Says whether the quote before the cursor may not have ended its string, as in `"a "b" c"`.
    ///
    /// What touches the quote may be part of the string, unless it is a key; and so may what stands apart from
    /// it, if the string ends, or the next one begins, with a space.
    fn may_be_inner_quote(&self, byte: u8) -> bool {
        let is_blank = |offset: Option<usize>| offset.and_then(|offset| self.bytes.get(offset)).is_some_and(u8::is_ascii_whitespace);
        let after_quote = self.token_end > 0 && self.bytes[self.token_end - 1] == b'"';
        let touches = self.at == self.token_end && (self.in_array() || byte != b'"');
        let begins_blank = byte == b'"' && is_blank(self.at.checked_add(1));
        after_quote && (touches || begins_blank || is_blank(self.token_end.checked_sub(2)))
    }

    /// Says whether the cursor is at the first byte of a value.
    pub(super) fn begins_value(&self, byte: u8) -> bool {
        matches!(byte, b'"' | b'{' | b'[' | b'-' | b'0'..=b'9')
            || ["true", "false", "null", "True", "False", "None"].iter().any(|literal| {
                self.bytes[self.at..]
                    .strip_prefix(literal.as_bytes())
                    .is_some_and(|rest| !rest.first().is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_'))
            })
    }
}
