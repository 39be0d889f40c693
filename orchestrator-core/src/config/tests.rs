//! The samples of `tests/configs`, and input that nobody would write.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

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
    Instance(InstanceSpec),
    Daemon(DaemonConfig),
}

fn load(file: &Path) -> Result<Loaded, ConfigError> {
    if name(file).starts_with("daemon-") {
        load_daemon_config(file).map(Loaded::Daemon)
    } else {
        load_instance(file, Naming::Free).map(Loaded::Instance)
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
                assert_eq!(parse_instance(&text, &file, Naming::Free).unwrap(), spec, "{}", file.display());
                assert_eq!(serde_json::from_str::<InstanceSpec>(&text).unwrap(), spec, "{}", file.display());
            }
            Loaded::Daemon(config) => {
                let text = serde_json::to_string(&config).unwrap();
                assert_eq!(parse_daemon_config(&text, &file).unwrap(), config, "{}", file.display());
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
