#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::os::unix::fs::PermissionsExt;

use orchestrator_core::model::demo::{DemoModel, write_demo_model};
use orchestrator_core::model::{ModelFormat, ModelReference};
use serde_json::{Value, json};

use super::super::digest_of;
use super::*;

/// A store in a folder of its own, with models put into it as a pull does.
struct Rig {
    folder: tempfile::TempDir,
    store: Store,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::ours(folder.path().join("ollama"));
        store.prepare().unwrap();
        Self { folder, store }
    }

    fn put(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = digest_of(bytes);
        self.store.put(&digest, bytes).unwrap();
        json!({"mediaType": format!("application/vnd.ollama.image.{kind}"), "digest": format!("sha256:{digest}"), "size": bytes.len()})
    }

    fn publish(&self, name: &str, layers: &[Value]) -> Published {
        let config = self.put("config", br#"{"model_format":"gguf","file_type":"Q4_K_M"}"#);
        let bytes = serde_json::to_vec(&json!({"schemaVersion": 2, "config": config, "layers": layers})).unwrap();
        self.store.publish(&named(name), &bytes, &Manifest::read(&bytes).unwrap()).unwrap()
    }

    fn weights(&self) -> Value {
        let file = self.folder.path().join("demo.gguf");
        write_demo_model(&file, &DemoModel::default()).unwrap();
        self.put("model", &fs::read(file).unwrap())
    }

    fn blobs(&self) -> usize {
        fs::read_dir(self.store.root.join("blobs")).unwrap().count()
    }
}

fn named(text: &str) -> LibraryName {
    LibraryName::try_new(&text.parse().unwrap()).unwrap()
}

fn path_of(rig: &Rig, layer: &Value) -> PathBuf {
    rig.store.root.join("blobs").join(layer["digest"].as_str().unwrap().replace(':', "-"))
}

#[test]
fn a_published_model_is_described_from_its_parts() {
    let rig = Rig::new();
    let layers = [
        rig.weights(),
        rig.put("template", b"<|im_start|>user\n{{ .Prompt }}<|im_end|>"),
        rig.put("params", br#"{"stop":["<|im_end|>"],"num_ctx":512}"#),
        rig.put("license", b"\n  MIT License\n\nCopyright"),
        rig.put("projector", b"not looked into"),
    ];
    assert_eq!(rig.publish("ollama:demo:tiny", &layers), Published::Done);
    let reference: ModelReference = "ollama:demo:tiny".parse().unwrap();
    let model = rig.store.describe(&reference, &named("ollama:demo:tiny")).unwrap().unwrap();
    assert_eq!(model.path, path_of(&rig, &layers[0]));
    assert_eq!(model.format, ModelFormat::Gguf);
    assert_eq!(model.licence.as_deref(), Some("MIT License"));
    assert_eq!(model.projector, Some(path_of(&rig, &layers[4])));
    assert_eq!(model.defaults.request, *json!({"stop": ["<|im_end|>"]}).as_object().unwrap());
    assert_eq!((model.defaults.chat_template.as_deref(), model.defaults.context_size), (Some("chatml"), Some(512)));
    assert_eq!(model.files.len(), 6);
    assert!(model.files.iter().all(|file| file.sha256.is_some()));
    let bytes = fs::read(named("ollama:demo:tiny").manifest_path(&rig.store.root)).unwrap();
    assert_eq!(model.revision, Some(digest_of(&bytes).to_string()));
    assert_eq!(rig.store.names(), [named("ollama:demo:tiny")]);
}

#[test]
fn a_model_that_lacks_a_part_is_not_published() {
    let rig = Rig::new();
    let layers = [rig.weights(), rig.put("license", b"MIT")];
    fs::remove_file(path_of(&rig, &layers[1])).unwrap();
    let missing = match rig.publish("ollama:demo", &layers) {
        Published::Missing(parts) => parts.iter().map(|part| part.kind.as_str()).collect(),
        Published::Done => Vec::new(),
    };
    assert_eq!(missing, ["license"]);
    assert_eq!(rig.store.names(), []);
    // A part that is shorter than it should be is as good as none.
    fs::write(path_of(&rig, &layers[1]), b"M").unwrap();
    assert!(matches!(rig.publish("ollama:demo", &layers), Published::Missing(_)));
}

#[test]
fn a_part_of_several_models_goes_with_the_last() {
    let rig = Rig::new();
    let weights = rig.weights();
    rig.publish("ollama:demo:a", &[weights.clone(), rig.put("license", b"of a alone")]);
    rig.publish("ollama:demo:b", std::slice::from_ref(&weights));
    assert_eq!(rig.blobs(), 3);
    let first = rig.store.remove(&named("ollama:demo:a")).unwrap();
    assert!(path_of(&rig, &weights).exists());
    assert_eq!(rig.blobs(), 2);
    let second = rig.store.remove(&named("ollama:demo:b")).unwrap();
    assert_eq!(rig.blobs(), 0);
    assert!(first < 2000 && second >= weights["size"].as_u64().unwrap(), "{first} {second}");
    assert!(!rig.store.root.join("manifests/registry.ollama.ai/library").exists());
    assert_eq!(rig.store.remove(&named("ollama:demo:b")).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_an_earlier_version_used_goes_with_it() {
    let rig = Rig::new();
    let (weights, licence) = (rig.weights(), rig.put("license", b"of the first version"));
    rig.publish("ollama:demo", &[weights.clone(), licence.clone()]);
    rig.publish("ollama:demo", &[weights.clone(), rig.put("license", b"of the second version")]);
    assert!(path_of(&rig, &weights).exists());
    assert!(!path_of(&rig, &licence).exists());
    assert_eq!(rig.blobs(), 3);
}

#[test]
fn weights_that_are_gone_or_cut_are_told() {
    let rig = Rig::new();
    let weights = rig.weights();
    rig.publish("ollama:demo", std::slice::from_ref(&weights));
    let path = path_of(&rig, &weights);
    let reference: ModelReference = "ollama:demo".parse().unwrap();
    let error = || rig.store.describe(&reference, &named("ollama:demo")).unwrap_err().to_string();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], &[0; 64]].concat()).unwrap();
    assert!(error().contains("and its manifest says"), "{}", error());
    fs::remove_file(&path).unwrap();
    assert!(error().contains("are gone"), "{}", error());
    assert_eq!(rig.store.describe(&reference, &named("ollama:other")).unwrap().map(|model| model.path), None);
}

#[test]
fn odd_things_in_a_store_are_passed_over() {
    let rig = Rig::new();
    let folder = LibraryName::manifests(&rig.store.root).join("library/demo");
    fs::create_dir_all(folder.join("a-folder")).unwrap();
    fs::write(folder.join("-odd"), "x").unwrap();
    fs::write(folder.join("broken"), "x").unwrap();
    std::os::unix::fs::symlink("/", LibraryName::manifests(&rig.store.root).join("library/link")).unwrap();
    assert_eq!(rig.store.names(), [named("ollama:demo:broken")]);
    let reference: ModelReference = "ollama:demo:broken".parse().unwrap();
    assert!(rig.store.describe(&reference, &named("ollama:demo:broken")).is_err());
    rig.store.remove(&named("ollama:demo:broken")).unwrap();
    assert_eq!(rig.store.names(), []);
}

#[test]
fn a_store_of_ollama_is_found_from_its_blobs_and_proves_nothing() {
    let rig = Rig::new();
    let weights = rig.weights();
    rig.publish("ollama:demo", std::slice::from_ref(&weights));
    let store = Store::around(&path_of(&rig, &weights)).unwrap();
    assert_eq!(store.root(), rig.store.root());
    assert_eq!(store.is_readable().unwrap(), Some(()));
    let model = store.describe(&"ollama:demo".parse().unwrap(), &named("ollama:demo")).unwrap().unwrap();
    assert!(model.files.iter().all(|file| file.sha256.is_none()));
    assert_eq!(Store::around(Path::new("/somewhere/else")), None);
    assert_eq!(Store::of_ollama(PathBuf::from("/nowhere")).is_readable().unwrap(), None);
}

#[test]
fn what_is_published_can_be_read_by_whoever_runs_ollama() {
    let rig = Rig::new();
    let weights = rig.weights();
    rig.publish("ollama:demo", std::slice::from_ref(&weights));
    for path in [path_of(&rig, &weights), named("ollama:demo").manifest_path(&rig.store.root)] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644, "{}", path.display());
    }
}
