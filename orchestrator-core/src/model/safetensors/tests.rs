//! What is read and what is refused.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::Cursor;

use proptest::prelude::*;
use serde_json::json;

use super::{
    LayerAttention, SafetensorsError, SafetensorsFile, SafetensorsHeader, SafetensorsIndex, SafetensorsLimits, SafetensorsModel,
    TransformersConfig,
};

/// Puts a file together from the text of its header and the length of its data.
fn file(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data_bytes, 0);
    bytes
}

fn read(bytes: &[u8]) -> Result<SafetensorsHeader, SafetensorsError> {
    SafetensorsHeader::read_from(Cursor::new(bytes), bytes.len() as u64, &SafetensorsLimits::default())
}

fn config(document: &serde_json::Value) -> TransformersConfig {
    TransformersConfig::read_from(Cursor::new(document.to_string()), &SafetensorsLimits::default()).unwrap()
}

fn index(document: &serde_json::Value) -> Result<SafetensorsIndex, SafetensorsError> {
    SafetensorsIndex::read_from(Cursor::new(document.to_string()), &SafetensorsLimits::default())
}

const GOOD: &str = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}   "#;

#[test]
fn a_good_header_lists_its_tensors_in_the_order_of_their_bytes() {
    let header = read(&file(GOOD, 16)).unwrap();
    let names: Vec<&str> = header.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!((header.weights_bytes(), header.data_offset), (16, 8 + GOOD.len() as u64));
    assert_eq!(header.tensors[0].parameters(), 4);
}

#[test]
fn what_is_no_header_or_lies_about_its_bytes_is_refused() {
    let cases = [
        (file(GOOD, 15), "take 16 bytes"),
        (file(GOOD, 17), "take 16 bytes"),
        (file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12), "begins at data offset 4"),
        (
            file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8),
            "begins at data offset 4",
        ),
        (file(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8), "for 12 bytes"),
        (file(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#, 8), "too many"),
        (file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8), "ends before it begins"),
        (
            file(r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#, 0),
            "twice",
        ),
        (file(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}"#, 0), "cannot be understood"),
        (file(r#"{"a":{"dtype":"F32","shape":[0]}}"#, 0), "lacks"),
        (file(r#"{"a":1}"#, 0), "cannot be understood"),
        (file("[]", 0), "begin with `{`"),
        (file("{} {}", 0), "cannot be understood"),
        (b"PK\x03\x04 is a zip file".to_vec(), "over the limit"),
        (vec![1, 2, 3], "it has 3 bytes"),
        (1000_u64.to_le_bytes().to_vec(), "claims 1000 bytes"),
    ];
    for (bytes, expected) in cases {
        let refused = read(&bytes).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused} does not say {expected}");
    }
}

#[test]
fn a_claim_larger_than_what_comes_takes_no_memory() {
    // The file says that it is large; the reader of it gives ten bytes.
    let bytes = [&90_000_000_u64.to_le_bytes()[..], b"{}"].concat();
    let refused = SafetensorsHeader::read_from(Cursor::new(bytes), 1 << 40, &SafetensorsLimits::default()).unwrap_err();
    assert!(matches!(refused, SafetensorsError::HeaderCutOff { remaining: 2, .. }), "{refused}");
}

#[test]
fn an_index_names_plain_files_alone() {
    let good = index(&json!({"metadata": {"total_size": 8}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})).unwrap();
    assert_eq!(good.files().len(), 2);
    for name in [
        "../model.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "a\\b.safetensors",
        "model.bin",
        ".safetensors",
        "C:x.safetensors",
        "x\n.safetensors",
    ] {
        let refused = index(&json!({"weight_map": {"a": name}})).unwrap_err();
        assert!(matches!(refused, SafetensorsError::BadFileName { .. }), "{name} was taken");
        assert!(!refused.to_string().contains('\n'));
    }
    assert!(index(&json!({"metadata": {}})).is_err());
}

#[test]
fn a_tensor_that_is_not_where_the_index_says_is_missed() {
    let header = read(&file(GOOD, 16)).unwrap();
    let files = vec![SafetensorsFile { name: "model.safetensors".to_owned(), header }];
    let named = |tensor: &str| index(&json!({"weight_map": {tensor: "model.safetensors"}})).unwrap();
    let model = |tensor: &str| SafetensorsModel::try_new(TransformersConfig::default(), files.clone(), Some(&named(tensor)));
    assert_eq!(model("a").unwrap().quantisation().unwrap(), "F32");
    assert!(matches!(model("c"), Err(SafetensorsError::MissingTensor { .. })));
}

#[test]
fn a_configuration_is_read_for_what_matters() {
    let read = config(&json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "num_hidden_layers": 3, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 1024, "max_position_embeddings": 40_960, "vocab_size": 151_936,
        "torch_dtype": "bfloat16", "quantization_config": {"quant_method": "awq"}, "sliding_window": 4096,
        "layer_types": ["sliding_attention", "full_attention", "linear_attention"]
    }));
    assert_eq!((read.layer_count, read.head_count_kv, read.head_length), (Some(3), Some(8), Some(128)));
    assert_eq!((read.dtype.as_deref(), read.quantisation.as_deref()), (Some("bfloat16"), Some("awq")));
    let attention: Vec<_> = (0..4).map(|layer| read.attention_of(layer)).collect();
    assert_eq!(attention, [LayerAttention::Sliding, LayerAttention::Full, LayerAttention::Recurrent, LayerAttention::Full]);
    assert!(!read.needs_remote_code);
}

#[test]
fn what_is_about_text_is_found_where_a_model_also_sees() {
    let read = config(&json!({
        "model_type": "gemma3", "auto_map": {"AutoModel": "modeling.X"},
        "text_config": {"num_hidden_layers": 34, "hidden_size": 2560, "num_attention_heads": 8, "sliding_window": null}
    }));
    assert_eq!((read.layer_count, read.head_count_kv, read.head_length), (Some(34), Some(8), Some(320)));
    assert_eq!(read.sliding_window, None);
    assert!(read.needs_remote_code);
}

#[test]
fn a_configuration_that_is_none_is_refused_and_an_odd_one_is_read() {
    let limits = SafetensorsLimits::default();
    for text in ["", "[]", "{", "1"] {
        assert!(TransformersConfig::read_from(Cursor::new(text), &limits).is_err(), "{text}");
    }
    let tight = SafetensorsLimits { config_bytes: 4, ..limits };
    assert!(matches!(TransformersConfig::read_from(Cursor::new("{\"a\":1}"), &tight), Err(SafetensorsError::OverLimit { .. })));
    let odd = config(&json!({"num_hidden_layers": "many", "num_attention_heads": 0, "hidden_size": 64, "architectures": 5}));
    assert_eq!((odd.layer_count, odd.head_length), (None, None));
}

proptest! {
    #[test]
    fn what_was_written_is_read(shapes in prop::collection::vec(prop::collection::vec(0_u64..6, 0..4), 0..12)) {
        let mut end = 0;
        let mut header = serde_json::Map::new();
        for (number, shape) in shapes.iter().enumerate() {
            let begin = end;
            end += 2 * shape.iter().product::<u64>();
            header.insert(format!("tensor.{number}"), json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}));
        }
        let bytes = file(&serde_json::Value::Object(header).to_string(), usize::try_from(end).unwrap());
        let read = read(&bytes).unwrap();
        prop_assert_eq!(read.tensors.len(), shapes.len());
        prop_assert_eq!(read.weights_bytes(), end);
    }

    #[test]
    fn damaged_headers_are_refused_or_lie_inside_their_file(
        changes in prop::collection::vec((0_usize..160, any::<u8>()), 1..6),
        file_bytes in prop::sample::select(vec![0_u64, 100, 185, 1 << 40, u64::MAX]),
    ) {
        let mut bytes = file(GOOD, 16);
        for (position, byte) in changes {
            bytes[position] = byte;
        }
        if let Ok(header) = SafetensorsHeader::read_from(Cursor::new(&bytes), file_bytes, &SafetensorsLimits::default()) {
            prop_assert!(header.data_offset + header.weights_bytes() == file_bytes);
        }
    }

    #[test]
    fn random_bytes_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let _ = SafetensorsIndex::read_from(Cursor::new(&bytes), &SafetensorsLimits::default());
        let _ = TransformersConfig::read_from(Cursor::new(&bytes), &SafetensorsLimits::default());
    }
}
