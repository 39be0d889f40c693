//! What the compiler does not check: arrows between crates, module docs, file sizes, and what a crate never does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::shell::{TaskResult, cargo, output, root};

/// Which crates of ours each crate may depend on. Development dependencies count too.
const ARROWS: &[(&str, &[&str])] = &[
    ("orchestrator-toolcall", &[]),
    ("orchestrator-core", &[]),
    ("orchestrator-providers", &["orchestrator-core"]),
    ("orchestrator-server", &["orchestrator-core", "orchestrator-toolcall"]),
    ("orchestrator-cli", &["orchestrator-core", "orchestrator-providers", "orchestrator-server", "orchestrator-toolcall"]),
    ("orchestrator-py", &["orchestrator-core", "orchestrator-providers", "orchestrator-server", "orchestrator-toolcall"]),
    (
        "orchestrator-tests",
        &["orchestrator-core", "orchestrator-providers", "orchestrator-server", "orchestrator-toolcall", "orchestrator-cli"],
    ),
    ("orchestrator-examples", &["orchestrator-core", "orchestrator-providers", "orchestrator-server", "orchestrator-toolcall"]),
    ("xtask", &["orchestrator-core", "orchestrator-providers", "orchestrator-toolcall"]),
];

/// Texts that must not stand in the production code of a crate, and why.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("orchestrator-core", "env::var(", "core reads no environment variable: values are passed in"),
    ("orchestrator-core", "env::var_os(", "core reads no environment variable: values are passed in"),
    ("orchestrator-core", "env::home_dir", "core never looks for the home directory: paths are passed in"),
    ("orchestrator-core", "axum", "core never serves HTTP"),
    ("orchestrator-providers", "env::var(", "providers read no environment variable: settings are passed in"),
    ("orchestrator-toolcall", "tokio", "toolcall is synchronous and does no input or output"),
    ("orchestrator-toolcall", "std::fs", "toolcall does no input or output"),
    ("orchestrator-toolcall", "std::net", "toolcall does no input or output"),
];

/// A file with more lines of production code than this is a design fault.
const LONGEST_FILE: usize = 800;
/// A file with more lines of production code than this is worth a question.
const LONG_FILE: usize = 400;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
}

pub(crate) fn run() -> TaskResult {
    let text = output(&mut cargo(&["metadata", "--format-version=1", "--no-deps", "--locked"]))?;
    let metadata: Metadata = serde_json::from_str(&text).map_err(|error| format!("cargo's metadata cannot be read: {error}"))?;
    let mut faults = Vec::new();
    check_arrows(&metadata, &mut faults);
    for package in &metadata.packages {
        let folder = package.manifest_path.parent().unwrap_or(Path::new("."));
        check_sources(&package.name, &folder.join("src"), &mut faults)?;
    }
    if faults.is_empty() {
        println!("tidy: {} crates are in order", metadata.packages.len());
        return Ok(());
    }
    Err(format!("tidy found {} faults:\n  {}", faults.len(), faults.join("\n  ")))
}

fn check_arrows(metadata: &Metadata, faults: &mut Vec<String>) {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for package in &metadata.packages {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            faults.push(format!("the crate `{}` has no row in the table of arrows", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            if !allowed.contains(&dependency.name.as_str()) {
                faults.push(format!("`{}` must not depend on `{}`", package.name, dependency.name));
            }
        }
    }
}

fn check_sources(package: &str, folder: &Path, faults: &mut Vec<String>) -> TaskResult {
    let entries = fs::read_dir(folder).map_err(|error| format!("could not read `{}`: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("could not read `{}`: {error}", folder.display()))?.path();
        if path.is_dir() {
            check_sources(package, &path, faults)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).map_err(|error| format!("could not read `{}`: {error}", path.display()))?;
            check_source(package, &path, &text, faults);
        }
    }
    Ok(())
}

fn check_source(package: &str, path: &Path, text: &str, faults: &mut Vec<String>) {
    let shown = path.strip_prefix(root()).unwrap_or(path).display();
    let is_test = path.file_stem().is_some_and(|stem| stem == "tests") || path.components().any(|part| part.as_os_str() == "tests");
    if !is_test && !text.starts_with("//!") {
        faults.push(format!("{shown}: a module begins with `//!`: what it owns and what it does not"));
    }
    let production = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let lines = production.lines().count();
    if !is_test && lines > LONGEST_FILE {
        faults.push(format!("{shown}: {lines} lines; find the concept that is missing (at most {LONGEST_FILE})"));
    } else if !is_test && lines > LONG_FILE {
        println!("tidy: note: {shown} has {lines} lines; is a concept missing?");
    }
    if is_test {
        return;
    }
    for (crate_name, forbidden, reason) in FORBIDDEN {
        let code = production.lines().filter(|line| !line.trim_start().starts_with("//"));
        if package == *crate_name && code.into_iter().any(|line| line.contains(forbidden)) {
            faults.push(format!("{shown}: `{forbidden}`: {reason}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(package: &str, text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        check_source(package, &root().join("x/src/x.rs"), text, &mut faults);
        faults
    }

    #[test]
    fn a_module_without_docs_is_a_fault() {
        assert_eq!(faults_of("x", "fn f() {}\n").len(), 1);
        assert!(faults_of("x", "//! Owns x.\nfn f() {}\n").is_empty());
    }

    #[test]
    fn tests_at_the_end_do_not_count_as_production() {
        let text = format!("//! Owns x.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "// line\n".repeat(1_000));
        assert!(faults_of("x", &text).is_empty());
        assert_eq!(faults_of("x", &format!("//! Owns x.\n{}", "// line\n".repeat(1_000))).len(), 1);
    }

    #[test]
    fn core_may_not_read_the_environment() {
        assert_eq!(faults_of("orchestrator-core", "//! x\nlet a = std::env::var(\"A\");\n").len(), 1);
        assert!(faults_of("orchestrator-core", "//! x\n// std::env::var is not for us\n").is_empty());
    }

    #[test]
    fn an_arrow_that_points_back_is_a_fault() {
        let dependency = Dependency { name: "orchestrator-server".to_owned(), path: Some(PathBuf::from("/x")) };
        let package =
            Package { name: "orchestrator-core".to_owned(), manifest_path: PathBuf::from("/x/Cargo.toml"), dependencies: vec![dependency] };
        let mut faults = Vec::new();
        check_arrows(&Metadata { packages: vec![package] }, &mut faults);
        assert_eq!(faults, ["`orchestrator-core` must not depend on `orchestrator-server`"]);
    }
}
