//! What can stand at a path.

use std::fs;
use std::path::Path;

use super::{GgufExtent, GgufHeader, GgufReadOptions, GgufTensorType, GgufWriter, small_file};
use crate::error::{Coded, ErrorCode};
use crate::model::gguf::GgufError;

/// Reads `path` and compares message, code and the beginning of the hint.
#[track_caller]
fn check(path: &Path, message: &str, code: ErrorCode, hint: &str) {
    let error = GgufHeader::read(path).unwrap_err();
    assert_eq!(error.to_string(), message);
    assert_eq!(error.code(), code);
    let shown = error.hint().unwrap_or_default();
    assert!(shown.starts_with(hint), "{shown}");
}

#[track_caller]
fn check_content(content: &[u8], message: &str, hint: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, content).unwrap();
    check(&path, message, ErrorCode::ModelInvalid, hint);
}

#[test]
fn a_missing_file_is_named_so() {
    let folder = tempfile::tempdir().unwrap();
    check(&folder.path().join("absent.gguf"), "no such file", ErrorCode::ModelNotFound, "check the path");
}

#[test]
fn a_directory_is_named_so() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), "it is a directory, not a file", ErrorCode::ModelUnreadable, "name the `.gguf` file inside");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_without_waiting_for_its_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    check(&path, "it is not a regular file", ErrorCode::ModelUnreadable, "name a regular");
}

#[cfg(unix)]
#[test]
fn a_file_behind_a_file_is_unreadable_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), b"x").unwrap();
    let error = GgufHeader::read(&folder.path().join("file/model.gguf")).unwrap_err();
    assert_eq!(error.to_string(), "the file cannot be read");
    assert_eq!(error.code(), ErrorCode::ModelUnreadable);
    assert!(std::error::Error::source(&error).is_some());
}

#[cfg(unix)]
#[test]
fn a_file_without_read_permission_is_unreadable() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, small_file()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Whoever may read everything reads this too.
    match GgufHeader::read(&path) {
        Ok(header) => assert!(rustix::process::geteuid().is_root(), "{header:?}"),
        Err(error) => assert_eq!((error.code(), error.to_string().as_str()), (ErrorCode::ModelUnreadable, "the file cannot be read")),
    }
}

#[test]
fn an_empty_file_is_named_so() {
    check_content(b"", "the file is empty", "the download or copy did not finish");
}

#[test]
fn other_formats_are_named_with_their_own_way_out() {
    let safetensors = [&64_u64.to_le_bytes()[..], br#"{"weight":{"dtype":"F32"}}"#].concat();
    let cases: [(&[u8], &str, &str); 12] = [
        (&safetensors, "a safetensors file", "llama.cpp needs GGUF"),
        (b"PK\x03\x04\x14\x00", "a zip archive, such as a PyTorch `.bin` checkpoint", "pickled checkpoints can run code"),
        (b"\x80\x02\x8a\x0a", "a Python pickle, such as an old PyTorch checkpoint", "pickled checkpoints can run code"),
        (b"tjgg\x03\0\0\0", "a GGML file, the format before GGUF", "the format was replaced"),
        (b"\n<!DOCTYPE HTML><html>", "a web page", "an error page was saved"),
        (b"<html><head>404", "a web page", "an error page was saved"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a git-lfs pointer", "git fetched only the pointer"),
        (br#"{"error":"Repository not found"}"#, "JSON text", "an error page was saved"),
        (b"\x1f\x8b\x08\x00", "a gzip archive", "decompress"),
        (&[0; 600], "zero bytes", "the download reserved the space"),
        ("Zugriff verweigert: überall, für immer".as_bytes(), "text that begins with `Zugriff verweigert: über`", "name a `.gguf`"),
        (b"\x7fELF\x02\x01", "something else that begins with 7f 45 4c 46", "name a `.gguf`"),
    ];
    for (content, what, hint) in cases {
        check_content(content, &format!("not a GGUF file: it looks like {what}"), hint);
    }
}

#[test]
fn a_file_cut_in_its_magic_is_cut_off_and_not_something_else() {
    check_content(b"GG", "the file is cut off: the magic at byte 0 needs 4 bytes, but only 2 are left", "the download");
}

#[test]
fn a_file_cut_in_its_weights_says_how_many_bytes_are_missing() {
    let whole = small_file();
    check_content(
        // The padding after the last tensor may be missing; the 41st byte before the end is a weight.
        &whole[..whole.len() - 16 - 41],
        "the file is cut off: 41 bytes are missing (tensor `output.weight` ends at byte 432, the file at byte 391)",
        "the download or copy did not finish",
    );
    GgufHeader::read_from(std::io::Cursor::new(&whole), GgufExtent::whole(whole.len() as u64 - 16), &GgufReadOptions::default()).unwrap();
}

#[test]
fn a_file_of_many_gigabytes_is_read_by_its_header_alone() {
    let mut writer = GgufWriter::new("llama");
    writer.tensor("huge.weight", GgufTensorType::F16, &[8192, 2_500_000]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.gguf");
    fs::write(&path, writer.header_bytes().unwrap()).unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_len(writer.file_bytes().unwrap()).unwrap();
    let header = GgufHeader::read(&path).unwrap();
    assert_eq!(header.weights_bytes(), 40_960_000_000);
    assert_eq!(header.file_bytes, header.data_offset + 40_960_000_000);
}

#[test]
fn the_beginning_of_a_remote_file_says_how_far_it_must_reach() {
    let whole = small_file();
    let file_bytes = whole.len() as u64;
    let mut available = 0;
    let mut steps = 0;
    let header = loop {
        let extent = GgufExtent { file_bytes, available };
        let beginning = std::io::Cursor::new(&whole[..usize::try_from(available).unwrap()]);
        match GgufHeader::read_from(beginning, extent, &GgufReadOptions::default()) {
            Ok(header) => break header,
            Err(GgufError::NeedMore { needed, .. }) => {
                assert!(needed > available && needed <= file_bytes, "{needed} after {available}");
                available = needed;
                steps += 1;
            }
            Err(other) => panic!("{other}"),
        }
    };
    assert!(steps > 5);
    assert!(available <= header.data_offset);
    assert_eq!(header, super::read(&whole).unwrap());
}
