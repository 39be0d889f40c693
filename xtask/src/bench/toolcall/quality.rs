//! Who reads damaged texts right: the correctness that stands beside the speed.

use std::fs;

use orchestrator_toolcall::{ToolSet, schema::Validator};
use serde_json::Value;

use super::driver::{Driver, Failure, Judged};
use super::environment::Environment;
use crate::shell::TaskResult;

/// The groups of texts, and what is asked of a reader.
const GROUPS: [(&str, &str); 3] = [
    ("judged_certain", "the meaning is certain: to be read right"),
    ("judged_refused", "the meaning can only be guessed: to be refused"),
    ("judged_doubtful", "may be certain or not: right or refused"),
];

#[derive(Default)]
struct Count {
    right: usize,
    wrong: usize,
    /// Of the wrong ones, those that match the schemas of the tools: validation does not save anybody from them.
    wrong_and_valid: usize,
    refused: usize,
    crashes: usize,
    timeouts: usize,
}

pub(super) fn run(environment: &mut Environment) -> TaskResult {
    let tools = read(environment, "tools.json")?;
    let tools: Vec<Value> = serde_json::from_str(&tools).map_err(|error| format!("the corpus cannot be read: {error}"))?;
    for (case, wanted) in GROUPS {
        let text = read(environment, &format!("{case}.jsonl"))?;
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        println!("\n{} texts; {wanted}\n", lines.len());
        println!("| | right | silently wrong | of them valid for the tools | refused | crashes | timeouts |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for driver in &mut environment.drivers {
            let count = count(driver, case, &lines, &tools)?;
            println!("| {} | {} |", driver.name, count.row(lines.len()));
        }
    }
    Ok(())
}

fn count(driver: &mut Driver, case: &str, lines: &[Value], tools: &[Value]) -> TaskResult<Count> {
    let mut count = Count::default();
    for (line, judged) in lines.iter().zip(driver.judge(case, lines.len())?) {
        count.add(line, judged, tools)?;
    }
    Ok(count)
}

impl Count {
    fn add(&mut self, line: &Value, judged: Judged, tools: &[Value]) -> TaskResult {
        match judged {
            Err(Failure::Crash) => self.crashes += 1,
            Err(Failure::Timeout) => self.timeouts += 1,
            Ok(None) => self.refused += 1,
            // What no JSON reader reads does not get far.
            Ok(Some(answer)) => match serde_json::from_str::<Value>(&answer.read) {
                Err(_) => self.refused += 1,
                Ok(value) if same(&value, &line["expected"]) => self.right += 1,
                Ok(value) => {
                    self.wrong += 1;
                    let set = line["tools"].as_u64().and_then(|index| tools.get(usize::try_from(index).ok()?)).unwrap_or(&Value::Null);
                    let schema = ToolSet::from_openai(set).map_err(|error| error.to_string())?.full_schema();
                    let validator = Validator::new(&schema).map_err(|error| error.to_string())?;
                    self.wrong_and_valid += usize::from(validator.is_valid(&value));
                }
            },
        }
        Ok(())
    }

    fn row(&self, total: usize) -> String {
        #[expect(clippy::cast_precision_loss, reason = "counts of a few thousand")]
        let share = |part: usize| format!("{part} ({:.1} %)", 100.0 * part as f64 / total.max(1) as f64);
        let Self { right, wrong, wrong_and_valid, refused, crashes, timeouts } = self;
        format!("{} | {} | {wrong_and_valid} | {} | {crashes} | {timeouts}", share(*right), share(*wrong), share(*refused))
    }
}

/// Compares as JSON does: `1` and `1.0` are one number, the order of keys does not matter.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => {
            one == other
                || ((one.is_f64() || other.is_f64())
                    && one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one.total_cmp(&other).is_eq()))
        }
        (Value::Array(one), Value::Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other)),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, member)| other.get(key).is_some_and(|found| same(member, found)))
        }
        _ => left == right,
    }
}

fn read(environment: &Environment, file: &str) -> TaskResult<String> {
    let path = environment.corpus.join(file);
    fs::read_to_string(&path).map_err(|error| format!("could not read `{}`: {error}", path.display()))
}
