//! From a reference to files: which files of a repository a selector means.
//!
//! Owns: the rules, as a pure function of the names. The same rules are used for what the hub lists and for what lies in
//! the cache. Does not own: safetensors snapshots, which [`super::snapshot`] puts together.

use orchestrator_core::model::{FileRole, ModelFormat};

use super::listing::{ListedFile, Listing};
use super::path::{RepositoryPath, clash};
use super::{quantisation, snapshot};
use crate::hub::split::{SplitName, without_ending};

/// The files that were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen<'a> {
    /// The format.
    pub(super) format: ModelFormat,
    /// The quantisation, where the names tell.
    pub(super) quantisation: Option<String>,
    /// The files, the first one of the weights first.
    pub(super) files: Vec<(&'a ListedFile, FileRole)>,
}

/// Why no files could be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChoiceError {
    /// There is nothing like that.
    Missing {
        /// What is missing, with its article.
        what: String,
        /// What there is instead: selectors, the nearest first.
        choices: Vec<String>,
    },
    /// There is more than one.
    Ambiguous {
        /// Selectors that mean one thing each.
        choices: Vec<String>,
    },
    /// A model in several files is not complete at its source.
    PartMissing {
        /// The first file that is missing.
        name: String,
    },
    /// What is there is not taken.
    Refused {
        /// Why.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
}

/// A GGUF model in a repository, in one file or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group<'a> {
    /// Its name without the ending and the number of the part, with its folder.
    pub(super) stem: &'a str,
    /// Its quantisation.
    pub(super) quantisation: Option<String>,
    /// Its files, the first one first.
    pub(super) parts: Vec<&'a ListedFile>,
    /// The first file that is missing.
    pub(super) missing: Option<String>,
}

/// The words of selectors that mean a format.
const SAFETENSORS: &str = "safetensors";
const GGUF: &str = "gguf";
/// How many choices a message shows.
const MOST_CHOICES: usize = 12;
/// How like a name must be to be shown as a near one.
const NEAR: f64 = 0.6;
/// The same for the whole name of a file; the files of one repository have much in common.
const NEAR_FILE: f64 = 0.85;
/// What is taken when nothing is said: the usual balance first, then what comes near to it, then what is larger.
const USUAL: [&str; 41] = [
    "Q4_K_M",
    "Q4_K_XL",
    "Q4_K_L",
    "Q4_K_S",
    "Q4_K",
    "IQ4_XS",
    "IQ4_NL",
    "Q4_0",
    "Q4_1",
    "MXFP4",
    "MXFP4_MOE",
    "NVFP4",
    "Q5_K_M",
    "Q5_K_XL",
    "Q5_K_L",
    "Q5_K_S",
    "Q5_K",
    "Q5_0",
    "Q5_1",
    "Q6_K",
    "Q6_K_L",
    "Q6_K_XL",
    "Q8_0",
    "Q8_K_XL",
    "Q3_K_L",
    "Q3_K_XL",
    "Q3_K_M",
    "Q3_K",
    "IQ3_M",
    "IQ3_S",
    "Q3_K_S",
    "IQ3_XS",
    "IQ3_XXS",
    "BF16",
    "F16",
    "F32",
    "Q2_K_L",
    "Q2_K_XL",
    "Q2_K",
    "Q2_K_S",
    "IQ2_M",
];

/// Chooses the files that `selector` means.
pub(super) fn choose<'a>(listing: &'a Listing, selector: Option<&str>) -> Result<Chosen<'a>, ChoiceError> {
    let groups = groups(&listing.files);
    let mut chosen = match selector {
        Some(word) if word.eq_ignore_ascii_case(SAFETENSORS) => snapshot::choose(listing)?,
        Some(word) if word.eq_ignore_ascii_case(GGUF) && groups.is_empty() => {
            return Err(missing("GGUF files".to_owned(), word, listing, &groups));
        }
        Some(word) if !word.eq_ignore_ascii_case(GGUF) => with_projector(select(listing, &groups, word)?, listing)?,
        _ if groups.is_empty() => snapshot::choose(listing)?,
        _ => with_projector(usual(&groups)?, listing)?,
    };
    add_card(&mut chosen, listing);
    let names: Vec<&RepositoryPath> = chosen.files.iter().map(|(file, _)| &file.name).collect();
    match clash(&names).or_else(|| clash_with_rest(&names, listing)) {
        Some((one, other)) => Err(ChoiceError::Refused {
            reason: format!("its files `{one}` and `{other}` cannot stand side by side on every file system"),
            hint: Some("name one file by its whole name, or use another repository".to_owned()),
        }),
        None => Ok(chosen),
    }
}

/// Finds a file that was not chosen and that a chosen one could be taken for: it may be fetched another time.
fn clash_with_rest<'a>(chosen: &[&'a RepositoryPath], listing: &'a Listing) -> Option<(&'a str, &'a str)> {
    let rest = listing.files.iter().map(|file| &file.name).filter(|name| !chosen.contains(name));
    let clashes = |wanted: &RepositoryPath, name: &RepositoryPath| {
        wanted.is_twin_of(name) || wanted.is_in_the_way_of(name) || name.is_in_the_way_of(wanted)
    };
    let mut found = rest.filter_map(|name| Some((chosen.iter().find(|wanted| clashes(wanted, name))?.as_str(), name.as_str())));
    found.next()
}

/// Finds the GGUF models among files, in the order of their names.
pub(super) fn groups(files: &[ListedFile]) -> Vec<Group<'_>> {
    let mut models: Vec<&ListedFile> = files.iter().filter(|file| is_model(&file.name)).collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    let mut groups: Vec<(Option<u64>, Group<'_>)> = Vec::new();
    for file in models {
        let name = file.name.as_str();
        let split = SplitName::of(name);
        let stem = split.map_or_else(|| without_ending(name).unwrap_or(name), |split| split.stem);
        let count = split.map(|split| split.count);
        match groups.iter_mut().find(|(known, group)| *known == count && count.is_some() && group.stem == stem) {
            Some((_, group)) => group.parts.push(file),
            None => groups.push((count, Group { stem, quantisation: quantisation_of(stem), parts: vec![file], missing: None })),
        }
    }
    groups.into_iter().map(|(count, group)| complete(group, count)).collect()
}

/// Puts the parts into their order and finds the first that is missing.
fn complete(mut group: Group<'_>, count: Option<u64>) -> Group<'_> {
    let number = |file: &ListedFile| SplitName::of(file.name.as_str()).map_or(0, |split| split.number);
    group.parts.sort_by_key(|file| number(file));
    // There are at most as many parts as files, so counting ends soon whatever the names claim.
    let expected = 1..=count.unwrap_or(0);
    let gap = expected.zip(group.parts.iter().map(|file| number(file)).chain(std::iter::repeat(0))).find(|(wanted, found)| wanted != found);
    group.missing = gap.map(|(wanted, _)| crate::hub::split::part_name(group.stem, wanted, count.unwrap_or(0)));
    group
}

/// A GGUF file that is a model: no projector, no importance matrix, no bare vocabulary.
fn is_model(name: &RepositoryPath) -> bool {
    let Some(stem) = without_ending(name.file_name()) else { return false };
    let lower = stem.to_lowercase();
    let is_matrix = lower.contains("imatrix") && quantisation::in_name(stem).is_none();
    !is_projector(name) && !is_matrix && !lower.starts_with("ggml-vocab")
}

/// A file that lets a model see pictures.
pub(super) fn is_projector(name: &RepositoryPath) -> bool {
    without_ending(name.file_name()).is_some_and(|stem| stem.to_lowercase().contains("mmproj"))
}

/// The quantisation in the name, or in that of the folder nearest to it.
fn quantisation_of(stem: &str) -> Option<String> {
    stem.rsplit('/').find_map(quantisation::in_name)
}

/// Takes what a file name or a quantisation means.
fn select<'g, 'a>(listing: &'a Listing, groups: &'g [Group<'a>], selector: &str) -> Result<&'g Group<'a>, ChoiceError> {
    if let Some(group) = named(groups, selector)? {
        return Ok(group);
    }
    if let Some(file) = listing.files.iter().find(|file| file.name.as_str() == selector || file.name.file_name() == selector) {
        return Err(refuse_file(&file.name));
    }
    let wanted = quantisation::normalised(selector);
    let label = |group: &Group<'_>| group.quantisation.as_deref().map(quantisation::normalised).unwrap_or_default();
    let steps: [&dyn Fn(&Group<'_>) -> bool; 4] = [
        &|group| label(group) == wanted,
        &|group| quantisation::plain(&label(group)) == wanted,
        &|group| quantisation::normalised(group.stem.rsplit('/').next().unwrap_or_default()) == wanted,
        // `Q4` or `Q4_K`: what begins like this.
        &|group| quantisation::plain(&label(group)).strip_prefix(quantisation::plain(&wanted)).is_some_and(|rest| rest.starts_with('_')),
    ];
    for step in steps {
        let found: Vec<&Group<'a>> = groups.iter().filter(|group| step(group)).collect();
        match found.as_slice() {
            [] => {}
            [group] => return Ok(group),
            several => return Err(ChoiceError::Ambiguous { choices: selectors(several, groups) }),
        }
    }
    let is_file = selector.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case(GGUF));
    let what = if is_file { format!("a file `{selector}`") } else { format!("a file or quantisation `{selector}`") };
    Err(missing(what, selector, listing, groups))
}

/// Finds a model by the name of a file of it: exactly, else in any case, else without its folder.
fn named<'g, 'a>(groups: &'g [Group<'a>], selector: &str) -> Result<Option<&'g Group<'a>>, ChoiceError> {
    let steps: [&dyn Fn(&RepositoryPath) -> bool; 4] = [
        &|name| name.as_str() == selector,
        &|name| name.file_name() == selector,
        &|name| name.as_str().eq_ignore_ascii_case(selector),
        &|name| name.file_name().eq_ignore_ascii_case(selector),
    ];
    for step in steps {
        let found: Vec<&Group<'a>> = groups.iter().filter(|group| group.parts.iter().any(|file| step(&file.name))).collect();
        match found.as_slice() {
            [] => {}
            [group] => return Ok(Some(group)),
            several => return Err(ChoiceError::Ambiguous { choices: selectors(several, groups) }),
        }
    }
    Ok(None)
}

/// Takes what is usual when nothing is said.
fn usual<'g, 'a>(groups: &'g [Group<'a>]) -> Result<&'g Group<'a>, ChoiceError> {
    let rank = |group: &Group<'_>| {
        let label = group.quantisation.as_deref().map(quantisation::normalised).unwrap_or_default();
        let plain = quantisation::plain(&label);
        let place = USUAL.iter().position(|usual| *usual == plain).unwrap_or(USUAL.len());
        // Of two that differ only in how they were made, the plain one.
        (place, label != plain)
    };
    let best = groups.iter().map(&rank).min();
    let found: Vec<&Group<'a>> = groups.iter().filter(|group| Some(rank(group)) == best).collect();
    match found.as_slice() {
        [group] => Ok(group),
        _ => Err(ChoiceError::Ambiguous { choices: selectors(&groups.iter().collect::<Vec<_>>(), groups) }),
    }
}

/// Makes a choice of a model, with the projector that belongs to it.
fn with_projector<'a>(group: &Group<'a>, listing: &'a Listing) -> Result<Chosen<'a>, ChoiceError> {
    if let Some(name) = &group.missing {
        return Err(ChoiceError::PartMissing { name: name.clone() });
    }
    let mut files: Vec<_> = group.parts.iter().map(|file| (*file, FileRole::Weights)).collect();
    files.extend(projector(group, &listing.files).map(|file| (file, FileRole::Projector)));
    Ok(Chosen { format: ModelFormat::Gguf, quantisation: group.quantisation.clone(), files })
}

/// Finds the projector beside a model, or in a folder above it: half precision first, since it is small and matters.
fn projector<'a>(group: &Group<'_>, files: &'a [ListedFile]) -> Option<&'a ListedFile> {
    const ORDER: [&str; 4] = ["F16", "BF16", "Q8_0", "F32"];
    let folder = group.stem.rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_above = |candidate: &str| candidate.is_empty() || candidate == folder || folder.starts_with(&format!("{candidate}/"));
    let rank = |file: &ListedFile| {
        let label = quantisation_of(without_ending(file.name.as_str()).unwrap_or_default()).map(|label| quantisation::normalised(&label));
        ORDER.iter().position(|known| Some(*known) == label.as_deref()).unwrap_or(ORDER.len())
    };
    let candidates = files.iter().filter(|file| is_projector(&file.name) && is_above(file.name.folder()));
    candidates.min_by_key(|file| (std::cmp::Reverse(file.name.folder().len()), rank(file), file.name.clone()))
}

/// The card, which names the licence, and the text of the licence come along where they are small and stand alone.
fn add_card<'a>(chosen: &mut Chosen<'a>, listing: &'a Listing) {
    const LARGEST: u64 = 1 << 20;
    let is_card = |name: &str| matches!(name, "README.md" | "LICENSE" | "LICENSE.txt" | "LICENSE.md");
    for file in listing.files.iter().filter(|file| is_card(file.name.as_str()) && file.size_bytes.is_some_and(|size| size <= LARGEST)) {
        let twins = listing.files.iter().filter(|other| other.name.as_str().eq_ignore_ascii_case(file.name.as_str())).count();
        if twins == 1 && file.digest.is_some() {
            chosen.files.push((file, FileRole::Licence));
        }
    }
}

/// Says why a file that is there is not taken as a model.
fn refuse_file(name: &RepositoryPath) -> ChoiceError {
    let ending = name.file_name().rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
    let (reason, hint) = if is_projector(name) {
        ("is what lets a model see pictures, not a model", "name the model; its projector comes along")
    } else if ending == SAFETENSORS {
        ("is a part of a model in the format safetensors", "write `:safetensors` to take the whole of it")
    } else if snapshot::is_pickle(name) {
        ("holds pickled weights, which run code when they are loaded", "use a repository with GGUF or safetensors files")
    } else {
        ("is no model", "name a GGUF file or a quantisation")
    };
    ChoiceError::Refused { reason: format!("`{}` {reason}", name.as_str()), hint: Some(hint.to_owned()) }
}

/// Says that nothing of that name is there, and what is.
fn missing(what: String, selector: &str, listing: &Listing, groups: &[Group<'_>]) -> ChoiceError {
    let wanted = selector.to_lowercase();
    let mut choices = selectors(&groups.iter().collect::<Vec<_>>(), groups);
    if snapshot::choose(listing).is_ok() {
        choices.push(SAFETENSORS.to_owned());
    }
    let likeness = |choice: &str| strsim::jaro_winkler(&wanted, &choice.to_lowercase());
    let names = groups.iter().filter_map(|group| group.parts.first()).map(|file| file.name.as_str());
    let mut near: Vec<&str> = names.filter(|name| likeness(name) > NEAR_FILE).collect();
    near.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    near.truncate(MOST_CHOICES / 4);
    if selector.contains('.') {
        choices = near.into_iter().map(str::to_owned).chain(choices).collect();
    }
    choices.sort_by(|a, b| (likeness(b) > NEAR).cmp(&(likeness(a) > NEAR)).then_with(|| likeness(b).total_cmp(&likeness(a))));
    choices.dedup();
    choices.truncate(MOST_CHOICES);
    ChoiceError::Missing { what, choices }
}

/// Names models so that each name means one of `all`: by the quantisation where that is enough, else by the file.
pub(super) fn selectors(some: &[&Group<'_>], all: &[Group<'_>]) -> Vec<String> {
    some.iter().map(|group| selector_of(group, all)).take(MOST_CHOICES).collect()
}

/// Names one model so that the name means it and no other of `all`.
pub(super) fn selector_of(group: &Group<'_>, all: &[Group<'_>]) -> String {
    let same = |other: &&Group<'_>| other.quantisation == group.quantisation;
    match &group.quantisation {
        Some(label) if all.iter().filter(same).count() == 1 => label.clone(),
        _ => group.parts.first().map(|file| file.name.as_str().to_owned()).unwrap_or_default(),
    }
}

#[cfg(test)]
pub(super) mod tests;
