//! What must hold for any bytes: the bodies of the fuzz targets, for cargo-fuzz and for `cargo xtask fuzz`.

/// Any bytes are read or refused as a listing of the Hugging Face hub: no panic, no name that leaves its folder, no choice of
/// files that clash or that run code.
pub fn hub_listing(bytes: &[u8]) {
    orchestrator_providers::hub::check_listing(bytes);
}
