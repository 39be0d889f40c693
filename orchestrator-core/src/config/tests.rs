//! The samples of `tests/configs`, and input that nobody would write.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::load::{Naming, load_daemon_config, load_instance, parse_daemon_config, parse_instance};
use super::{ConfigError, DaemonConfig};
use crate::error::Problem;
use crate::instance::InstanceSpec;

fn samples(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/configs").join(kind);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 5, "the samples are missing");
    files
}

fn name(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
}

enum Loaded {
    Instance(Box<InstanceSpec>),
    Daemon(Box<DaemonConfig>),
}

fn load(file: &Path) -> Result<Loaded, ConfigError> {
    if name(file).starts_with("daemon-") {
        load_daemon_config(file).map(|config| Loaded::Daemon(Box::new(config)))
    } else {
        load_instance(file, Naming::Free).map(Box::new).map(Loaded::Instance)
    }
}

/// Shows an error as the command line does.
fn render(error: &ConfigError, folder: &Path) -> String {
    let problem = Problem::from_error(error);
    let mut text = format!("error: {}\n", problem.title);
    for cause in &problem.causes {
        writeln!(text, "  {cause}").unwrap();
    }
    if let Some(hint) = &problem.hint {
        writeln!(text, "hint: {hint}").unwrap();
    }
    text.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn every_valid_sample_loads_and_survives_a_round_trip() {
    for file in samples("valid") {
        match load(&file).unwrap_or_else(|error| panic!("{}: {}", file.display(), render(&error, Path::new("/")))) {
            Loaded::Instance(spec) => {
                assert!(spec.model.reference.as_file().is_none_or(Path::is_absolute), "{}", file.display());
                let text = serde_json::to_string(&spec).unwrap();
                assert_eq!(parse_instance(&text, &file, Naming::Free).unwrap(), *spec, "{}", file.display());
                assert_eq!(serde_json::from_str::<InstanceSpec>(&text).unwrap(), *spec, "{}", file.display());
            }
            Loaded::Daemon(config) => {
                let text = serde_json::to_string(&config).unwrap();
                assert_eq!(parse_daemon_config(&text, &file).unwrap(), *config, "{}", file.display());
            }
        }
    }
}

#[test]
fn every_invalid_sample_is_refused_with_a_message_that_helps() {
    let mut text = String::new();
    for file in samples("invalid") {
        let error = load(&file).err().unwrap_or_else(|| panic!("{} was accepted", file.display()));
        let rendered = render(&error, file.parent().unwrap());
        assert!(!rendered.chars().any(|character| character.is_control() && character != '\n'), "{rendered:?}");
        writeln!(text, "── {}\n{rendered}", name(&file)).unwrap();
    }
    insta::assert_snapshot!(text);
}

/// Whatever the text, reading it ends, and ends with a value or with faults that can be shown.
fn survives(text: &str) {
    let file = Path::new("/home/instances/a/config.yaml");
    for error in [parse_instance(text, file, Naming::Free).err(), parse_daemon_config(text, file).err()].into_iter().flatten() {
        let shown = format!("{error} {:?}", Problem::from_error(&error));
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}

fn sample_text() -> impl Strategy<Value = String> {
    let texts: Vec<String> = samples("valid")
        .into_iter()
        .chain(samples("invalid"))
        .map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned())
        .collect();
    proptest::sample::select(texts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in ".{0,400}") {
        survives(&text);
    }

    #[test]
    fn texts_made_of_what_yaml_is_made_of_are_survived(text in r#"([a-z]{1,3}|[:\-#&*!|>'"%@`{}\[\],?\n\t ~<]|: |- |\n  |<<: |0x|1e9){0,120}"#) {
        survives(&text);
    }

    #[test]
    fn damaged_samples_are_survived(
        text in sample_text(),
        cut in any::<proptest::sample::Index>(),
        length in 0..8_usize,
        put in prop_oneof![Just(String::new()), Just("\u{0}".into()), Just("*a".into()), Just("&a ".into()), Just("\n".into()), Just("[".into()), any::<char>().prop_map(String::from)],
    ) {
        let characters: Vec<char> = text.chars().collect();
        let at = cut.index(characters.len() + 1);
        let end = (at + length).min(characters.len());
        let damaged: String = characters[..at].iter().copied().chain(put.chars()).chain(characters[end..].iter().copied()).collect();
        survives(&damaged);
    }

    #[test]
    fn any_value_survives_being_written_as_a_template_writes_it(text in ".{0,40}", number in any::<i64>()) {
        let value = serde_json::json!([text, { "key": text }, number, true]);
        let written = super::template::inline(&value);
        prop_assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&written).unwrap(), value, "{}", written);
    }
}

#[test]
fn a_fault_inside_a_typed_value_still_names_its_key() {
    // The schema says nothing about this one; the type does.
    let text = "name: a\nmodel: { ref: hf:o/r }\nrequest:\n  set: { a: 1 }\n  strip: [x]\nserver:\n  host: \"::1%eth0\"\n";
    let error = parse_instance(text, Path::new("config.yaml"), Naming::Free).unwrap_err();
    assert_eq!(error.faults()[0].key, "server.host");
    assert_eq!(error.faults()[0].at.map(|at| at.line), Some(7));
}

#[test]
fn a_missing_daemon_configuration_is_one_without_keys() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(load_daemon_config(&home.path().join("config.yaml")).unwrap(), DaemonConfig::default());
    assert!(matches!(load_instance(&home.path().join("config.yaml"), Naming::Free), Err(ConfigError::NotFound { .. })));
}

#[test]
fn a_file_full_of_faults_is_answered_with_the_first_of_them() {
    let keys = (0..5_000).map(|number| format!("key{number}: 1\n")).collect::<Vec<_>>().concat();
    let variables = (0..5_000).map(|number| format!("  key-{number}: x\n")).collect::<Vec<_>>().concat();
    for text in [keys, format!("name: a\nmodel: {{ path: /m }}\nenv:\n{variables}")] {
        let error = parse_instance(&text, Path::new("config.yaml"), Naming::Free).unwrap_err();
        assert_eq!(error.to_string(), "`config.yaml` has 50 faults or more");
        assert_eq!(error.faults().len(), 50);
    }
}
