//! Writes the corpus: `corpus FOLDER SEED`. One file of tool sets, one file for each case with one text a line.
//!
//! Damage and random tools are those of the crate's own corruption test; the long and the hostile texts are made here.

#[path = "../../../../../orchestrator-toolcall/tests/corruption/damage.rs"]
mod damage;
#[path = "../../../../../orchestrator-toolcall/tests/corruption/random.rs"]
mod random;
#[path = "../../../../../orchestrator-toolcall/tests/corruption/tools.rs"]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use damage::{CERTAIN, DOUBTFUL, Damaged, Kind, REFUSED};
use random::Random;
use serde_json::{Value, json};

/// How many rounds of every kind of damage are judged.
const JUDGED: usize = 150;
/// The sizes of the long texts, in bytes.
const SIZES: [usize; 5] = [9_000, 30_000, 100_000, 300_000, 1_000_000];
/// The sizes of the hostile texts, in bytes.
const HOSTILE_SIZES: [usize; 2] = [25_000, 100_000];
/// Hostile texts: a beginning, and what comes again and again.
const HOSTILE: [(&str, &str, &str); 10] = [
    ("brackets", "", "["),
    ("objects", "", "{\"a\":"),
    ("quotes", "", "\""),
    ("backslashes", "{\"a\": \"", "\\"),
    ("apostrophes", "{a: '", "', '"),
    ("comments", "{", "/*"),
    ("fences", "", "```json\n"),
    ("envelopes_begun", "", "{\"v\":1,\"type\":\"tool_calls\",\"calls\":["),
    ("braces", "", "{a} "),
    ("commas", "[", "1,,"),
];

struct Corpus {
    folder: PathBuf,
    random: Random,
    sets: Vec<Value>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let seed = arguments[2].parse().expect("a number");
    let mut corpus = Corpus { folder: Path::new(&arguments[1]).to_owned(), random: Random::new(seed), sets: Vec::new() };
    corpus.typical();
    corpus.long();
    corpus.hostile();
    corpus.judged();
    fs::write(corpus.folder.join("tools.json"), Value::from(corpus.sets).to_string()).expect("the folder can be written");
}

fn line(text: &str, stopped: bool, tools: usize, expected: Option<&Value>) -> Value {
    json!({"text": text, "stopped": stopped, "tools": tools, "expected": expected})
}

fn damaged_line(damaged: &Damaged, tools: usize, expected: Option<&Value>) -> Value {
    line(&damaged.text, damaged.stopped, tools, expected)
}

impl Corpus {
    fn save(&self, case: &str, lines: &[Value]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(self.folder.join(format!("{case}.jsonl")), text).expect("the folder can be written");
    }

    /// Envelopes of about 220 bytes: clean, with unquoted keys, and with every kind of certain damage.
    fn typical(&mut self) {
        let (mut clean, mut unquoted, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        while clean.len() < 128 {
            let described = tools::tools(&mut self.random);
            let index = self.sets.len();
            let envelopes: Vec<Value> = (0..400)
                .map(|_| tools::envelope(&mut self.random, &described))
                .filter(|envelope| (200..=240).contains(&envelope.to_string().len()))
                .take(16)
                .collect();
            if envelopes.len() < 16 {
                continue;
            }
            self.sets.push(described);
            for envelope in &envelopes {
                clean.push(line(&envelope.to_string(), true, index, Some(envelope)));
                if clean.len() % 8 != 1 {
                    continue;
                }
                for (name, make) in &CERTAIN {
                    let Some(damaged) = make(&mut self.random, envelope) else { continue };
                    match *name {
                        "clean" => {}
                        "unquoted keys" => unquoted.push(damaged_line(&damaged, index, Some(envelope))),
                        _ => mixed.push(damaged_line(&damaged, index, Some(envelope))),
                    }
                }
            }
        }
        self.save("clean", &clean);
        self.save("unquoted", &unquoted);
        self.save("mixed", &mixed);
    }

    /// One call with many records, damaged all along.
    fn long(&mut self) {
        let record = json!({"type": "object", "required": ["id", "name"], "additionalProperties": false, "properties": {
            "id": {"type": "integer"}, "name": {"type": "string"}, "price": {"type": "number"}, "active": {"type": "boolean"},
            "note": {"type": ["string", "null"]}, "tags": {"type": "array", "items": {"type": "string"}},
            "address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"enum": ["Paris", "Łódź", "東京"]}}}
        }});
        let parameters = json!({"type": "object", "properties": {"records": {"type": "array", "items": record}}, "required": ["records"]});
        let index = self.sets.len();
        self.sets.push(json!([{"type": "function", "function": {"name": "store", "parameters": parameters}}]));
        for size in SIZES {
            let mut records = Vec::new();
            let mut length = 0;
            while length < size {
                let record = self.record(records.len());
                length += record.to_string().len() + 1;
                records.push(record);
            }
            let envelope = json!({"v": 1, "type": "tool_calls", "calls": [{"name": "store", "arguments": {"records": records}}]});
            let text = format!("Storing them:\n```json\n{}\n```", self.spoil(&envelope));
            self.save(&format!("long_{size}"), &[line(&text, true, index, Some(&envelope))]);
        }
    }

    fn record(&mut self, id: usize) -> Value {
        const NOTES: [&str; 4] = ["it's the second, not the first", "says \"fragile\"", "keep {cold}: 4 °C", "line one\nline two"];
        let note = if self.random.chance(30) { Value::Null } else { json!(self.random.pick(&NOTES)) };
        json!({
            "id": id, "name": self.random.pick(&["bolt M4", "größere Mutter", "ネジ", "washer, flat"]), "active": self.random.chance(50),
            "price": f64::from(u32::try_from(self.random.below(100_000)).expect("it is small")) / 100.0,
            "note": note, "tags": ["steel", "a/b", self.random.pick(&["", "x: y", "[z]"])],
            "address": {"street": "Rue de l'Église 5", "city": self.random.pick(&["Paris", "Łódź", "東京"])}
        })
    }

    /// Writes a value with unquoted keys, Python's words, commas at the end and comments, everywhere.
    fn spoil(&mut self, value: &Value) -> String {
        let mut text = String::new();
        let mut last = Kind::Open;
        for token in damage::write(&mut self.random, value) {
            match token.kind {
                Kind::Key if self.random.chance(50) => text.push_str(token.text.trim_matches('"')),
                Kind::Word => text.push_str(match token.text.as_str() {
                    "true" => "True",
                    "false" => "False",
                    _ => "None",
                }),
                Kind::Close => {
                    if last != Kind::Open && self.random.chance(20) {
                        text.push(',');
                    }
                    text.push_str(&token.text);
                }
                // One way of laying out, so that texts of all sizes are alike.
                Kind::Space => text.push(' '),
                Kind::Comma if self.random.chance(2) => text.push_str(", // next\n"),
                _ => text.push_str(&token.text),
            }
            if token.kind != Kind::Space {
                last = token.kind;
            }
        }
        text
    }

    fn hostile(&mut self) {
        for (name, start, again) in HOSTILE {
            for size in HOSTILE_SIZES {
                let mut text = start.to_owned();
                text.push_str(&again.repeat(size / again.len()));
                self.save(&format!("hostile_{name}_{size}"), &[line(&text, true, 0, None)]);
            }
        }
    }

    /// Every kind of damage to random envelopes of random tools.
    fn judged(&mut self) {
        let (mut certain, mut doubtful, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..JUDGED {
            let described = tools::tools(&mut self.random);
            let index = self.sets.len();
            let envelope = tools::envelope(&mut self.random, &described);
            self.sets.push(described);
            let groups: [(&[(&str, _)], &mut Vec<Value>); 3] =
                [(&CERTAIN, &mut certain), (&DOUBTFUL, &mut doubtful), (&REFUSED, &mut refused)];
            for (kinds, lines) in groups {
                for (_, make) in kinds {
                    let make: fn(&mut Random, &Value) -> Option<Damaged> = *make;
                    lines.extend(make(&mut self.random, &envelope).map(|damaged| damaged_line(&damaged, index, Some(&envelope))));
                }
            }
        }
        self.save("judged_certain", &certain);
        self.save("judged_doubtful", &doubtful);
        self.save("judged_refused", &refused);
    }
}
