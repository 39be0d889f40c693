#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::super::choose::tests::listing;
use super::*;

fn names(names: &[&str], with_code: bool) -> Vec<String> {
    let listing = Listing { needs_remote_code: with_code, ..listing(names) };
    choose(&listing).unwrap().files.iter().map(|(file, _)| file.name.as_str().to_owned()).collect()
}

#[test]
fn a_snapshot_is_the_weights_once_and_what_is_read_beside_them() {
    let all = [
        ".gitattributes",
        "README.md",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "tokenizer.model",
        "tokenizer.json",
        "chat_template.jinja",
        "additional_chat_templates/tools.jinja",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "consolidated.safetensors",
        "original/consolidated.00.pth",
        "original/params.json",
        "pytorch_model.bin",
        "pytorch_model-00001-of-00002.bin",
        "model.ckpt",
        "weights.pkl",
        "tf_model.h5",
        "flax_model.msgpack",
        "onnx/model.onnx",
        "onnx/config.json",
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "modeling_x.py",
        "photo.png",
    ];
    let expected = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "tokenizer.model",
        "tokenizer.json",
        "chat_template.jinja",
        "additional_chat_templates/tools.jinja",
        "model.safetensors.index.json",
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
    ];
    assert_eq!(names(&all, false), expected);
    let with_code = names(&all, true);
    assert!(with_code.contains(&"modeling_x.py".to_owned()) && with_code.len() == expected.len() + 1, "{with_code:?}");
}

#[test]
fn one_file_is_enough_where_there_is_one() {
    assert_eq!(
        names(&["config.json", "model.safetensors", "consolidated.safetensors", "model.fp16.safetensors"], false),
        ["model.safetensors", "config.json"]
    );
    let both = ["config.json", "model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json"];
    assert_eq!(names(&both, false), ["model.safetensors", "config.json"]);
    assert_eq!(names(&["config.json", "consolidated.safetensors"], false), ["consolidated.safetensors", "config.json"]);
}

#[test]
fn what_is_incomplete_or_no_model_is_refused() {
    let error = |names: &[&str]| choose(&listing(names)).unwrap_err();
    assert_eq!(
        error(&["config.json", "model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"]),
        ChoiceError::PartMissing { name: "model-00002-of-00003.safetensors".to_owned() }
    );
    let words = |names: &[&str]| match error(names) {
        ChoiceError::Refused { reason, .. } => reason,
        other => format!("{other:?}"),
    };
    assert!(words(&["model.safetensors"]).contains("no `config.json`"));
    assert!(words(&["model-00001-of-99999.safetensors", "config.json"]).contains("99999 files"));
    assert!(words(&["pytorch_model.bin", "config.json"]).contains("run code"));
    let adapter = Listing { base_model: Some("a/b".to_owned()), ..listing(&["adapter_config.json", "adapter_model.safetensors"]) };
    let ChoiceError::Refused { reason, .. } = choose(&adapter).unwrap_err() else { panic!("not refused") };
    assert_eq!(reason, "it is an adapter of `a/b`, not a whole model");
}
