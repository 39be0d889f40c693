//! Runnable examples: `src/bin/embed.rs` is a program with the library inside, `src/bin/toolcall.rs` judges tool
//! calls with nothing but `orchestrator-toolcall`, `python/` holds the same for Python, `instances/` holds configurations to start from.
//!
//! Owns no code of its own: what a program needs, the library has.

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::path::Path;

    use orchestrator_core::config::load::{Naming, load_instance};

    #[test]
    fn every_sample_is_a_valid_configuration() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("instances");
        let mut samples = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            assert_eq!(load_instance(&file, Naming::Free).err().map(|error| error.to_string()), None, "{}", file.display());
            samples += 1;
        }
        assert!(samples > 0);
    }
}
