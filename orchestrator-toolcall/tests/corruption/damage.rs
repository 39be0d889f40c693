//! Damages envelopes the way models do.
//!
//! Owns the kinds of damage, sorted by whether the meaning stays certain, and a tokenizer for texts that are
//! valid JSON. It depends on nothing but `serde_json`, so that benchmarks can include this file.

use serde_json::Value;

use super::random::Random;

/// A token of a JSON text.
#[derive(Debug, Clone)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Open,
    Close,
    Comma,
    Colon,
    Key,
    Text,
    Number,
    Word,
    Space,
}

/// How a value is written down.
pub fn write(random: &mut Random, value: &Value) -> Vec<Token> {
    let (comma, colon, newline) = *random.pick(&[("", "", false), (" ", " ", false), ("", " ", true)]);
    let ascii = random.chance(30);
    let mut tokens = Vec::new();
    write_value(value, &mut tokens, comma, colon, newline, ascii, 0);
    tokens
}

fn write_value(value: &Value, out: &mut Vec<Token>, comma: &str, colon: &str, newline: bool, ascii: bool, level: usize) {
    let push = |out: &mut Vec<Token>, kind, text: &str| {
        if !text.is_empty() {
            out.push(Token { kind, text: text.to_owned() });
        }
    };
    let line = |out: &mut Vec<Token>, level: usize| {
        if newline {
            out.push(Token { kind: Kind::Space, text: format!("\n{}", "  ".repeat(level)) });
        }
    };
    match value {
        Value::Object(members) => {
            push(out, Kind::Open, "{");
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    push(out, Kind::Comma, ",");
                    push(out, Kind::Space, comma);
                }
                line(out, level + 1);
                push(out, Kind::Key, &quoted(key, ascii));
                push(out, Kind::Colon, ":");
                push(out, Kind::Space, colon);
                write_value(member, out, comma, colon, newline, ascii, level + 1);
            }
            if !members.is_empty() {
                line(out, level);
            }
            push(out, Kind::Close, "}");
        }
        Value::Array(items) => {
            push(out, Kind::Open, "[");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    push(out, Kind::Comma, ",");
                    push(out, Kind::Space, comma);
                }
                line(out, level + 1);
                write_value(item, out, comma, colon, newline, ascii, level + 1);
            }
            if !items.is_empty() {
                line(out, level);
            }
            push(out, Kind::Close, "]");
        }
        Value::String(text) => push(out, Kind::Text, &quoted(text, ascii)),
        Value::Number(number) => push(out, Kind::Number, &number.to_string()),
        word => push(out, Kind::Word, &word.to_string()),
    }
}

pub fn quoted(text: &str, ascii: bool) -> String {
    let plain = serde_json::to_string(text).unwrap();
    if !ascii {
        return plain;
    }
    let mut escaped = String::new();
    for character in plain.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

pub fn join(tokens: &[Token]) -> String {
    tokens.iter().map(|token| token.text.as_str()).collect()
}

/// Python's `repr` of a string.
pub fn python_string(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            _ if character == quote => out.extend(['\\', quote]),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' => out.push_str(&format!("\\x{:02x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push(quote);
    out
}

const PROSE: [&str; 10] = [
    "Sure, here is the call:",
    "I'll look that up for you.",
    "Let me use the tool {placeholder} now.",
    "The result will be in [brackets] or (parentheses).",
    "According to the docs, e.g. {\"a\": 1}, this works.",
    "Note: it's 5 o'clock \"somewhere\"!",
    "# Plan\n- first\n- second",
    "D'accord — voilà l'appel :",
    "<b>Calling</b> a tool",
    "if (x) { return y; }",
];

const WRAPPERS: [(&str, &str); 10] = [
    ("<tool_call>", "</tool_call>"),
    ("<tool_call>\n", "\n</tool_call>"),
    ("<function_call name=\"x\">", "</function_call>"),
    ("<|tool_call|>", "<|/tool_call|>"),
    ("[TOOL_CALLS]", ""),
    ("<|python_tag|>", "<|eom_id|>"),
    ("<response><json>", "</json></response>"),
    ("<output>\n", "\n</output>\n"),
    ("<|channel|>final<|message|>", "<|return|>"),
    ("<answer><![CDATA[", "]]></answer>"),
];

const REASONING: [(&str, &str); 6] = [
    ("<think>", "</think>"),
    ("<thinking>\n", "\n</thinking>\n"),
    ("[THINK]", "[/THINK]"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("<reasoning>", "</reasoning>"),
    ("", "</think>"),
];

/// A damaged text.
pub struct Damaged {
    pub text: String,
    /// Whether generation ended normally.
    pub stopped: bool,
}

type Make = fn(&mut Random, &Value) -> Option<Damaged>;

fn stopped(text: String) -> Option<Damaged> {
    Some(Damaged { text, stopped: true })
}

/// Kinds of damage after which the meaning is certain.
pub const CERTAIN: [(&str, Make); 28] = [
    ("clean", |random, value| stopped(join(&write(random, value)))),
    ("fence", |random, value| stopped(fenced(random, value))),
    ("prose", |random, value| {
        let text = join(&write(random, value));
        let (before, after) = (*random.pick(&PROSE), *random.pick(&PROSE));
        stopped(match random.below(3) {
            0 => format!("{before}\n{text}"),
            1 => format!("{text}\n\n{after}"),
            _ => format!("{before} {text} {after}"),
        })
    }),
    ("prose and fence", |random, value| {
        let text = fenced(random, value);
        stopped(format!("{}\n\n{text}\n{}", random.pick(&PROSE), random.pick(&PROSE)))
    }),
    ("wrapper", |random, value| {
        let (open, close) = *random.pick(&WRAPPERS);
        stopped(format!("{open}{}{close}", join(&write(random, value))))
    }),
    ("reasoning before", |random, value| {
        let (open, close) = *random.pick(&REASONING);
        let thought = *random.pick(&PROSE);
        stopped(format!("{open}{thought} {{\"v\":1,\"type\":\"tool_calls\",\"calls\":[]}}{close}\n{}", join(&write(random, value))))
    }),
    ("comments", |random, value| {
        let mut tokens = write(random, value);
        for _ in 0..=random.below(3) {
            let at = random.below(tokens.len() - 1) + 1;
            let text = *random.pick(&[" // a \"comment\", {it} is\n", "/* a, b: 'c' */", " # note: x}\n", "// it's\r\n"]);
            tokens.insert(at, Token { kind: Kind::Space, text: text.to_owned() });
        }
        stopped(join(&tokens))
    }),
    ("trailing commas", |random, value| {
        let tokens = write(random, value);
        let mut out = Vec::new();
        let mut last = Kind::Open;
        for token in tokens {
            if token.kind == Kind::Close && last != Kind::Open && random.chance(60) {
                out.push(Token { kind: Kind::Comma, text: ",".to_owned() });
            }
            if token.kind != Kind::Space {
                last = token.kind;
            }
            out.push(token);
        }
        stopped(join(&out))
    }),
    ("missing comma", |random, value| {
        let mut tokens = write(random, value);
        let at = *random.pick(&positions(&tokens, Kind::Comma));
        if tokens.get(at + 1).is_none_or(|next| next.kind != Kind::Space) {
            tokens[at] = Token { kind: Kind::Space, text: " ".to_owned() };
        } else {
            tokens.remove(at);
        }
        stopped(join(&tokens))
    }),
    ("missing comma, nothing left", |random, value| {
        let mut tokens = write(random, value);
        let at = *random.pick(&positions(&tokens, Kind::Comma));
        let is_bare = |token: &Token| matches!(token.kind, Kind::Number | Kind::Word);
        if is_bare(&tokens[at - 1]) && is_bare(&tokens[at + 1]) {
            // `12,34` would become another number.
            return None;
        }
        tokens.remove(at);
        stopped(join(&tokens))
    }),
    ("missing commas, all", |random, value| {
        let mut tokens = write(random, value);
        for token in &mut tokens {
            if token.kind == Kind::Comma {
                token.text = " ".to_owned();
            }
        }
        stopped(join(&tokens))
    }),
    ("missing colon", |random, value| {
        let mut tokens = write(random, value);
        let at = *random.pick(&positions(&tokens, Kind::Colon));
        tokens[at].text = " ".to_owned();
        stopped(join(&tokens))
    }),
    ("single quotes", |random, value| stopped(join(&python(random, value, false)))),
    ("python literals", |random, value| {
        let mut tokens = write(random, value);
        python_words(&mut tokens);
        stopped(join(&tokens))
    }),
    ("python repr", |random, value| stopped(join(&python(random, value, true)))),
    ("unquoted keys", |random, value| {
        let mut tokens = write(random, value);
        for token in &mut tokens {
            if token.kind == Kind::Key && !token.text.contains('\\') {
                token.text = token.text.trim_matches('"').to_owned();
            }
        }
        stopped(join(&tokens))
    }),
    ("raw newlines", |random, value| {
        let mut tokens = write(random, value);
        for token in &mut tokens {
            if token.kind == Kind::Text {
                token.text = raw_controls(&token.text);
            }
        }
        stopped(join(&tokens))
    }),
    ("missing closers", |random, value| {
        let mut tokens = write(random, value);
        for _ in 0..=random.below(3) {
            while tokens.last().is_some_and(|token| token.kind == Kind::Space) {
                tokens.pop();
            }
            tokens.pop();
        }
        let tail = *random.pick(&["", "\n", "\n```", "\n</tool_call>"]);
        stopped(format!("{}{tail}", join(&tokens)))
    }),
    ("closer too many", |random, value| {
        let text = join(&write(random, value));
        stopped(format!("{text}{}", random.pick(&["}", "]", "]}", "}}", "\n}", " ] "])))
    }),
    ("call closer forgotten", |random, value| {
        // The closer of the last call is missing, those of the list and the envelope are there.
        let tokens = write(random, value);
        let closers: Vec<usize> = positions(&tokens, Kind::Close);
        let at = closers[closers.len() - 3];
        let mut tokens = tokens;
        tokens.remove(at);
        stopped(join(&tokens))
    }),
    ("byte order mark", |random, value| stopped(format!("\u{feff}{}", join(&write(random, value))))),
    ("crlf", |random, value| {
        let text = serde_json::to_string_pretty(value).unwrap();
        let _ = random.next();
        stopped(text.replace('\n', "\r\n"))
    }),
    ("odd spaces", |random, value| {
        let mut tokens = write(random, value);
        for _ in 0..=random.below(4) {
            let at = random.below(tokens.len() + 1);
            let text = *random.pick(&["\u{a0}", "\u{3000}", "\u{2009} ", "\u{200b}", "\u{202f}\u{a0}", "\u{2028}"]);
            tokens.insert(at, Token { kind: Kind::Space, text: text.to_owned() });
        }
        stopped(join(&tokens))
    }),
    ("smart quotes", |random, value| {
        let mut tokens = write(random, value);
        let inner = |text: &str| text[1..text.len() - 1].to_owned();
        for token in &mut tokens {
            if matches!(token.kind, Kind::Key | Kind::Text) {
                if inner(&token.text).contains(['“', '”']) {
                    return None;
                }
                token.text = format!("“{}”", inner(&token.text));
            }
        }
        stopped(join(&tokens))
    }),
    ("escaped whole", |random, value| {
        let text = join(&write(random, value));
        let escaped = serde_json::to_string(&text).unwrap();
        stopped(if random.chance(50) { escaped } else { escaped[1..escaped.len() - 1].to_owned() })
    }),
    ("escaped quotes", |random, value| {
        let text = join(&write(random, value));
        let escaped = text.replace('"', "\\\"");
        // Where both ways of undoing it make sense, they have to say the same.
        if text.contains("\\\\") || (text.contains('\\') && !text.contains("\\\"")) {
            return None;
        }
        stopped(format!("{}{escaped}", random.pick(&["", "Here: ", "\"", "```json\n"])))
    }),
    ("wide punctuation", |random, value| {
        let mut tokens = write(random, value);
        for token in &mut tokens {
            match token.kind {
                Kind::Comma if random.chance(40) => token.text = "，".to_owned(),
                Kind::Colon if random.chance(40) => token.text = "：".to_owned(),
                _ => {}
            }
        }
        stopped(join(&tokens))
    }),
    ("several at once", |random, value| {
        let mut tokens = write(random, value);
        python_words(&mut tokens);
        for token in &mut tokens {
            if token.kind == Kind::Key && random.chance(50) && !token.text.contains('\\') {
                token.text = token.text.trim_matches('"').to_owned();
            }
        }
        let comment = Token { kind: Kind::Space, text: " /* why */ ".to_owned() };
        tokens.insert(1, comment);
        let (open, close) = *random.pick(&WRAPPERS);
        let text = join(&tokens);
        stopped(format!("{}\n{open}{text}{close}\n{}", random.pick(&PROSE), random.pick(&PROSE)))
    }),
];

/// Kinds of damage that may or may not leave the meaning certain: right or refused, but never wrong.
pub const DOUBTFUL: [(&str, Make); 6] = [
    ("a bracket dropped", |random, value| drop_one(random, value, |kind| matches!(kind, Kind::Open | Kind::Close))),
    ("a bracket doubled", |random, value| double_one(random, value, |kind| matches!(kind, Kind::Open | Kind::Close))),
    ("a comma or colon doubled", |random, value| double_one(random, value, |kind| matches!(kind, Kind::Comma | Kind::Colon))),
    ("a quote dropped", |random, value| {
        let mut tokens = write(random, value);
        let mut places = positions(&tokens, Kind::Key);
        places.extend(positions(&tokens, Kind::Text));
        let token = &mut tokens[*random.pick(&places)].text;
        if random.chance(50) {
            token.remove(0);
        } else {
            token.pop();
        }
        stopped(join(&tokens))
    }),
    ("a closer of the other kind", |random, value| {
        let mut tokens = write(random, value);
        let at = *random.pick(&positions(&tokens, Kind::Close));
        let other = if tokens[at].text == "}" { "]" } else { "}" };
        tokens[at].text = other.to_owned();
        stopped(join(&tokens))
    }),
    ("two brackets dropped", |random, value| {
        let mut tokens = write(random, value);
        for _ in 0..2 {
            let at = *random.pick(&positions(&tokens, Kind::Close));
            tokens.remove(at);
        }
        stopped(join(&tokens))
    }),
];

fn drop_one(random: &mut Random, value: &Value, chosen: fn(Kind) -> bool) -> Option<Damaged> {
    let mut tokens = write(random, value);
    let places: Vec<usize> = (0..tokens.len()).filter(|at| chosen(tokens[*at].kind)).collect();
    tokens.remove(*random.pick(&places));
    stopped(join(&tokens))
}

fn double_one(random: &mut Random, value: &Value, chosen: fn(Kind) -> bool) -> Option<Damaged> {
    let mut tokens = write(random, value);
    let places: Vec<usize> = (0..tokens.len()).filter(|at| chosen(tokens[*at].kind)).collect();
    let at = *random.pick(&places);
    tokens.insert(at, tokens[at].clone());
    stopped(join(&tokens))
}

/// Kinds of damage that must be refused, because the meaning can only be guessed.
pub const REFUSED: [(&str, Make); 12] = [
    ("cut off anywhere, by length", |random, value| {
        let text = join(&write(random, value));
        let cut = boundary(&text, random.below(text.len()));
        Some(Damaged { text: text[..cut].to_owned(), stopped: false })
    }),
    ("cut off in a string", |random, value| cut_inside(random, value, Kind::Text)),
    ("cut off in a key", |random, value| cut_inside(random, value, Kind::Key)),
    ("cut off in a number", |random, value| {
        let tokens = write(random, value);
        let places = positions(&tokens, Kind::Number);
        let at = *random.pick(&places);
        let keep = 1 + random.below(tokens[at].text.len());
        stopped(format!("{}{}", join(&tokens[..at]), &tokens[at].text[..keep]))
    }),
    ("cut off in a literal", |random, value| cut_inside(random, value, Kind::Word)),
    ("two envelopes", |random, value| {
        let (first, second) = (join(&write(random, value)), join(&write(random, value)));
        let between = *random.pick(&["", "\n", ", ", " or maybe ", "\n```\n```json\n", "</tool_call><tool_call>", " // "]);
        stopped(format!("{first}{between}{second}"))
    }),
    ("two envelopes in a list", |random, value| {
        let (first, second) = (join(&write(random, value)), join(&write(random, value)));
        stopped(format!("[{first},{second}]"))
    }),
    ("duplicate key", |random, value| {
        let tokens = write(random, value);
        let at = *random.pick(&positions(&tokens, Kind::Key));
        let again = format!("{}:{},", tokens[at].text, random.pick(&["1", "\"x\"", "null", "{}"]));
        stopped(format!("{}{again}{}", join(&tokens[..at]), join(&tokens[at..])))
    }),
    ("only in reasoning", |random, value| {
        let (open, close) = *random.pick(&REASONING);
        let text = join(&write(random, value));
        let after = *random.pick(&["", "\nI will not call anything.", "\nDone {ok}."]);
        stopped(match random.below(3) {
            0 if !open.is_empty() => format!("{open}{text}"),
            _ => format!("{open}Maybe {text}{close}{after}"),
        })
    }),
    ("only in a tool result", |random, value| {
        let text = join(&write(random, value));
        stopped(format!("<tool_response>{text}</tool_response>\nThat is what it said."))
    }),
    ("nested quotes", |random, value| {
        let mut tokens = write(random, value);
        let places = positions(&tokens, Kind::Text);
        let at = *random.pick(places.get(2..).filter(|places| !places.is_empty())?);
        tokens[at].text = random
            .pick(&[
                "\"say \"hi\" now\"",
                "\"\"quoted\" start\"",
                "\"at the \"end\"\"",
                "\"a \"b\", \"c\" and d\"",
                "\"is \"true\" so\"",
                "\"size \"5\" ok\"",
                "\"x \", y\"",
                "\"with \"k\": \"v\" inside\"",
                "\"print(\"a\")\"",
                "\"<a href=\"x\">y</a>\"",
            ])
            .to_string();
        stopped(join(&tokens))
    }),
    ("apostrophes in single quotes", |random, value| {
        let mut tokens = python(random, value, false);
        let places = positions(&tokens, Kind::Text);
        let at = *random.pick(places.get(2..).filter(|places| !places.is_empty())?);
        tokens[at].text =
            random.pick(&["'it's'", "'the dogs' bowls'", "'rock 'n' roll'", "'a 'b', 'c' d'", "''tis'", "'the boys''"]).to_string();
        stopped(join(&tokens))
    }),
];

fn positions(tokens: &[Token], kind: Kind) -> Vec<usize> {
    tokens.iter().enumerate().filter(|(_, token)| token.kind == kind).map(|(index, _)| index).collect()
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn cut_inside(random: &mut Random, value: &Value, kind: Kind) -> Option<Damaged> {
    let tokens = write(random, value);
    let places = positions(&tokens, kind);
    if places.is_empty() {
        return None;
    }
    let at = *random.pick(&places);
    let text = &tokens[at].text;
    let keep = boundary(text, 1 + random.below(text.len() - 1)).max(1);
    stopped(format!("{}{}", join(&tokens[..at]), &text[..keep]))
}

fn fenced(random: &mut Random, value: &Value) -> String {
    let language = *random.pick(&["json", "", "JSON", "javascript", "tool_call"]);
    format!("```{language}\n{}\n```", join(&write(random, value)))
}

fn python_words(tokens: &mut [Token]) {
    for token in tokens {
        if token.kind == Kind::Word {
            token.text = match token.text.as_str() {
                "true" => "True",
                "false" => "False",
                _ => "None",
            }
            .to_owned();
        }
    }
}

fn python(random: &mut Random, value: &Value, words: bool) -> Vec<Token> {
    let mut tokens = write(random, value);
    for token in &mut tokens {
        if matches!(token.kind, Kind::Key | Kind::Text) {
            let text: String = serde_json::from_str(&token.text).unwrap();
            token.text = python_string(&text);
        }
    }
    if words {
        python_words(&mut tokens);
    }
    tokens
}

/// A JSON string with its control characters written raw.
fn raw_controls(json: &str) -> String {
    let mut out = String::new();
    let mut escaped = false;
    for character in json.chars() {
        if escaped {
            match character {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                other => out.extend(['\\', other]),
            }
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else {
            out.push(character);
        }
    }
    out
}
