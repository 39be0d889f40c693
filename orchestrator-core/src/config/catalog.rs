//! All instances of a home: one folder each, read, and compared with one another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::load::{Naming, load_instance, unreadable};
use crate::instance::InstanceSpec;
use crate::names::InstanceName;

/// The names that the file of an instance may have.
const FILE_NAMES: [&str; 3] = ["config.json", "config.yaml", "config.yml"];

/// The instances that are configured in a folder.
#[derive(Debug, Clone, Default)]
pub struct InstanceCatalog {
    /// The instances, by name.
    pub entries: Vec<CatalogEntry>,
    /// What is wrong and stands in no entry: folders that cannot be read or hold no instance, and conflicts between
    /// instances that cannot be used anyway.
    pub problems: Vec<ConfigError>,
}

/// One configured instance.
#[derive(Debug, Clone)]
pub struct CatalogEntry {
    /// The name of its folder.
    pub name: InstanceName,
    /// Its file.
    pub file: PathBuf,
    /// Its configuration, or why that cannot be used.
    pub spec: Result<InstanceSpec, ConfigError>,
}

impl InstanceCatalog {
    /// Reads all instances below `instances_dir`. A folder that does not exist holds none.
    #[must_use]
    pub fn scan(instances_dir: &Path) -> Self {
        let mut catalog = Self::default();
        for folder in catalog.folders(instances_dir) {
            match instance_name(&folder) {
                Ok(name) => catalog.entries.extend(read_entry(name, &folder)),
                Err(error) => catalog.problems.push(error),
            }
        }
        catalog.find_conflicts();
        catalog
    }

    /// Returns the instance with this name.
    #[must_use]
    pub fn find(&self, name: &InstanceName) -> Option<&CatalogEntry> {
        self.entries.iter().find(|entry| entry.name == *name)
    }

    /// Returns the configurations that can be used.
    pub fn specs(&self) -> impl Iterator<Item = &InstanceSpec> {
        self.entries.iter().filter_map(|entry| entry.spec.as_ref().ok())
    }

    /// Returns every error once, although a conflict stands in the entry of each instance it concerns.
    #[must_use]
    pub fn errors(&self) -> Vec<&ConfigError> {
        let mut seen = BTreeSet::new();
        let of_entries = self.entries.iter().filter_map(|entry| entry.spec.as_ref().err());
        of_entries.chain(&self.problems).filter(|error| seen.insert(error.to_string())).collect()
    }

    fn folders(&mut self, instances_dir: &Path) -> Vec<PathBuf> {
        let listing = match fs::read_dir(instances_dir) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                self.problems.push(unreadable(instances_dir, error));
                return Vec::new();
            }
        };
        let mut folders = Vec::new();
        for entry in listing {
            match entry {
                Ok(entry) if is_hidden(&entry.path()) => {}
                // A link to a folder is as good as a folder; files beside the folders are none of ours.
                Ok(entry) if entry.path().is_file() => {}
                Ok(entry) => folders.push(entry.path()),
                Err(error) => self.problems.push(unreadable(instances_dir, error)),
            }
        }
        folders.sort();
        folders
    }

    /// Compares the instances with one another; whoever shares a claim cannot be used.
    fn find_conflicts(&mut self) {
        let mut claims: BTreeMap<Claim, BTreeSet<usize>> = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            // The name belongs to its folder even where the file cannot be used.
            claims.entry(Claim::Model(entry.name.as_str().to_owned())).or_default().insert(index);
            let Ok(spec) = &entry.spec else { continue };
            for alias in &spec.aliases {
                claims.entry(Claim::Model(alias.clone())).or_default().insert(index);
            }
            if let Some(port) = spec.server.port {
                claims.entry(Claim::Port(spec.server.host.to_string(), port.get())).or_default().insert(index);
            }
        }
        for (claim, claimants) in claims.into_iter().filter(|(_, claimants)| claimants.len() > 1) {
            let files = claimants.iter().map(|index| self.entries[*index].file.clone()).collect();
            let error = claim.conflict(files, self.entries.iter().any(|entry| claim.is_name(entry)));
            let mut stands_in_an_entry = false;
            for index in claimants {
                let entry = &mut self.entries[index];
                // An instance keeps the name it has; only those that take it as an alias are at fault.
                if entry.spec.is_ok() && !claim.is_name(entry) {
                    entry.spec = Err(error.clone());
                    stands_in_an_entry = true;
                }
            }
            if !stands_in_an_entry {
                self.problems.push(error);
            }
        }
    }
}

/// Something that only one instance can have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// What clients send as `model`.
    Model(String),
    /// A port of an address.
    Port(String, u16),
}

impl Claim {
    fn is_name(&self, entry: &CatalogEntry) -> bool {
        matches!(self, Self::Model(model) if model == entry.name.as_str())
    }

    fn conflict(&self, files: Vec<PathBuf>, is_a_name: bool) -> ConfigError {
        let (subject, hint) = match self {
            Self::Model(model) if is_a_name => {
                (format!("the name `{model}`"), format!("take `{model}` out of the `aliases` of the instance that is not called so"))
            }
            Self::Model(model) => (format!("the alias `{model}`"), format!("leave `{model}` in the `aliases` of one of them")),
            Self::Port(host, port) => {
                (format!("port `{port}` of `{host}`"), "give one of them another `server.port`, or leave it out for a free one".to_owned())
            }
        };
        ConfigError::Conflict { subject, files, hint }
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn instance_name(folder: &Path) -> Result<InstanceName, ConfigError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    InstanceName::try_new(name).map_err(|source| ConfigError::FolderName { folder: folder.to_path_buf(), source })
}

/// Returns the configuration file in an instance's folder, where there is one.
pub(super) fn find_instance_file(folder: &Path) -> Option<PathBuf> {
    FILE_NAMES.iter().map(|file| folder.join(file)).find(|file| fs::symlink_metadata(file).is_ok())
}

/// Reads the instance in a folder.
fn read_entry(name: InstanceName, folder: &Path) -> Option<CatalogEntry> {
    let failed = |name: InstanceName, error: ConfigError| Some(CatalogEntry { name, file: folder.to_path_buf(), spec: Err(error) });
    let mut listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) => return failed(name, unreadable(folder, error)),
    };
    let files: Vec<PathBuf> = FILE_NAMES.iter().map(|file| folder.join(file)).filter(|file| fs::symlink_metadata(file).is_ok()).collect();
    match files.as_slice() {
        // An empty folder is one in the making; any other was meant to hold an instance.
        [] if listing.all(|entry| entry.is_ok_and(|entry| is_hidden(&entry.path()))) => None,
        [] => failed(name, ConfigError::NotFound { file: folder.join(FILE_NAMES[1]) }),
        [file] => {
            let spec = load_instance(file, Naming::Folder(&name));
            Some(CatalogEntry { name, file: file.clone(), spec })
        }
        _ => {
            let hint = "keep one of the files".to_owned();
            let error = ConfigError::Conflict { subject: format!("the instance `{name}`"), files, hint };
            failed(name, error)
        }
    }
}

#[cfg(test)]
mod tests;
