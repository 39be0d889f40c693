//! What every driver does, in whatever language: it is started once with the folder of the corpus, and then told
//! by lines on its standard input what to do.
//!
//! `time CASE PASSES` goes through all texts of the case that often and answers with two numbers of nanoseconds: on the
//! monotonic clock, and of processor time.
//! `judge CASE FROM` answers with one line for each text from that one on, and then with `end`: `null` where the
//! text is refused, `{"read": "…"}` with the JSON that it was read as otherwise.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Serves one way of reading texts until the input ends.
pub fn serve<Text, Read>(load: impl Fn(&Value) -> Text, read: impl Fn(&Text) -> Option<Read>, show: impl Fn(Read) -> String) {
    let folder = std::env::args().nth(1).expect("the folder of the corpus");
    let mut cases: HashMap<String, Vec<Text>> = HashMap::new();
    for line in stdin().lock().lines() {
        let line = line.expect("a line");
        let words: Vec<&str> = line.split(' ').collect();
        let (command, case, number) = (words[0], words[1], words[2].parse::<usize>().expect("a number"));
        let texts = cases.entry(case.to_owned()).or_insert_with(|| {
            let file = std::fs::read_to_string(Path::new(&folder).join(format!("{case}.jsonl"))).expect("the case is in the corpus");
            file.lines().map(|line| load(&serde_json::from_str(line).expect("a line of JSON"))).collect()
        });
        if command == "judge" {
            for text in &texts[number..] {
                let answer = read(text).map_or(Value::Null, |read| json!({"read": show(read)}));
                println!("{answer}");
            }
            println!("end");
        } else {
            let (begun, used) = (Instant::now(), processor_time());
            for _ in 0..number {
                for text in texts.iter() {
                    black_box(read(black_box(text)));
                }
            }
            println!("{} {}", begun.elapsed().as_nanos(), (processor_time() - used).as_nanos());
        }
        stdout().flush().expect("somebody reads");
    }
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("it is positive")
}
