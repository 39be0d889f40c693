#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::StatusCode;
use orchestrator_core::InstanceName;

use super::families::{ALL, Kind};
use super::observer::{Counts, InstanceCounts};
use super::snapshot::{InstanceRow, QueueRow, Snapshot};
use super::{Outcome, Route, reference, report};
use crate::gateway::{Stations, Tokens};

/// A metric as a strict reader finds it.
#[derive(Debug, Default)]
struct Found {
    kind: String,
    /// Name and labels as they stand there, and the value.
    samples: BTreeMap<String, f64>,
}

/// Reads the text format and refuses whatever is not quite right in it.
fn read(text: &str) -> BTreeMap<String, Found> {
    assert!(text.ends_with('\n'));
    let mut all: BTreeMap<String, Found> = BTreeMap::new();
    let mut present = String::new();
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            assert!(helped.contains(name) && !all.contains_key(name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            all.insert(name.to_owned(), Found { kind: kind.to_owned(), samples: BTreeMap::new() });
            name.clone_into(&mut present);
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let name = key.split('{').next().unwrap();
            let suffix = name.strip_prefix(&present).unwrap_or_else(|| panic!("{line} is not below its head"));
            let found = all.get_mut(&present).unwrap();
            let is_histogram = found.kind == "histogram";
            assert_eq!(matches!(suffix, "_bucket" | "_sum" | "_count"), is_histogram, "{line}");
            assert!(is_histogram || suffix.is_empty(), "{line}");
            if let Some(labels) = key.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                check_labels(labels.strip_prefix('{').and_then(|labels| labels.strip_suffix('}')).unwrap());
            }
            assert!(found.samples.insert(key.to_owned(), value.parse().unwrap()).is_none(), "{line} is there twice");
        }
    }
    all
}

/// Reads `name="value",…` with its escapes.
fn check_labels(text: &str) {
    let mut rest = text;
    loop {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{text}");
        let mut end = None;
        let mut characters = value.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => assert!(matches!(characters.next(), Some((_, '\\' | '"' | 'n'))), "{text}"),
                '"' => {
                    end = Some(at);
                    break;
                }
                _ => assert_ne!(character, '\n'),
            }
        }
        rest = &value[end.unwrap() + 1..];
        if rest.is_empty() {
            return;
        }
        rest = rest.strip_prefix(',').unwrap();
    }
}

/// Everything that can be told, at least once.
fn everything() -> String {
    let stations = Stations::default();
    let meters = &stations.of(&InstanceName::try_new("m").unwrap()).meters;
    meters.enter();
    meters.wait.add(Duration::from_millis(1));
    meters.first_byte.add(Duration::from_millis(7));
    meters.count(Some(Tokens { prompt: 3, completion: 5 }));
    meters.ended(Route::Chat, Outcome::of(StatusCode::OK), Duration::from_secs(3));
    meters.ended(Route::Chat, Outcome::Aborted, Duration::from_secs(700));
    stations.nowhere().meters.ended(Route::Other, Outcome::of(StatusCode::NOT_FOUND), Duration::ZERO);
    let mut counts = Counts::default();
    counts.events.insert("warning".to_owned(), 2);
    let mut instance = InstanceCounts::default();
    instance.starts = 4;
    instance.loads.add(Duration::from_secs(2));
    instance.failures.insert("signal".to_owned(), 3);
    instance.restarts.insert("signal".to_owned(), 3);
    counts.instances.insert("m".to_owned(), instance);
    let row = InstanceRow { name: "m".to_owned(), state: "ready".to_owned(), memory_bytes: Some(1 << 20) };
    let queue = QueueRow { name: "demo".to_owned(), waiting: 3, memory: vec![("host".to_owned(), 4_096)] };
    let snapshot = Snapshot {
        instances: vec![row],
        queues: vec![queue],
        budget: vec![("host".to_owned(), 8_192)],
        resident_bytes: Some(9_000_000),
        descriptors: Some(20),
        ..Snapshot::default()
    };
    report::write(&stations, &counts, &snapshot, 1.5)
}

#[test]
fn every_metric_is_told_in_a_format_that_a_strict_reader_takes() {
    let text = everything();
    let found = read(&text);
    let names: Vec<_> = ALL.iter().map(|family| family.name).collect();
    for name in &names {
        assert!(found.contains_key(*name) && !found[*name].samples.is_empty(), "{name} is missing in\n{text}");
    }
    assert_eq!(found.len(), names.len());
    for family in ALL {
        assert_eq!(found[family.name].kind, family.kind.as_str());
    }
}

#[test]
fn values_are_what_was_counted() {
    let found = read(&everything());
    let value = |family: &str, key: &str| found[family].samples.get(key).copied();
    let requests = "orchestrator_requests_total";
    assert_eq!(value(requests, &format!("{requests}{{instance=\"m\",route=\"/v1/chat/completions\",outcome=\"2xx\"}}")), Some(1.0));
    assert_eq!(value(requests, &format!("{requests}{{instance=\"m\",route=\"/v1/chat/completions\",outcome=\"aborted\"}}")), Some(1.0));
    assert_eq!(value(requests, &format!("{requests}{{instance=\"\",route=\"other\",outcome=\"4xx\"}}")), Some(1.0));
    let state = "orchestrator_instance_state";
    assert_eq!(value(state, &format!("{state}{{instance=\"m\",state=\"ready\"}}")), Some(1.0));
    assert_eq!(value(state, &format!("{state}{{instance=\"m\",state=\"failed\"}}")), Some(0.0));
    let circuit = "orchestrator_circuit_state";
    assert_eq!(value(circuit, &format!("{circuit}{{instance=\"m\",state=\"closed\"}}")), Some(1.0));
    assert_eq!(value("orchestrator_completion_tokens_total", "orchestrator_completion_tokens_total{instance=\"m\"}"), Some(5.0));
}

#[test]
fn buckets_rise_up_to_the_count() {
    let text = everything();
    for family in ALL.iter().filter(|family| family.kind == Kind::Histogram) {
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&format!("{}_", family.name))).collect();
        let value = |line: &&str| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
        let buckets: Vec<f64> = lines.iter().filter(|line| line.contains("_bucket{")).map(value).collect();
        assert!(buckets.is_sorted() && lines.iter().any(|line| line.contains("le=\"+Inf\"")), "{}", family.name);
        let count = lines.iter().find(|line| line.contains("_count{")).map(value);
        assert_eq!(buckets.last().copied(), count, "{}", family.name);
    }
}

#[test]
fn what_a_name_holds_is_escaped() {
    let mut text = super::text::Text::default();
    text.family(&super::families::OPENINGS, [(vec!["a\"b\\c\nd"], super::text::Value::Whole(1))]);
    let text = text.finish();
    assert!(text.contains(r#"{instance="a\"b\\c\nd"} 1"#), "{text}");
    read(&text);
}

#[test]
fn the_page_names_every_metric_with_its_labels() {
    let page = reference();
    for family in ALL {
        assert!(page.contains(&format!("| `{}` | {} |", family.name, family.kind.as_str())), "{}", family.name);
        assert!(family.labels.iter().all(|label| page.contains(&format!("`{label}`"))));
        assert!(!family.help.contains('|') && family.help.ends_with('.'), "{}", family.name);
    }
}
