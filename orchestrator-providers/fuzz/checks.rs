//! What must hold for any bytes: the bodies of the fuzz targets, for cargo-fuzz and for `cargo xtask fuzz`.

use orchestrator_providers::hub::ollama::manifest::{Manifest, PartKind};
use orchestrator_providers::hub::ollama::read_anything;

/// Any bytes are read or refused as a listing of the Hugging Face hub: no panic, no name that leaves its folder, no choice of
/// files that clash or that run code.
pub fn hub_listing(bytes: &[u8]) {
    orchestrator_providers::hub::check_listing(bytes);
}

/// Any bytes are read or refused as a registry's manifest, and as whatever else Ollama says: no panic, no endless work, one
/// file of weights in what is taken, and an error that can be shown.
pub fn registry_manifest(bytes: &[u8]) {
    match Manifest::read(bytes) {
        Ok(manifest) => {
            let weights = manifest.parts.iter().filter(|part| part.kind == PartKind::Weights).count();
            assert_eq!(weights, 1);
            assert_eq!(manifest.parts[0].kind, PartKind::Weights);
            assert!(manifest.parts.iter().all(|part| part.digest.as_str().len() == 64));
            assert!(manifest.total_bytes() < u64::MAX);
        }
        Err(error) => {
            let shown = format!("{error} {}", error.hint());
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
    }
    read_anything(bytes);
}
