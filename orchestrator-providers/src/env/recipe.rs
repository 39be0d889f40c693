//! Recipes: what an environment is made of, as data files that are compiled in.
//!
//! Owns: the form of a recipe, its check, its digest. Does not own: how it is built.

use orchestrator_core::EnvKey;
use serde::Deserialize;

/// What an environment is made of.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// What the data file says.
    pub(super) text: RecipeFile,
    /// The pinned packages with the digests of their files, as `pip` and `uv` read them.
    pub(super) lock: &'static str,
    /// The launcher script.
    pub(super) script: &'static str,
    /// Names this content: recipe, lock and script.
    pub(super) digest: String,
}

/// The data file of a recipe.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecipeFile {
    /// The key of the environment.
    pub(super) key: EnvKey,
    /// What it is for, in one sentence.
    pub(super) description: String,
    /// The oldest Python it runs on.
    pub(super) minimum_python: PythonVersion,
    /// The distribution whose version is the engine's.
    pub(super) engine: String,
    /// What the lock was made from, each pinned with `==`.
    pub(super) packages: Vec<String>,
    /// The name of the launcher script.
    pub(super) launcher: String,
    /// Modules that must be importable.
    pub(super) imports: Vec<String>,
    /// A word that the launcher's `--help` must show.
    pub(super) help_shows: String,
}

/// A Python version such as `3.11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct PythonVersion {
    /// The first number.
    pub(super) major: u32,
    /// The second number.
    pub(super) minor: u32,
}

impl TryFrom<String> for PythonVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no Python version such as `3.11`"))
    }
}

impl PythonVersion {
    /// Reads `3.11` or `3.11.2`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim().split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl std::fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The recipe, lock and script of each environment we know how to build.
const RECIPES: [(&str, &str, &str); 1] =
    [(include_str!("recipes/llama-cpp-cpu.yaml"), include_str!("recipes/llama-cpp-cpu.lock"), include_str!("recipes/llama_cpp_server.py"))];

/// Returns every recipe, in the order of their keys. A file that cannot be read is left out: a test reads them all.
pub(super) fn all() -> Vec<Recipe> {
    let mut recipes: Vec<_> = RECIPES.iter().filter_map(|(text, lock, script)| Recipe::parse(text, lock, script).ok()).collect();
    recipes.sort_by(|a, b| a.text.key.cmp(&b.text.key));
    recipes
}

impl Recipe {
    fn parse(text: &'static str, lock: &'static str, script: &'static str) -> Result<Self, serde_saphyr::Error> {
        let parsed: RecipeFile = serde_saphyr::from_str(text)?;
        Ok(Self { text: parsed, lock, script, digest: digest_of(&[text, lock, script]) })
    }

    /// Returns the pinned version of a package of this recipe.
    pub(super) fn pinned(&self, package: &str) -> Option<&str> {
        self.text.packages.iter().filter_map(|pin| pin.split_once("==")).find(|(name, _)| *name == package).map(|(_, version)| version)
    }

    /// Names what is built from this recipe on a Python of that version: the name of the environment's folder.
    pub(super) fn digest_on(&self, python: PythonVersion) -> String {
        digest_of(&[&self.digest, &python.to_string()])
    }
}

/// Names content of our own with sixteen digits (FNV-1a). It tells versions apart and guards nothing: what comes
/// from outside is checked by the digests in the lock.
fn digest_of(parts: &[&str]) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = OFFSET;
    for part in parts {
        // The length keeps `ab` + `c` apart from `a` + `bc`.
        for byte in (part.len() as u64).to_le_bytes().iter().chain(part.as_bytes()) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn every_recipe_can_be_read_and_its_lock_pins_its_packages_with_digests() {
        let recipes = all();
        assert_eq!(recipes.len(), RECIPES.len());
        for recipe in recipes {
            for package in &recipe.text.packages {
                assert!(package.contains("=="), "`{package}` is not pinned");
                assert!(recipe.lock.lines().any(|line| line.split(' ').next() == Some(package)), "`{package}` is not in the lock");
            }
            assert!(recipe.pinned(&recipe.text.engine).is_some(), "the engine is not among the packages");
            assert!(recipe.lock.contains("--hash=sha256:"));
            assert!(recipe.script.contains("--help"));
            assert_eq!(recipe.text.minimum_python, PythonVersion { major: 3, minor: 10 });
        }
    }

    #[test]
    fn a_recipe_with_an_unknown_key_is_refused() {
        let error = serde_saphyr::from_str::<RecipeFile>("key: x\ndescripton: y\n").unwrap_err();
        assert!(error.to_string().contains("descripton"), "{error}");
    }

    #[test]
    fn a_digest_changes_with_every_part_and_with_where_parts_end() {
        let digests = [digest_of(&["ab", "c"]), digest_of(&["a", "bc"]), digest_of(&["abc"]), digest_of(&["ab", "d"])];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[index + 1..].contains(digest));
        }
    }

    #[test]
    fn a_version_is_read_from_two_or_three_numbers() {
        assert_eq!(PythonVersion::parse("3.11.2\n"), Some(PythonVersion { major: 3, minor: 11 }));
        assert!(PythonVersion::parse("3.9") < PythonVersion::parse("3.10"));
        assert_eq!(PythonVersion::parse("three"), None);
    }
}
