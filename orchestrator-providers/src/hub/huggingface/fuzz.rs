//! What the fuzz targets call: the readers of what comes from the hub, and what must hold of their answers.

use super::choose::{choose, groups, selector_of};
use super::listing::Listing;

/// Reads `bytes` as a listing of the hub and chooses from it: for the fuzz target `hub_listing`.
///
/// # Panics
/// Where a promise is broken: a name that leaves its folder, a choice that clashes with itself, a selector of ours that
/// means something else.
pub fn check_listing(bytes: &[u8]) {
    let _ = super::api::parse_search(bytes);
    let Ok(listing) = Listing::parse(bytes) else { return };
    for file in &listing.files {
        let path = file.name.below(std::path::Path::new("/root"));
        assert!(
            path.starts_with("/root") && path.components().all(|part| part != std::path::Component::ParentDir),
            "a name leaves its folder"
        );
    }
    for selector in [None, Some("Q4_K_M"), Some("safetensors"), Some("gguf"), Some("model.gguf")] {
        let Ok(chosen) = choose(&listing, selector) else { continue };
        let names: Vec<_> = chosen.files.iter().map(|(file, _)| &file.name).collect();
        assert!(super::path::clash(&names).is_none(), "a choice clashes with itself");
        assert!(!names.iter().any(|name| super::snapshot::is_pickle(name)), "a pickle was chosen");
    }
    let all = groups(&listing.files);
    if let Some(group) = all.first()
        && let Ok(chosen) = choose(&listing, Some(&selector_of(group, &all)))
    {
        assert!(
            chosen.files.first().map(|(file, _)| &file.name) == group.parts.first().map(|file| &file.name),
            "a selector means another model"
        );
    }
}
