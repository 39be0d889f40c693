//! The demo model's tokens: every byte, a few hundred pieces that lead up to pleasant words, and the marks of turns.

use std::collections::HashMap;

/// The words that free text is made of.
const WORDS: [&str; 128] = [
    "amber", "apple", "autumn", "basil", "beach", "berry", "birch", "bloom", "breeze", "bridge", "bright", "brook", "candle", "cedar",
    "cherry", "circle", "clay", "cliff", "cloud", "clover", "cobalt", "copper", "coral", "cotton", "crane", "creek", "crystal", "dawn",
    "deep", "delta", "dew", "dream", "drift", "dusk", "early", "earth", "echo", "elm", "ember", "evening", "feather", "fern", "field",
    "finch", "flame", "fog", "forest", "frost", "garden", "gentle", "ginger", "glass", "glow", "golden", "grain", "grass", "harbor",
    "hazel", "heather", "heron", "hill", "honey", "indigo", "island", "ivory", "ivy", "jade", "juniper", "kite", "lake", "lantern", "lark",
    "leaf", "lemon", "light", "lily", "linen", "maple", "marble", "meadow", "mellow", "mint", "mist", "moon", "morning", "moss",
    "mountain", "oak", "ocean", "olive", "orchard", "otter", "paper", "pebble", "pine", "plum", "pond", "poppy", "quiet", "rain", "reed",
    "ripple", "river", "robin", "rose", "sage", "sand", "shadow", "shell", "silver", "sky", "slow", "snow", "soft", "song", "sparrow",
    "spring", "star", "stone", "stream", "summer", "thistle", "tide", "valley", "velvet", "violet", "warm", "willow",
];

/// The stand-in for a space in a token's text, as the byte-level encoding writes it.
const SPACE: char = '\u{120}';

/// What kind of text a token stands for; the weights make some likelier than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A space and a whole word.
    Word,
    /// A space, a word and a mark after it.
    EndedWord,
    /// The beginning of a word.
    WordPiece,
    /// A letter.
    Letter,
    /// A digit.
    Digit,
    /// The quotation mark that ends a string in JSON.
    Quote,
    /// The brace that opens an object in JSON.
    OpenBrace,
    /// Another mark that JSON is built of.
    Structure,
    /// The mark that goes on with a list in JSON: less likely than the one that ends it.
    Comma,
    /// The mark that opens a tag, and so ends a tool call: likelier than going on to another call.
    OpenTag,
    /// A single space.
    Space,
    /// The end of a line, after which the template lets a reply begin.
    Newline,
    /// A byte that free text should not have: controls, parts of characters, other marks.
    OtherByte,
    /// The mark that ends a turn.
    EndOfTurn,
    /// A mark that only templates write.
    TemplateMark,
    /// The tag in a prompt after which tools are listed.
    Tools,
    /// The tag that opens a tool call.
    ToolCall,
}

/// A token.
struct Token {
    text: String,
    kind: TokenKind,
}

/// All tokens, and the merges that lead from bytes to words.
pub(super) struct Vocabulary {
    tokens: Vec<Token>,
    merges: Vec<String>,
}

impl Vocabulary {
    /// Builds the vocabulary; it is always the same.
    pub(super) fn build() -> Self {
        let mut vocabulary = Self { tokens: Vec::new(), merges: Vec::new() };
        for byte in 0..=u8::MAX {
            vocabulary.push(byte_character(byte).to_string(), byte_kind(byte));
        }
        let mut pieces: HashMap<String, usize> = HashMap::new();
        for word in WORDS {
            vocabulary.grow(&mut pieces, word);
        }
        // The pre-tokenizer cuts marks off words, so no text is read as these; they are only written.
        for (index, word) in WORDS.iter().enumerate() {
            let mark = if index % 3 == 0 { '.' } else { ',' };
            vocabulary.push(format!("{SPACE}{word}{mark}"), TokenKind::EndedWord);
        }
        vocabulary.push("<tools>".to_owned(), TokenKind::Tools);
        vocabulary.push("<tool_call>".to_owned(), TokenKind::ToolCall);
        vocabulary.push("<|endoftext|>".to_owned(), TokenKind::TemplateMark);
        vocabulary.push("<|im_start|>".to_owned(), TokenKind::TemplateMark);
        vocabulary.push("<|im_end|>".to_owned(), TokenKind::EndOfTurn);
        vocabulary
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.tokens.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| token.text.as_str())
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = TokenKind> {
        self.tokens.iter().map(|token| token.kind)
    }

    pub(super) fn merges(&self) -> impl Iterator<Item = &str> {
        self.merges.iter().map(String::as_str)
    }

    /// Returns each token's type as the format numbers it: 1 is text, 3 is a mark, 4 is
    /// text that is always one token.
    pub(super) fn type_numbers(&self) -> impl Iterator<Item = i32> {
        self.kinds().map(|kind| match kind {
            TokenKind::EndOfTurn | TokenKind::TemplateMark => 3,
            TokenKind::Tools | TokenKind::ToolCall => 4,
            _ => 1,
        })
    }

    pub(super) fn start_of_text(&self) -> u32 {
        self.len() - 3
    }

    pub(super) fn end_of_turn(&self) -> u32 {
        self.len() - 1
    }

    /// Adds a word letter by letter, each piece merged from the one before, so that text reaches it.
    fn grow(&mut self, pieces: &mut HashMap<String, usize>, word: &str) {
        let mut piece = SPACE.to_string();
        for letter in word.chars() {
            let longer = format!("{piece}{letter}");
            if !pieces.contains_key(&longer) {
                self.merges.push(format!("{piece} {letter}"));
                pieces.insert(longer.clone(), self.tokens.len());
                self.push(longer.clone(), TokenKind::WordPiece);
            }
            piece = longer;
        }
        if let Some(token) = pieces.get(&piece).and_then(|index| self.tokens.get_mut(*index)) {
            token.kind = TokenKind::Word;
        }
    }

    fn push(&mut self, text: String, kind: TokenKind) {
        self.tokens.push(Token { text, kind });
    }
}

/// Returns the printable character that stands for a byte in the byte-level encoding of GPT-2.
fn byte_character(byte: u8) -> char {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if is_printable(byte) {
        return char::from(byte);
    }
    // The others follow each other from U+0100 on.
    let before = (0..byte).filter(|other| !is_printable(*other)).count();
    u32::try_from(before).ok().and_then(|before| char::from_u32(0x100 + before)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn byte_kind(byte: u8) -> TokenKind {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => TokenKind::Letter,
        b'0'..=b'9' => TokenKind::Digit,
        b'"' => TokenKind::Quote,
        b'{' => TokenKind::OpenBrace,
        b'}' | b'[' | b']' | b':' => TokenKind::Structure,
        b'<' => TokenKind::OpenTag,
        b',' => TokenKind::Comma,
        b' ' => TokenKind::Space,
        b'\n' => TokenKind::Newline,
        _ => TokenKind::OtherByte,
    }
}
