//! Many connections, each with one request under way all the time.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::crowd::Crowd;
use crate::request;

pub(crate) fn run(address: &str, model: &str, connections: usize, time: Duration) -> Value {
    let body =
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Say something short about bridges."}}],"max_tokens":16}}"#);
    let request = request(address, &body);
    let mut crowd = Crowd::connect(address, connections);
    let mut answers: Vec<Answer> = (0..connections).map(|_| Answer::new()).collect();
    for number in 0..connections {
        crowd.send(number, &request);
    }
    let mut requests = 0_u64;
    let begun = Instant::now();
    crowd.read_until(begun + time, |stream, number, bytes| {
        let answer = &mut answers[number];
        answer.take(bytes, |_| {});
        if answer.is_whole() {
            requests += 1;
            answer.clear();
            stream.write_all(&request).unwrap();
        }
    });
    json!({ "count": requests, "seconds": begun.elapsed().as_secs_f64() })
}
