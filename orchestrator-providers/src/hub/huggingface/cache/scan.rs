//! Finds the models in the cache.

use std::collections::BTreeSet;

use super::super::choose::{choose, groups, selector_of};
use super::super::listing::{Commit, Listing};
use super::{Cache, MAIN};

/// A model in the cache, by what names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct CachedModel {
    /// `owner/repo`.
    pub(in super::super) repository: String,
    /// The commit, where it is not that of the main branch.
    pub(in super::super) revision: Option<String>,
    /// What it is called within the repository.
    pub(in super::super) selector: Option<String>,
    /// The commit.
    pub(in super::super) commit: Commit,
}

/// How many models are listed.
const MOST_MODELS: usize = 10_000;
/// How many snapshots of a repository are looked at, the newest first.
const MOST_SNAPSHOTS: usize = 32;

impl Cache {
    /// Lists the complete models of the cache: each quantisation, and each snapshot of safetensors. The same file in several
    /// snapshots is one model, the one of the main branch or else the newest.
    pub(in super::super) fn models(&self) -> Vec<CachedModel> {
        let mut models = Vec::new();
        for name in self.repositories() {
            let repository = self.repository(&name);
            let main = repository.commit_of(MAIN);
            let mut commits = repository.snapshots();
            commits.sort_by_key(|commit| Some(commit) != main.as_ref());
            commits.truncate(MOST_SNAPSHOTS);
            let mut known = BTreeSet::new();
            for commit in commits {
                let listing = repository.listing(&commit);
                for (selector, identity) in selectors(&listing) {
                    let is_main = Some(&commit) == main.as_ref();
                    let revision = (!is_main).then(|| commit.as_str().to_owned());
                    if known.insert(identity) && models.len() < MOST_MODELS {
                        models.push(CachedModel { repository: name.clone(), revision, selector, commit: commit.clone() });
                    }
                }
            }
        }
        models
    }
}

/// Returns what each complete model of a snapshot is called, and what tells it from others.
fn selectors(listing: &Listing) -> Vec<(Option<String>, String)> {
    let all = groups(&listing.files);
    let complete = all.iter().filter(|group| group.missing.is_none());
    let mut found: Vec<_> = complete
        .map(|group| {
            let blobs: Vec<_> =
                group.parts.iter().map(|file| file.digest.as_ref().map_or(file.name.as_str(), |digest| digest.as_str())).collect();
            (Some(selector_of(group, &all)), blobs.join(" "))
        })
        .collect();
    if let Ok(snapshot) = choose(listing, Some("safetensors")) {
        let selector = (!all.is_empty()).then(|| "safetensors".to_owned());
        let weights = snapshot.files.first().and_then(|(file, _)| Some(file.digest.as_ref()?.as_str().to_owned()));
        found.push((selector, weights.unwrap_or_else(|| listing.commit.as_str().to_owned())));
    }
    found
}
