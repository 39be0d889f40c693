//! How a file becomes a configuration: read (bounded), parse, compare with the schema, make paths absolute, make it
//! typed, check across keys. All faults that one step finds are reported together.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::conform::{conform, join};
use super::error::{ConfigError, ConfigFault, Position};
use super::shape;
use super::tree::{self, Node, Value};
use super::{DaemonConfig, check, resolve};
use crate::instance::InstanceSpec;
use crate::names::InstanceName;

/// The largest configuration file that is read, in bytes.
pub const LARGEST_FILE: usize = 1 << 20;

/// What the `name` inside an instance's file must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming<'a> {
    /// The name of the folder the file lies in.
    Folder(&'a InstanceName),
    /// Any valid name: the file does not lie at its place in a home.
    Free,
}

/// Reads the configuration of an instance. Its model reference comes back absolute.
///
/// # Errors
/// Fails when the file is missing, unreadable or larger than [`LARGEST_FILE`], or holds something that is not allowed.
pub fn load_instance(file: &Path, naming: Naming<'_>) -> Result<InstanceSpec, ConfigError> {
    parse_instance(&read_text(file)?, file, naming)
}

/// Makes the configuration of an instance from the text of `file`, which is not touched.
///
/// # Errors
/// Fails when the text holds something that is not allowed.
pub fn parse_instance(text: &str, file: &Path, naming: Naming<'_>) -> Result<InstanceSpec, ConfigError> {
    let folder = folder_of(file)?;
    let mut tree = parse_tree(text, file)?;
    if tree.value == Value::Null {
        let fault = ConfigFault::new(None, "", "the file is empty").with_hint("`orch init NAME --model REF` writes a file to start from");
        return Err(ConfigError::invalid(file, vec![fault]));
    }
    let mut faults = conform(&mut tree, &shape::INSTANCE);
    faults.extend(resolve::instance_paths(&mut tree, &folder));
    let spec: InstanceSpec = finish(&tree, file, faults)?;
    let faults = check::instance(&spec, &tree, naming);
    if faults.is_empty() { Ok(spec) } else { Err(ConfigError::invalid(file, faults)) }
}

/// Reads the daemon's configuration. A file that is missing or empty is one without keys.
///
/// # Errors
/// Fails when the file is unreadable or larger than [`LARGEST_FILE`], or holds something that is not allowed.
pub fn load_daemon_config(file: &Path) -> Result<DaemonConfig, ConfigError> {
    match read_text(file) {
        Ok(text) => parse_daemon_config(&text, file),
        Err(ConfigError::NotFound { .. }) => Ok(DaemonConfig::default()),
        Err(error) => Err(error),
    }
}

/// Makes the daemon's configuration from the text of `file`, which is not touched.
///
/// # Errors
/// Fails when the text holds something that is not allowed.
pub fn parse_daemon_config(text: &str, file: &Path) -> Result<DaemonConfig, ConfigError> {
    let mut tree = parse_tree(text, file)?;
    if tree.value == Value::Null {
        return Ok(DaemonConfig::default());
    }
    let faults = conform(&mut tree, &shape::DAEMON);
    let config = finish(&tree, file, faults)?;
    let faults = check::daemon(&config, &tree);
    if faults.is_empty() { Ok(config) } else { Err(ConfigError::invalid(file, faults)) }
}

/// Parses a text that was read from `file`.
pub(super) fn parse_tree(text: &str, file: &Path) -> Result<Node, ConfigError> {
    if text.len() > LARGEST_FILE {
        return Err(too_large(file));
    }
    tree::parse(text).map_err(|fault| ConfigError::invalid(file, vec![fault]))
}

fn finish<T: DeserializeOwned>(tree: &Node, file: &Path, faults: Vec<ConfigFault>) -> Result<T, ConfigError> {
    if !faults.is_empty() {
        return Err(ConfigError::invalid(file, faults));
    }
    tree::deserialize(tree).map_err(|error| {
        let path =
            error.path().iter().fold(String::new(), |path, part| if part.starts_with('[') { path + part } else { join(&path, part) });
        let message = shorten_message(&error.message);
        let message = if path.is_empty() { message } else { format!("`{path}`: {message}") };
        ConfigError::invalid(file, vec![ConfigFault::new(error.at, path, message)])
    })
}

fn shorten_message(message: &str) -> String {
    message.chars().take(300).map(|character| if character.is_control() { '·' } else { character }).collect()
}

fn folder_of(file: &Path) -> Result<PathBuf, ConfigError> {
    let absolute = std::path::absolute(file).map_err(|source| unreadable(file, source))?;
    Ok(absolute.parent().map(Path::to_path_buf).unwrap_or(absolute))
}

/// Reads a text file of bounded size.
pub(super) fn read_text(file: &Path) -> Result<String, ConfigError> {
    let bytes = read_bounded(file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ConfigError::NotFound { file: file.to_path_buf() },
        _ => unreadable(file, source),
    })?;
    if bytes.len() > LARGEST_FILE {
        return Err(too_large(file));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let at = position_of(&error.as_bytes()[..good]);
        let fault = ConfigFault::new(Some(at), "", "the text is not UTF-8").with_hint("save the file with the encoding UTF-8");
        ConfigError::invalid(file, vec![fault])
    })
}

// Anything but a regular file is refused before it is opened: opening a pipe would wait for its writer.
fn read_bounded(file: &Path) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(file)?;
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn position_of(before: &[u8]) -> Position {
    let text = String::from_utf8_lossy(before);
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: small(line), column: small(column) }
}

fn too_large(file: &Path) -> ConfigError {
    let fault = ConfigFault::new(None, "", "the file is larger than 1 MiB")
        .with_hint("a configuration is a few kilobytes: is this the right file?");
    ConfigError::invalid(file, vec![fault])
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> ConfigError {
    ConfigError::Unreadable { path: path.to_path_buf(), source: Arc::new(source) }
}
