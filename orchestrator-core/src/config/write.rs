//! Writes files that are not there yet: whole or not at all, and never over another.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::error::ConfigError;

/// Writes a new file, with its folders. Only its owner can read it: configurations may hold secrets.
///
/// # Errors
/// Fails when the file exists, or cannot be written; then nothing stands under its name.
pub fn write_new(file: &Path, text: &str) -> Result<(), ConfigError> {
    write(file, text).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => ConfigError::Exists { file: file.to_path_buf() },
        _ => ConfigError::NotWritten { file: file.to_path_buf(), source: Arc::new(source) },
    })
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if fs::symlink_metadata(file).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A name in the way of a folder is no file that exists already.
    fs::create_dir_all(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::new(io::ErrorKind::NotADirectory, format!("`{}` is no folder", folder.display())),
        _ => error,
    })?;
    let mut temporary = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist_noclobber(file)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_file_is_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a/b/config.yaml");
        write_new(&file, "first").unwrap();
        assert!(matches!(write_new(&file, "second"), Err(ConfigError::Exists { .. })));
        assert_eq!(fs::read_to_string(&file).unwrap(), "first");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_in_the_way_too() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config.yaml");
        std::os::unix::fs::symlink("nowhere", &file).unwrap();
        assert!(matches!(write_new(&file, "text"), Err(ConfigError::Exists { .. })));
        assert!(!home.path().join("nowhere").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("a"), "").unwrap();
        assert!(matches!(write_new(&home.path().join("a/config.yaml"), "text"), Err(ConfigError::NotWritten { .. })));
    }
}
