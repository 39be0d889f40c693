//! What must hold for any bytes: the bodies of the fuzz targets, for cargo-fuzz and for `cargo xtask fuzz`.

use std::io::Cursor;
use std::path::Path;

use orchestrator_core::Problem;
use orchestrator_core::config::load::{Naming, parse_daemon_config, parse_instance};
use orchestrator_core::memory::{LoadSettings, estimate};
use orchestrator_core::model::gguf::{GgufExtent, GgufHeader, GgufReadOptions, UnknownTensorTypes};
use orchestrator_core::model::safetensors::{SafetensorsHeader, SafetensorsIndex, SafetensorsLimits, TransformersConfig};
use orchestrator_core::model::{ModelHeader, ModelReference};

/// Any text is read or refused as either configuration: no panic, no endless work, and an error that can be shown.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = Path::new("/home/instances/demo/config.yaml");
    if let Ok(spec) = parse_instance(text, file, Naming::Free) {
        assert!(spec.model.reference.as_file().is_none_or(Path::is_absolute));
    }
    for error in [parse_instance(text, file, Naming::Free).err(), parse_daemon_config(text, file).err()].into_iter().flatten() {
        let shown = format!("{error} {:?}", Problem::from_error(&error));
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}

/// Any bytes, with any claim about the file's size, are read or refused as a GGUF header: no panic, no large memory.
///
/// The first ten bytes choose the claims, the rest is the file.
pub fn gguf_header(input: &[u8]) {
    let Some((choices, file)) = input.split_first_chunk::<10>() else { return };
    let [how, cut, size @ ..] = *choices;
    let held = file.len() as u64;
    let file_bytes = if how & 1 == 0 { held } else { u64::from_le_bytes(size) };
    let available = held.saturating_sub(u64::from(cut)).min(file_bytes);
    let unknown_types = if how & 2 == 0 { UnknownTensorTypes::Refuse } else { UnknownTensorTypes::List };
    let options = GgufReadOptions { unknown_types, ..GgufReadOptions::default() };

    let Ok(header) = GgufHeader::read_from(Cursor::new(file), GgufExtent { file_bytes, available }, &options) else {
        return;
    };
    for tensor in &header.tensors {
        assert!(header.data_offset + tensor.offset + tensor.bytes <= file_bytes);
    }
    assert!(header.weights_bytes() <= file_bytes);
    let _ = (header.quantisation(), header.parameter_count(), header.head_count_kv(), header.key_length(), header.split());
    let _ = estimate(&ModelHeader::from(header), &LoadSettings::default());
}

/// Any bytes are read or refused as each of the documents of a safetensors model: no panic, no large memory, and an error that
/// can be shown.
///
/// The first nine bytes choose the claim about the file's size, the rest is the file.
pub fn safetensors_header(input: &[u8]) {
    let Some((choices, file)) = input.split_first_chunk::<9>() else { return };
    let [how, size @ ..] = *choices;
    let file_bytes = if how & 1 == 0 { file.len() as u64 } else { u64::from_le_bytes(size) };
    let limits = SafetensorsLimits::default();
    let header = SafetensorsHeader::read_from(Cursor::new(file), file_bytes, &limits);
    if let Ok(header) = &header {
        assert!(header.data_offset + header.weights_bytes() == file_bytes);
    }
    let index = SafetensorsIndex::read_from(Cursor::new(file), &limits);
    if let Ok(index) = &index {
        assert!(index.files().iter().all(|name| !name.contains(['/', '\\']) && !name.starts_with('.')));
    }
    let config = TransformersConfig::read_from(Cursor::new(file), &limits);
    for error in [header.err(), index.err(), config.err()].into_iter().flatten() {
        let shown = format!("{error} {:?}", Problem::from_error(&error));
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}

/// Any text is read or refused as a model reference: what is read is written the same way again, and never leaves its
/// folder.
pub fn model_reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<ModelReference>() {
        Ok(reference) => {
            let written = reference.to_string();
            assert_eq!(written.parse::<ModelReference>().as_ref(), Ok(&reference), "{written}");
            assert!(!written.chars().any(char::is_control) && !reference.short_name().is_empty());
            let parts = match &reference {
                ModelReference::HuggingFace { repository, revision, selector } => {
                    vec![Some(repository), revision.as_ref(), selector.as_ref()]
                }
                ModelReference::Ollama { name, tag } => vec![Some(name), tag.as_ref()],
                _ => Vec::new(),
            };
            for part in parts.into_iter().flatten() {
                assert!(!part.is_empty() && !part.starts_with('/') && part.split('/').all(|part| part != ".." && part != "."), "{part}");
            }
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
}
