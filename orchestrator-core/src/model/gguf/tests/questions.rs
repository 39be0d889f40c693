//! What the accessors answer.

use super::read;
use crate::model::gguf::{GgufArray, GgufHeader, GgufPerLayer, GgufSplit, GgufTensorType, GgufValue, GgufValueType, GgufWriter};

/// Reads back a header that was written without its tensors' bytes.
fn header_of(writer: &GgufWriter) -> GgufHeader {
    let mut bytes = writer.header_bytes().unwrap();
    bytes.resize(usize::try_from(writer.file_bytes().unwrap()).unwrap(), 0);
    read(&bytes).unwrap()
}

#[test]
fn a_header_answers_from_its_metadata() {
    let mut writer = GgufWriter::new("qwen3")
        .with("general.name", "Some Model 4B")
        .with("general.file_type", 15_u32)
        .with("qwen3.context_length", 40_960_u32)
        .with("qwen3.block_count", 36_u32)
        .with("qwen3.embedding_length", 2560_u32)
        .with("qwen3.attention.head_count", 32_u32)
        .with("qwen3.attention.head_count_kv", 8_u32)
        .with("qwen3.attention.key_length", 128_u32)
        .with("qwen3.attention.value_length", 128_u32)
        .with("tokenizer.ggml.model", "gpt2")
        .with("tokenizer.ggml.tokens", GgufArray::of_strings(["a", "b", "c"]))
        .with("tokenizer.chat_template", "{{ messages }}");
    writer.tensor("token_embd.weight", GgufTensorType::F16, &[2560, 3]).unwrap();
    writer.tensor("output_norm.weight", GgufTensorType::F32, &[2560]).unwrap();
    let header = header_of(&writer);
    assert_eq!(header.architecture(), Some("qwen3"));
    assert_eq!(header.name(), Some("Some Model 4B"));
    assert_eq!(header.quantisation(), Some("Q4_K_M"));
    assert_eq!(header.context_length(), Some(40_960));
    assert_eq!(header.block_count(), Some(36));
    assert_eq!(header.embedding_length(), Some(2560));
    assert_eq!(header.head_count(), Some(GgufPerLayer::Uniform(32)));
    assert_eq!(header.head_count_kv(), Some(GgufPerLayer::Uniform(8)));
    assert_eq!((header.key_length(), header.value_length()), (Some(128), Some(128)));
    assert_eq!(header.sliding_window(), None);
    assert!(header.has_chat_template());
    assert_eq!(header.tokenizer_model(), Some("gpt2"));
    assert_eq!(header.vocabulary_length(), Some(3));
    assert_eq!(header.parameter_count(), 2560 * 4);
    assert_eq!(header.weights_bytes(), 2560 * 3 * 2 + 2560 * 4);
    assert_eq!(header.split(), None);
}

#[test]
fn what_is_not_said_follows_from_what_is() {
    let mut writer = GgufWriter::new("llama")
        .with("llama.embedding_length", 4096_u64)
        .with("llama.attention.head_count", 32_u32)
        .with("llama.vocab_size", 32_000_u32)
        .with("llama.attention.sliding_window", 4096_u32);
    writer.tensor("norm", GgufTensorType::F32, &[64]).unwrap();
    writer.tensor("weight", GgufTensorType::from_number(12), &[256, 64]).unwrap();
    let header = header_of(&writer);
    assert_eq!(header.head_count_kv(), Some(GgufPerLayer::Uniform(32)));
    assert_eq!((header.key_length(), header.value_length()), (Some(128), Some(128)));
    assert_eq!(header.vocabulary_length(), Some(32_000));
    assert_eq!(header.sliding_window(), Some(4096));
    assert_eq!(header.quantisation(), Some("Q4_K"));
    assert!(!header.has_chat_template());
}

#[test]
fn a_header_that_says_nothing_answers_nothing() {
    let header = header_of(&GgufWriter::default().with("llama.context_length", 1_u32));
    assert_eq!(header.architecture(), None);
    assert_eq!(header.context_length(), None);
    assert_eq!(header.head_count(), None);
    assert_eq!(header.quantisation(), None);
    assert_eq!((header.parameter_count(), header.weights_bytes()), (0, 0));
}

#[test]
fn a_division_by_no_heads_is_no_answer() {
    let header = header_of(&GgufWriter::new("a").with("a.embedding_length", 8_u32).with("a.attention.head_count", 0_u32));
    assert_eq!(header.key_length(), None);
}

#[test]
fn heads_can_differ_from_layer_to_layer() {
    let header = header_of(&GgufWriter::new("a").with("a.attention.head_count_kv", GgufArray::of_u32([8, 0, 4])));
    let heads = header.head_count_kv().unwrap();
    assert_eq!(heads, GgufPerLayer::Listed(vec![8, 0, 4]));
    assert_eq!((heads.in_layer(0), heads.in_layer(1), heads.in_layer(3), heads.max()), (Some(8), Some(0), None, 8));
}

#[test]
fn a_part_of_a_split_model_says_which() {
    let writer = |count: u16| GgufWriter::new("a").with("split.no", 1_u16).with("split.count", count).with("split.tensors.count", 9_i32);
    assert_eq!(header_of(&writer(3)).split(), Some(GgufSplit { number: 1, count: 3 }));
    assert_eq!(header_of(&writer(0)).split(), None);
}

#[test]
fn guessed_and_unknown_file_types_have_a_name_where_there_is_one() {
    let name = |number: u32| header_of(&GgufWriter::new("a").with("general.file_type", number)).quantisation();
    assert_eq!(name(1024 + 17), Some("Q5_K_M"));
    assert_eq!(name(999), None);
    assert_eq!(
        [0, 1, 2, 7, 18, 30, 32, 38].map(name).map(Option::unwrap),
        ["F32", "F16", "Q4_0", "Q8_0", "Q6_K", "IQ4_XS", "BF16", "MXFP4_MOE"]
    );
}

#[test]
fn small_lists_of_numbers_are_kept_and_the_rest_is_measured() {
    let header = header_of(
        &GgufWriter::new("a")
            .with("few", GgufArray::of_i32([1, -2]))
            .with("many", GgufArray::of_i32(0..5000))
            .with("texts", GgufArray::of_strings(["a", ""])),
    );
    let array = |key: &str| header.get(key).and_then(GgufValue::as_array).cloned().unwrap();
    assert_eq!(array("few").items(), Some(&[GgufValue::I32(1), GgufValue::I32(-2)][..]));
    assert_eq!((array("many").len(), array("many").items()), (5000, None));
    assert_eq!((array("texts").element_type(), array("texts").len(), array("texts").items()), (GgufValueType::String, 2, None));
}
