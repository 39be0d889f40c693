//! Headers that are damaged or mean harm.

use super::{Raw, read, small_file};
use crate::model::gguf::{GgufExtent, GgufHeader, GgufReadOptions, GgufWriter, UnknownTensorTypes};

#[track_caller]
fn check(raw: &Raw, message: &str) {
    assert_eq!(read(&raw.0).unwrap_err().to_string(), message);
}

/// A header with one entry, whose value follows.
fn entry(key: &str, type_number: u32) -> Raw {
    Raw::header(0, 1).string(key).u32(type_number)
}

#[test]
fn versions_that_are_not_read_are_named() {
    let versioned = |version| Raw(b"GGUF".to_vec()).u32(version).zeros(16);
    check(&versioned(1), "GGUF version 1 is not supported; versions 2 and 3 are");
    check(&versioned(4), "GGUF version 4 is not supported; versions 2 and 3 are");
    check(&versioned(0), "GGUF version 0 is not supported; versions 2 and 3 are");
    check(&versioned(3_u32.swap_bytes()), "a big-endian GGUF file (version 3); only little-endian files are supported");
    assert_eq!(read(&versioned(2).0).unwrap().version, 2);
}

#[test]
fn a_cut_header_says_where() {
    check(&Raw(b"GGUF\x03\0".to_vec()), "the file is cut off: the version at byte 4 needs 4 bytes, but only 2 are left");
    check(&Raw(b"GGUF".to_vec()).u32(3).u32(0), "the file is cut off: the number of tensors at byte 8 needs 8 bytes, but only 4 are left");
    check(
        &Raw::header(0, 1).string("general.file_type").u32(4).u8(1).zeros(1),
        "the file is cut off: the value of `general.file_type` at byte 53 needs 4 bytes, but only 2 are left",
    );
}

#[test]
fn counts_are_compared_with_the_file_before_anything_else() {
    let huge = u64::MAX / 2;
    check(
        &Raw::header(huge, 0),
        "the header claims more than the file holds: the number of tensors at byte 8 claims 9223372036854775807, which needs \
         at least 18446744073709551615 bytes, but only 8 are left",
    );
    check(
        &Raw::header(0, 1000).zeros(100),
        "the header claims more than the file holds: the number of metadata entries at byte 16 claims 1000, which needs at \
         least 14000 bytes, but only 100 are left",
    );
    check(
        &Raw::header(0, 1).u64(1 << 40).zeros(32),
        "the header claims more than the file holds: metadata key 1 at byte 24 claims 1099511627776, which needs at least \
         1099511627776 bytes, but only 32 are left",
    );
    check(
        &entry("a", 8).u64(77).zeros(10),
        "the header claims more than the file holds: the value of `a` at byte 37 claims 77, which needs at least 77 bytes, \
         but only 10 are left",
    );
    check(
        &entry("tokenizer.ggml.tokens", 9).u32(8).u64(150_000).zeros(1000),
        "the header claims more than the file holds: the value of `tokenizer.ggml.tokens` at byte 61 claims 150000, which \
         needs at least 1200000 bytes, but only 1000 are left",
    );
}

#[test]
fn sizes_over_the_limits_are_refused_even_in_a_file_that_could_hold_them() {
    let options = GgufReadOptions::default();
    let check_sparse = |raw: Raw, file_bytes: u64, message: &str| {
        // The bytes after the header are never reached.
        let extent = GgufExtent::whole(file_bytes);
        let error = GgufHeader::read_from(std::io::Cursor::new(raw.0), extent, &options).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    let terabyte = 1 << 40;
    check_sparse(Raw::header(1 << 30, 0), terabyte, "the number of tensors at byte 8 has 1073741824 items, over the limit of 131072");
    check_sparse(
        Raw::header(0, 1 << 20).zeros(600),
        terabyte,
        "the number of metadata entries at byte 16 has 1048576 items, over the limit of 65536",
    );
    check_sparse(Raw::header(0, 1).u64(70_000).zeros(600), terabyte, "metadata key 1 at byte 24 has 70000 bytes, over the limit of 65535");
    check_sparse(
        entry("a", 8).u64(1 << 30).zeros(600),
        terabyte,
        "the value of `a` at byte 37 has 1073741824 bytes, over the limit of 8388608",
    );
    check_sparse(
        entry("a", 9).u32(0).u64(1 << 30).zeros(600),
        terabyte,
        "the value of `a` at byte 41 has 1073741824 elements, over the limit of 16777216",
    );
    check(&Raw::header(1, 0).tensor("t", &[1, 1, 1, 1, 1], 0, 0), "tensor `t` at byte 33 has 5 dimensions, over the limit of 4");
}

#[test]
fn arrays_in_arrays_end_at_the_nesting_limit() {
    let nested = |levels: usize| (1..levels).fold(entry("a", 9), |raw, _| raw.u32(9).u64(1)).u32(0).u64(2).zeros(2);
    assert!(read(&nested(4).0).is_ok());
    check(&nested(5), "the value of `a` at byte 85 has 5 levels of arrays, over the limit of 4");
}

#[test]
fn nested_arrays_share_one_limit_of_elements() {
    let mut options = GgufReadOptions::default();
    options.limits.array_elements = 10;
    let raw = (0..4).fold(entry("a", 9).u32(9).u64(4), |raw, _| raw.u32(0).u64(3).zeros(3));
    let extent = GgufExtent::whole(raw.0.len() as u64);
    let error = GgufHeader::read_from(std::io::Cursor::new(&raw.0), extent, &options).unwrap_err();
    assert_eq!(error.to_string(), "the value of `a` at byte 83 has 13 elements, over the limit of 10");
}

#[test]
fn memory_is_bounded_over_all_values_together() {
    let mut options = GgufReadOptions::default();
    options.limits.kept_bytes = 1000;
    let mut writer = GgufWriter::new("llama");
    (0..20).for_each(|index| writer.set(&format!("key.{index}"), "x".repeat(100)));
    let bytes = writer.header_bytes().unwrap();
    let extent = GgufExtent::whole(bytes.len() as u64);
    let error = GgufHeader::read_from(std::io::Cursor::new(&bytes), extent, &options).unwrap_err().to_string();
    assert!(error.starts_with("the header up to ") && error.ends_with("bytes to keep, over the limit of 1000"), "{error}");
}

#[test]
fn names_are_text_that_stands_once() {
    check(&Raw::header(0, 1).u64(0).zeros(32), "metadata key 1 at byte 24 is empty");
    check(&Raw::header(0, 1).string([0xff, 0xfe]).zeros(32), "metadata key 1 at byte 24 is not UTF-8 text");
    check(&Raw::header(1, 0).u64(0).zeros(32), "the name of tensor 1 at byte 24 is empty");
    let twice = GgufWriter::new("llama").with("general.architecture", "llama");
    check(&Raw(twice.header_bytes().unwrap()), "metadata key `general.architecture` at byte 69 is there twice");
    check(&Raw::header(2, 0).tensor("t", &[8], 0, 0).tensor("t", &[8], 0, 32).zeros(128), "tensor `t` at byte 57 is there twice");
}

#[test]
fn names_are_shown_escaped_and_short() {
    let name = format!("\x1b[31m{}", "x".repeat(200));
    let error = read(&Raw::header(0, 1).string(&name).u32(99).0).unwrap_err().to_string();
    assert!(!error.contains('\x1b') && error.contains("\\u{1b}[31mxxx") && error.contains('…'), "{error}");
    assert!(error.len() < 200, "{error}");
}

#[test]
fn values_of_no_type_are_refused() {
    check(&entry("a", 13).zeros(8), "the value of `a` at byte 33 has value type 13; the format has types 0 to 12");
    check(&entry("a", 9).u32(99).u64(0), "the value of `a` at byte 37 has value type 99; the format has types 0 to 12");
    check(&entry("a", 7).u8(2), "the value of `a` at byte 37 is a truth value of 2; expected 0 or 1");
}

#[test]
fn a_value_that_is_not_utf8_is_kept_as_well_as_it_can_be() {
    let header = read(&entry("a", 8).string(b"caf\xe9").0).unwrap();
    assert_eq!(header.get("a").unwrap().as_str(), Some("caf\u{fffd}"));
}

#[test]
fn alignments_are_powers_of_two() {
    for bad in [0, 1, 4, 24, u32::MAX, 1 << 25] {
        let bytes = GgufWriter::default().with("general.alignment", bad).header_bytes().unwrap();
        check(&Raw(bytes), &format!("`general.alignment` is {bad}; expected a power of two from 8 to 16777216"));
    }
    let bytes = GgufWriter::default().with("general.alignment", "32").header_bytes().unwrap();
    check(&Raw(bytes), "metadata key `general.alignment` is a string; expected a u32");
    let header = read(&GgufWriter::new("llama").alignment(4096).header_bytes().unwrap()).unwrap();
    assert_eq!((header.alignment, header.data_offset), (4096, 4096));
}

#[test]
fn shapes_that_overflow_or_are_not_whole_blocks_are_refused() {
    check(
        &Raw::header(1, 0).tensor("t", &[1 << 32, 1 << 32], 0, 0),
        "tensor `t` has shape [4294967296, 4294967296], which F32 cannot hold: the product is too large",
    );
    check(
        &Raw::header(1, 0).tensor("t", &[1 << 62], 27, 0),
        "tensor `t` has shape [4611686018427387904], which I64 cannot hold: the size is too large",
    );
    check(
        &Raw::header(1, 0).tensor("t", &[300, 2], 12, 0),
        "tensor `t` has shape [300, 2], which Q4_K cannot hold: the first dimension is not a whole number of blocks",
    );
}

#[test]
fn tensors_lie_inside_the_file_aligned_and_apart() {
    check(
        &Raw::header(1, 0).tensor("t", &[8], 0, 8).zeros(128),
        "tensor `t` begins at data offset 8, which is not a multiple of the alignment 32",
    );
    check(&Raw::header(2, 0).tensor("late", &[8], 0, 32).tensor("early", &[16], 0, 0).zeros(128), "tensors `early` and `late` overlap");
    check(
        &Raw::header(1, 0).tensor("t", &[8], 0, u64::MAX - 31).zeros(128),
        "the file is cut off: 18446744073709551430 bytes are missing (tensor `t` ends at byte 18446744073709551615, the file at byte 185)",
    );
}

#[test]
fn a_tensor_of_an_unknown_type_is_refused_or_listed_with_its_room() {
    let raw = Raw::header(3, 0).tensor("a", &[8], 0, 0).tensor("new", &[7], 77, 32).tensor("z", &[8], 0, 128).zeros(31 + 160);
    check(&raw, "tensor `new` has type 77, which this version does not know");
    let options = GgufReadOptions { unknown_types: UnknownTensorTypes::List, ..GgufReadOptions::default() };
    let extent = GgufExtent::whole(raw.0.len() as u64);
    let header = GgufHeader::read_from(std::io::Cursor::new(&raw.0), extent, &options).unwrap();
    let sizes: Vec<(String, u64)> = header.tensors.iter().map(|tensor| (tensor.tensor_type.to_string(), tensor.bytes)).collect();
    assert_eq!(sizes, [("F32".to_owned(), 32), ("type 77".to_owned(), 96), ("F32".to_owned(), 32)]);
}

#[test]
fn every_beginning_of_a_good_file_is_refused_as_cut_off() {
    let whole = small_file();
    let end_of_weights = whole.len() - 16;
    for length in 1..end_of_weights {
        let message = read(&whole[..length]).unwrap_err().to_string();
        let expected = message.starts_with("the file is cut off") || message.starts_with("the header claims more");
        assert!(expected, "after {length} bytes: {message}");
    }
}
