#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use serde_json::{Value, json};

use super::*;

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn layer(kind: &str, digit: char, size: u64) -> Value {
    json!({"mediaType": format!("application/vnd.ollama.image.{kind}"), "digest": digest(digit), "size": size})
}

fn manifest(layers: &[Value]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest('c'), "size": 400},
        "layers": layers,
    })
}

fn read(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::read(&serde_json::to_vec(value).unwrap())
}

#[test]
fn a_usual_manifest_is_weights_and_what_belongs_to_them() {
    let layers = [layer("license", 'a', 11_000), layer("model", 'b', 5_000_000_000), layer("params", 'd', 30), layer("template", 'e', 900)];
    let manifest = read(&manifest(&layers)).unwrap();
    let kinds: Vec<_> = manifest.parts.iter().map(|part| part.kind).collect();
    let expected = [PartKind::Weights, PartKind::Licence, PartKind::Parameters, PartKind::Template, PartKind::Configuration];
    assert_eq!(kinds, expected);
    assert_eq!(manifest.total_bytes(), 5_000_011_000 + 30 + 900 + 400);
    assert_eq!(manifest.part(PartKind::Weights).unwrap().digest.as_str(), "b".repeat(64));
}

#[test]
fn a_part_that_is_named_twice_is_one() {
    let found = read(&manifest(&[layer("model", 'b', 9), layer("license", 'a', 7), layer("license", 'a', 7)])).unwrap();
    assert_eq!(found.parts.len(), 3);
}

#[test]
fn a_small_unknown_part_is_kept_and_a_large_one_refused() {
    let found = read(&manifest(&[layer("model", 'b', 9), layer("news", 'a', 7)])).unwrap();
    assert_eq!(found.part(PartKind::Other).unwrap().size_bytes, 7);
    let error = read(&manifest(&[layer("model", 'b', 9), layer("news", 'a', 7_000_000_000)])).unwrap_err();
    assert!(matches!(error, ManifestError::UnknownPart { .. }), "{error}");
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    let refused = |layers: &[Value]| read(&manifest(layers)).unwrap_err();
    assert_eq!(refused(&[layer("adapter", 'a', 9), layer("model", 'b', 9)]), ManifestError::Adapter);
    assert_eq!(refused(&[layer("model", 'a', 9), layer("model", 'b', 9)]), ManifestError::Several { count: 2, what: "weights" });
    assert_eq!(refused(&[layer("template", 'a', 9)]), ManifestError::NoWeights);
    let tensor = json!({"mediaType": "application/vnd.ollama.image.tensor; name=input; dtype=F32", "digest": digest('a'), "size": 9});
    assert!(matches!(refused(&[tensor]), ManifestError::Format { .. }));
    let docker = json!({"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "digest": digest('a'), "size": 9});
    assert!(matches!(refused(&[docker]), ManifestError::UnknownPart { .. }));
}

#[test]
fn digests_that_are_paths_are_refused() {
    for digest in ["", "sha256:", "sha256:../../../../etc/passwd", "../../x", "sha512:00", &"b".repeat(64), "sha256-bb"] {
        let layers = [json!({"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": 9})];
        let error = read(&manifest(&layers)).unwrap_err();
        assert!(matches!(error, ManifestError::Digest { .. }), "`{digest}`: {error}");
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for size in [json!(-1), json!(1.5), json!("9"), json!(u64::MAX), json!(0), Value::Null] {
        let layers = [json!({"mediaType": "application/vnd.ollama.image.model", "digest": digest('b'), "size": size})];
        assert!(read(&manifest(&layers)).is_err(), "{size}");
    }
    let huge_template = read(&manifest(&[layer("model", 'b', 9), layer("template", 'e', 5_000_000_000)])).unwrap_err();
    assert!(matches!(huge_template, ManifestError::Size { .. }));
    let two_sizes = read(&manifest(&[layer("model", 'b', 9), layer("license", 'b', 8)])).unwrap_err();
    assert!(matches!(two_sizes, ManifestError::Contradiction { .. }));
}

#[test]
fn other_documents_are_refused() {
    for text in ["", "{}", "[]", "null", "<html>", r#"{"schemaVersion":2}"#, r#"{"schemaVersion":1,"layers":[]}"#] {
        assert!(Manifest::read(text.as_bytes()).is_err(), "`{text}`");
    }
    let mut index = manifest(&[layer("model", 'b', 9)]);
    index["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
    assert!(matches!(read(&index).unwrap_err(), ManifestError::Kind { .. }));
    assert_eq!(Manifest::read(&vec![b' '; LONGEST + 1]).unwrap_err(), ManifestError::TooLong);
    let many: Vec<_> = (0..300).map(|_| layer("license", 'a', 1)).collect();
    assert!(matches!(read(&manifest(&many)).unwrap_err(), ManifestError::TooManyParts { count: 300 }));
}

#[test]
fn what_a_registry_writes_is_shown_without_control_characters() {
    let layers = [json!({"mediaType": "\u{1b}[31mred", "digest": digest('b'), "size": 9})];
    let error = read(&manifest(&layers)).unwrap_err().to_string();
    assert!(!error.chars().any(char::is_control), "{error:?}");
}
