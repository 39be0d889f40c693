#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use std::collections::{HashMap, HashSet};
use std::fs;

use super::random::half_bits;
use super::vocabulary::{TokenKind, Vocabulary};
use super::{DemoArchitecture, DemoModel, DemoPrecision, write_demo_model};
use crate::model::gguf::{GgufHeader, GgufPerLayer};

/// Writes `model` and returns its header and its bytes.
fn written(model: &DemoModel) -> (GgufHeader, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.gguf");
    let file = write_demo_model(&path, model).unwrap();
    let header = GgufHeader::read(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(file.bytes, bytes.len() as u64);
    assert_eq!(header.vocabulary_length(), Some(u64::from(file.vocabulary_length)));
    (header, bytes)
}

#[test]
fn the_default_model_is_about_a_megabyte_and_describes_itself() {
    let (header, bytes) = written(&DemoModel::default());
    assert!((600_000..3_000_000).contains(&bytes.len()), "{}", bytes.len());
    assert_eq!(header.architecture(), Some("llama"));
    assert_eq!(header.name(), Some("orchestrator-demo"));
    assert_eq!(header.quantisation(), Some("F16"));
    assert_eq!(header.context_length(), Some(4096));
    assert_eq!(header.block_count(), Some(2));
    assert_eq!(header.head_count_kv(), Some(GgufPerLayer::Uniform(2)));
    assert_eq!(header.key_length(), Some(32));
    assert_eq!(header.tokenizer_model(), Some("gpt2"));
    assert!(header.has_chat_template());
}

#[test]
fn the_same_settings_give_the_same_bytes_and_another_seed_other_weights() {
    let model = DemoModel::default();
    let (header, bytes) = written(&model);
    assert!(bytes == written(&model).1);
    let (other_header, other) = written(&DemoModel { seed: 2, ..model });
    assert_eq!(header, other_header);
    let data = usize::try_from(header.data_offset).unwrap();
    assert!(bytes[..data] == other[..data] && bytes[data..] != other[data..]);
}

#[test]
fn architectures_and_sizes_give_the_tensors_an_engine_expects() {
    let names = |architecture: DemoArchitecture| -> HashSet<String> {
        let model = DemoModel { architecture, block_count: 1, ..DemoModel::default() };
        written(&model).0.tensors.into_iter().map(|tensor| tensor.name).collect()
    };
    let llama = names(DemoArchitecture::Llama);
    assert_eq!(llama.len(), 3 + 9);
    let added = |architecture: DemoArchitecture| -> Vec<String> {
        let mut added: Vec<String> = names(architecture).difference(&llama).cloned().collect();
        added.sort();
        added
    };
    assert_eq!(added(DemoArchitecture::Qwen2), ["blk.0.attn_k.bias", "blk.0.attn_q.bias", "blk.0.attn_v.bias"]);
    assert_eq!(added(DemoArchitecture::Qwen3), ["blk.0.attn_k_norm.weight", "blk.0.attn_q_norm.weight"]);

    let large = DemoModel { embedding_length: 256, head_count: 8, head_count_kv: 1, precision: DemoPrecision::F32, ..DemoModel::default() };
    let (header, _) = written(&large);
    let shape = |name: &str| header.tensors.iter().find(|tensor| tensor.name == name).unwrap().shape.clone();
    assert_eq!(shape("blk.1.attn_q.weight"), [256, 256]);
    assert_eq!(shape("blk.1.attn_k.weight"), [256, 32]);
    assert_eq!(header.quantisation(), Some("F32"));
}

#[test]
fn sizes_that_do_not_fit_are_refused_and_what_was_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.gguf");
    fs::write(&path, "precious").unwrap();
    let base = DemoModel::default;
    let bad = [
        DemoModel { head_count: 0, ..base() },
        DemoModel { head_count: 1, head_count_kv: 1, ..base() },
        DemoModel { head_count_kv: 3, ..base() },
        DemoModel { head_count_kv: 0, ..base() },
        DemoModel { embedding_length: 100, ..base() },
        DemoModel { embedding_length: u32::MAX, ..base() },
        DemoModel { block_count: 0, ..base() },
        DemoModel { block_count: 1000, ..base() },
        DemoModel { context_length: 0, ..base() },
        DemoModel { feed_forward_length: 0, ..base() },
        DemoModel { head_count: u32::MAX, head_count_kv: u32::MAX, ..base() },
    ];
    for model in bad {
        let error = write_demo_model(&path, &model).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{model:?}");
        assert!(error.to_string().starts_with("demo model: `"), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn writing_replaces_the_file_and_leaves_nothing_else_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.gguf");
    fs::write(&path, "old").unwrap();
    write_demo_model(&path, &DemoModel::default()).unwrap();
    GgufHeader::read(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(write_demo_model(&folder.path().join("absent/demo.gguf"), &DemoModel::default()).is_err());
}

#[test]
fn the_vocabulary_has_every_byte_once_and_every_token_once() {
    let vocabulary = Vocabulary::build();
    let texts: Vec<&str> = vocabulary.texts().collect();
    assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len());
    assert!(texts[..256].iter().all(|text| text.chars().count() == 1));
    // As GPT-2 writes them: printable bytes as themselves, the others from U+0100 on.
    assert_eq!(
        (texts[usize::from(b'A')], texts[0], texts[usize::from(b'\n')], texts[usize::from(b' ')]),
        ("A", "\u{100}", "\u{10a}", "\u{120}")
    );
    assert_eq!((texts[0x7f], texts[0xa0], texts[0xad], texts[0xff]), ("\u{121}", "\u{142}", "\u{143}", "ÿ"));
    assert_eq!(texts[vocabulary.end_of_turn() as usize], "<|im_end|>");
    assert_eq!(texts[vocabulary.start_of_text() as usize], "<|endoftext|>");
}

#[test]
fn merges_lead_from_letters_to_every_word() {
    let vocabulary = Vocabulary::build();
    let ranks: HashMap<(String, String), usize> = vocabulary
        .merges()
        .enumerate()
        .map(|(rank, merge)| {
            let (left, right) = merge.split_once(' ').unwrap();
            ((left.to_owned(), right.to_owned()), rank)
        })
        .collect();
    let merge = |text: &str| -> Vec<String> {
        let mut pieces: Vec<String> = text.chars().map(String::from).collect();
        loop {
            let best = (1..pieces.len()).filter_map(|right| {
                let pair = (pieces[right - 1].clone(), pieces[right].clone());
                ranks.get(&pair).map(|rank| (*rank, right))
            });
            let Some((_, right)) = best.min() else { return pieces };
            let tail = pieces.remove(right);
            pieces[right - 1].push_str(&tail);
        }
    };
    let words: Vec<&str> =
        vocabulary.texts().zip(vocabulary.kinds()).filter(|(_, kind)| *kind == TokenKind::Word).map(|(text, _)| text).collect();
    assert_eq!(words.len(), 128);
    for word in words {
        assert_eq!(merge(word), [word]);
    }
}

#[test]
fn every_16_bit_float_is_its_own_nearest() {
    for bits in 0..=u16::MAX {
        let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
        let magnitude = match exponent {
            31 if bits & 0x3ff != 0 => continue,
            31 => f32::INFINITY,
            0 => fraction * 2_f32.powi(-24),
            _ => (1024.0 + fraction) * 2_f32.powi(exponent - 25),
        };
        let value = if bits & 0x8000 == 0 { magnitude } else { -magnitude };
        assert_eq!(half_bits(value), bits, "{value}");
    }
}

#[test]
fn between_two_16_bit_floats_the_nearer_wins_and_ties_go_to_even() {
    let cases = [
        (1.000_4, 0x3c00),
        (1.000_488_3, 0x3c00),
        (1.000_6, 0x3c01),
        (1.001_464_8, 0x3c02),
        (65_519.0, 0x7bff),
        (65_520.0, 0x7c00),
        (1e9, 0x7c00),
        (2_f32.powi(-25), 0),
        (2_f32.powi(-25) * 1.5, 1),
        (1e-30, 0),
        (-1e-30, 0x8000),
    ];
    for (value, expected) in cases {
        assert_eq!(half_bits(value), expected, "{value}");
    }
    assert!(half_bits(f32::NAN) & 0x7fff > 0x7c00);
}
