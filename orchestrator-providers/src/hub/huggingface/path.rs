//! The names of files in a repository, which become paths on this machine.
//!
//! Owns: what such a name may be, and which names cannot stand side by side. The input is hostile: a listing comes from
//! outside, and so does a plan that was stored by an older version.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A relative path with `/` between its parts that never leaves the folder it is joined to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RepositoryPath(String);

/// A name that is not taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name `{name}` {reason}")]
pub(super) struct PathError {
    /// The name, with control characters escaped.
    name: String,
    reason: &'static str,
}

/// The longest name, in bytes. A path of Linux has 4,096, and a cache stands somewhere.
const LONGEST: usize = 1_024;
/// The longest part of a name, in bytes: what file systems take.
const LONGEST_PART: usize = 255;

impl RepositoryPath {
    /// Takes a name.
    pub(super) fn try_new(name: &str) -> Result<Self, PathError> {
        match fault(name) {
            None => Ok(Self(name.to_owned())),
            Some(reason) => Err(PathError { name: shown(name), reason }),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name without its folders.
    pub(super) fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns its folder; empty for the repository's own.
    pub(super) fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Returns the path below `folder`.
    pub(super) fn below(&self, folder: &Path) -> PathBuf {
        self.0.split('/').fold(folder.to_path_buf(), |path, part| path.join(part))
    }

    /// Returns whether a file system that makes no difference between small and large letters takes it for another.
    pub(super) fn is_twin_of(&self, other: &Self) -> bool {
        self.0 != other.0 && folded(&self.0) == folded(&other.0)
    }

    /// Returns whether it is a file where the other needs a folder.
    pub(super) fn is_in_the_way_of(&self, other: &Self) -> bool {
        folded(&other.0).strip_prefix(&folded(&self.0)).is_some_and(|rest| rest.starts_with('/'))
    }

    /// How many folders deep it lies.
    pub(super) fn depth(&self) -> usize {
        self.0.matches('/').count()
    }
}

/// Says what is wrong with a name.
fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    if name.len() > LONGEST {
        return Some("is longer than 1024 bytes");
    }
    if name.chars().any(|each| each.is_control() || is_invisible(each)) {
        return Some("holds characters that cannot be seen");
    }
    if name.contains('\\') {
        return Some("holds a backslash");
    }
    if name.starts_with('/') {
        return Some("is absolute");
    }
    if matches!(name.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic()) {
        return Some("begins with a drive");
    }
    name.split('/').find_map(|part| match part {
        "" => Some("has an empty part"),
        "." | ".." => Some("leaves its folder"),
        _ if part.len() > LONGEST_PART => Some("has a part longer than 255 bytes"),
        _ => None,
    })
}

/// Characters that turn text around or have no width: a name with them is not what it looks like.
const fn is_invisible(each: char) -> bool {
    matches!(each, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Escapes a name from outside for a message.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 120;
    let hidden = |each: char| each.is_control() || is_invisible(each);
    let escape = |each: char| if hidden(each) { each.escape_unicode().to_string() } else { each.to_string() };
    let mut text: String = name.chars().take(MOST).map(escape).collect();
    if name.chars().nth(MOST).is_some() {
        text.push('…');
    }
    text
}

/// Finds two names that cannot stand side by side on every file system: they differ only in case, or one is a file where
/// the other needs a folder.
pub(super) fn clash<'a>(wanted: &[&'a RepositoryPath]) -> Option<(&'a str, &'a str)> {
    let mut files: BTreeMap<String, &str> = BTreeMap::new();
    for name in wanted {
        if let Some(other) = files.insert(folded(name.as_str()), name.as_str()) {
            return Some((other, name.as_str()));
        }
    }
    // Folders that are written in two ways would be one folder, and a file may not be one.
    let mut folders: BTreeMap<String, (&str, BTreeSet<&str>)> = BTreeMap::new();
    for name in wanted {
        for (end, _) in name.as_str().match_indices('/') {
            let folder = &name.as_str()[..end];
            if let Some(file) = files.get(&folded(folder)) {
                return Some((file, name.as_str()));
            }
            let (first, spellings) = folders.entry(folded(folder)).or_insert_with(|| (name.as_str(), BTreeSet::new()));
            spellings.insert(folder);
            if spellings.len() > 1 {
                return Some((first, name.as_str()));
            }
        }
    }
    None
}

fn folded(name: &str) -> String {
    name.to_lowercase()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_are_taken_as_they_are() {
        for name in ["model.gguf", "a b/c-d_e.gguf", ".gitattributes", "Modèle/重み.gguf", "a..b", "...", "xy:z"] {
            let path = RepositoryPath::try_new(name).unwrap();
            assert_eq!(path.as_str(), name);
            assert!(path.below(Path::new("/r")).starts_with("/r"));
        }
        let path = RepositoryPath::try_new("a/b/c.gguf").unwrap();
        assert_eq!((path.folder(), path.file_name(), path.depth()), ("a/b", "c.gguf", 2));
    }

    #[test]
    fn names_that_leave_their_folder_or_hide_something_are_refused() {
        for (name, words) in [
            ("", "empty"),
            ("/etc/passwd", "absolute"),
            ("../x", "leaves"),
            ("a/../../x", "leaves"),
            ("a/./x", "leaves"),
            ("a//x", "empty part"),
            ("a/", "empty part"),
            ("..\\x", "backslash"),
            ("C:/x", "drive"),
            ("c:x", "drive"),
            ("a\0b", "seen"),
            ("a\nb", "seen"),
            ("a\u{1b}[31m", "seen"),
            ("x\u{202e}fugg.", "seen"),
            (&"a".repeat(256), "255"),
            (&"a/".repeat(600), "1024"),
        ] {
            let error = RepositoryPath::try_new(name).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.chars().any(|each| each.is_control() || is_invisible(each)), "{error:?}");
        }
    }

    #[test]
    fn names_that_cannot_stand_side_by_side_are_found() {
        let check = |names: &[&str], expected: Option<(&str, &str)>| {
            let paths: Vec<_> = names.iter().map(|name| RepositoryPath::try_new(name).unwrap()).collect();
            let paths: Vec<_> = paths.iter().collect();
            assert_eq!(clash(&paths), expected, "{names:?}");
        };
        check(&["a.gguf", "b.gguf", "c/a.gguf", "c/b.gguf"], None);
        check(&["a.gguf", "A.gguf"], Some(("a.gguf", "A.gguf")));
        check(&["Ä.gguf", "ä.gguf"], Some(("Ä.gguf", "ä.gguf")));
        check(&["a", "a/b"], Some(("a", "a/b")));
        check(&["a/b", "A"], Some(("A", "a/b")));
        check(&["a/x", "A/y"], Some(("a/x", "A/y")));
        check(&["same", "same"], Some(("same", "same")));
        let path = |name: &str| RepositoryPath::try_new(name).unwrap();
        assert!(path("m.gguf").is_in_the_way_of(&path("M.gguf/x")) && !path("m").is_in_the_way_of(&path("model/x")));
        assert!(path("m.gguf").is_twin_of(&path("M.GGUF")) && !path("m.gguf").is_twin_of(&path("m.gguf")));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_stays_below_its_folder(name in "\\PC{0,40}|[a-z./\\\\:]{0,20}") {
            if let Ok(path) = RepositoryPath::try_new(&name) {
                let joined = path.below(Path::new("/root/of/it"));
                prop_assert!(joined.starts_with("/root/of/it"));
                prop_assert!(joined.components().all(|part| !matches!(part, std::path::Component::ParentDir)));
                prop_assert_eq!(joined, Path::new("/root/of/it").join(&name));
            }
        }
    }
}
