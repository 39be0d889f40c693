//! `orchestrator-faults [ROW…] [--count N] [--seed S]`: runs the fault table and prints it. `cargo xtask faults` calls it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is the table")]

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use orchestrator_tests::faults::{ROWS, Row, row, run, table};

/// What to try.
struct Order {
    rows: Vec<&'static Row>,
    count: Option<u32>,
    seed: u64,
}

fn main() -> ExitCode {
    let order = match parse(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    let mut reports = Vec::new();
    for row in order.rows {
        let count = order.count.unwrap_or(row.count);
        eprintln!("row {}: {} ({count} times; seed {}): {}", row.number, row.fault, order.seed, row.holds);
        let report = run(row, count, order.seed);
        for violation in &report.violations {
            eprintln!("--- the daemon's log\n{}---", violation.log);
            eprintln!("row {} violated with `--seed {} --count 1`: {}", row.number, violation.seed, violation.what);
        }
        eprintln!("row {}: {} of {} held, {} s", row.number, report.held(), report.tried, report.took.as_secs());
        reports.push(report);
    }
    println!("{}", table(&reports));
    if reports.iter().all(|report| report.violations.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Order, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut order = Order { rows: Vec::new(), count: None, seed: since.as_secs() };
    while let Some(argument) = arguments.next() {
        let mut number = |what: &str| -> Result<u64, String> {
            let text = arguments.next().ok_or_else(|| format!("`{what}` needs a number"))?;
            text.parse().map_err(|_| format!("`{what}` needs a number, not `{text}`"))
        };
        match argument.as_str() {
            "--count" => order.count = Some(u32::try_from(number("--count")?).map_err(|_| "`--count` is too large".to_owned())?),
            "--seed" => order.seed = number("--seed")?,
            text => {
                let found = text.parse().ok().and_then(row);
                order.rows.push(found.ok_or_else(|| format!("there is no row `{text}`; there are {}", numbers()))?);
            }
        }
    }
    if order.rows.is_empty() {
        order.rows.extend(&ROWS);
    }
    Ok(order)
}

fn numbers() -> String {
    ROWS.iter().map(|row| row.number.to_string()).collect::<Vec<_>>().join(", ")
}
