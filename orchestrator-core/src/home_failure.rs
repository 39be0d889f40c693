//! What keeps a file of the home from being read or written, and what a person can do about it.
//!
//! Every part of the home fails in the same few ways; this says them once.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::ErrorCode;

/// Returns the code of a failure to use a file of the home.
#[must_use]
pub fn code(source: &io::Error) -> ErrorCode {
    if is_full(source) { ErrorCode::DiskFull } else { ErrorCode::HomeUnusable }
}

/// Returns the way out of a failure to use `path`, a file of the home. Looks at the disk for what stands in the way.
#[must_use]
pub fn way_out(path: &Path, source: &io::Error) -> String {
    let another = "or choose another home with `--home DIR`";
    if is_full(source) {
        return format!("free some space on the disk of `{}`, {another}", path.display());
    }
    let nearest = path.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()).unwrap_or(path);
    match source.kind() {
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            format!("`{}` stands where a folder is needed: move it away, {another}", nearest.display())
        }
        ErrorKind::PermissionDenied => format!("give yourself the right to write to `{}`, {another}", nearest.display()),
        ErrorKind::ReadOnlyFilesystem => {
            format!("the disk of `{}` is read-only: make it writable, {another}", nearest.display())
        }
        _ => format!("check that `{}` can be written and has free space, {another}", path.display()),
    }
}

fn is_full(source: &io::Error) -> bool {
    matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn the_way_out_names_what_stands_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let below = file.join("state/x");
        let error = std::fs::create_dir_all(&below).unwrap_err();
        assert_eq!(code(&error), ErrorCode::HomeUnusable);
        // `a/file/state` cannot even be looked at.
        assert!(way_out(&below, &error).starts_with(&format!("`{}` stands", file.display())), "{}", way_out(&below, &error));
        for (kind, expected, words) in [
            (ErrorKind::StorageFull, ErrorCode::DiskFull, "free some space"),
            (ErrorKind::PermissionDenied, ErrorCode::HomeUnusable, "the right to write"),
            (ErrorKind::ReadOnlyFilesystem, ErrorCode::HomeUnusable, "is read-only"),
            (ErrorKind::Other, ErrorCode::HomeUnusable, "check that"),
        ] {
            let error = io::Error::from(kind);
            assert!(code(&error) == expected && way_out(&file, &error).contains(words), "{kind}");
        }
    }
}
