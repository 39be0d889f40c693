//! The words of a final answer, decoded from the envelope while it is still being generated. Pure.
//!
//! Only an envelope that is written in the one plain way is decoded early; everything else waits for its verdict.

/// What an envelope with a final answer begins with, spaces aside.
const PREFIX: &[u8] = br#"{"v":1,"type":"final","content":""#;

/// Decodes the content of a final answer piece by piece.
#[derive(Debug, Default)]
pub(super) struct Speech {
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// So many bytes of the prefix were seen.
    Prefix(usize),
    /// Inside the text; holds the first half of a character that was escaped as two.
    Text(Option<u16>),
    /// After a backslash.
    Escape(Option<u16>),
    /// Inside the digits of an escape: what they say so far, and how many are still to come.
    Digits { value: u16, left: u8, high: Option<u16> },
    /// After the text, or where it cannot be followed.
    Over,
}

impl Default for Place {
    fn default() -> Self {
        Self::Prefix(0)
    }
}

impl Speech {
    /// A decoder that says nothing.
    pub(super) const fn silent() -> Self {
        Self { place: Place::Over }
    }

    /// Takes what was generated next and returns what it says.
    pub(super) fn push(&mut self, piece: &str) -> String {
        let mut said = String::new();
        for character in piece.chars() {
            self.place = self.step(character, &mut said);
        }
        said
    }

    fn step(&self, character: char, said: &mut String) -> Place {
        match self.place {
            Place::Prefix(seen) => prefix(seen, character),
            Place::Text(high) => match character {
                '\\' => Place::Escape(high),
                _ if high.is_some() => Place::Over,
                '"' | '\0'..='\u{1f}' => Place::Over,
                other => {
                    said.push(other);
                    Place::Text(None)
                }
            },
            Place::Escape(high) => match (character, high) {
                ('u', high) => Place::Digits { value: 0, left: 4, high },
                (_, Some(_)) => Place::Over,
                (other, None) => simple_escape(other).map_or(Place::Over, |decoded| {
                    said.push(decoded);
                    Place::Text(None)
                }),
            },
            Place::Digits { value, left, high } => {
                let Some(digit) = character.to_digit(16).and_then(|digit| u16::try_from(digit).ok()) else { return Place::Over };
                let value = value << 4 | digit;
                if left > 1 { Place::Digits { value, left: left - 1, high } } else { unit(value, high, said) }
            }
            Place::Over => Place::Over,
        }
    }
}

fn prefix(seen: usize, character: char) -> Place {
    let expected = PREFIX[seen];
    let is_inside = PREFIX[..seen].iter().fold(false, |is_inside, byte| is_inside != (*byte == b'"'));
    if character == char::from(expected) {
        if seen + 1 == PREFIX.len() { Place::Text(None) } else { Place::Prefix(seen + 1) }
    } else if !is_inside && matches!(character, ' ' | '\n' | '\r' | '\t') {
        Place::Prefix(seen)
    } else {
        Place::Over
    }
}

fn simple_escape(character: char) -> Option<char> {
    Some(match character {
        '"' | '\\' | '/' => character,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        _ => return None,
    })
}

/// Takes one unit of UTF-16.
fn unit(value: u16, high: Option<u16>, said: &mut String) -> Place {
    let units = match high {
        None if (0xd800..0xdc00).contains(&value) => return Place::Text(Some(value)),
        None => vec![value],
        Some(high) => vec![high, value],
    };
    match String::from_utf16(&units) {
        Ok(text) => {
            said.push_str(&text);
            Place::Text(None)
        }
        Err(_) => Place::Over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> String {
        Speech::default().push(text)
    }

    fn by_character(text: &str) -> String {
        let mut speech = Speech::default();
        text.chars().map(|character| speech.push(&character.to_string())).collect()
    }

    #[test]
    fn what_is_said_comes_out_in_any_chunking() {
        for (text, said) in [
            (r#"{"v":1,"type":"final","content":"a \"b\" \\ \n é 😀 \u00e9\ud83d\ude00 {}"}"#, "a \"b\" \\ \n é 😀 é😀 {}"),
            ("{ \"v\" : 1,\n \"type\" : \"final\", \"content\" : \"x\" }", "x"),
            (r#"{"v":1,"type":"final","content":"cut o"#, "cut o"),
            (r#"{"v":1,"type":"final","content":"cut \u00"#, "cut "),
            // Nothing is said where it is not certain.
            (r#"{"v":1,"type":"tool_calls","calls":[]}"#, ""),
            (r#"Sure: {"v":1,"type":"final","content":"x"}"#, ""),
            (r#"{"type":"final","v":1,"content":"x"}"#, ""),
            (r#"{"v":1,"type":" final","content":"x"}"#, ""),
            (r#"{"v":1,"type":"final","content":"a\ud83dx"}"#, "a"),
            (r#"{"v":1,"type":"final","content":"a\xb"}"#, "a"),
        ] {
            assert_eq!((whole(text).as_str(), by_character(text).as_str()), (said, said), "{text}");
        }
    }

    #[test]
    fn a_silent_one_says_nothing() {
        assert_eq!(Speech::silent().push(r#"{"v":1,"type":"final","content":"x"}"#), "");
    }
}
