#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::os::unix::fs::symlink;

use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_core::model::ModelFormat;
use orchestrator_core::model::demo::{DemoModel, write_demo_model};

use super::*;

fn demo(path: &Path) {
    write_demo_model(path, &DemoModel::default()).unwrap();
}

async fn resolve(path: &Path) -> Result<InstalledModel, ProviderError> {
    let reference = ModelReference::try_file(path).unwrap();
    LocalModels { models_dir: PathBuf::from("/nonexistent") }.locate(&reference).await
}

#[tokio::test]
async fn a_model_file_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.gguf");
    demo(&path);
    let model = resolve(&path).await.unwrap();
    assert_eq!(model.path, path);
    assert_eq!(model.architecture, "llama");
    assert_eq!(model.size_bytes, fs::metadata(&path).unwrap().len());
    assert!(model.has_chat_template);
    assert!(model.parameters > 1000);
    assert_eq!(model.context_length, Some(4096));
}

#[tokio::test]
async fn a_missing_file_names_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    demo(&folder.path().join("qwen3-8b-Q4_K_M.gguf"));
    fs::write(folder.path().join("notes.txt"), "x").unwrap();
    let error = resolve(&folder.path().join("qwen3-8b-q4_k.gguf")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ModelNotFound);
    let hint = error.hint().unwrap();
    assert!(hint.contains("qwen3-8b-Q4_K_M.gguf") && !hint.contains("notes"), "{hint}");
    let error = resolve(Path::new("/nonexistent/folder/x.gguf")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ModelNotFound);
}

#[tokio::test]
async fn a_directory_names_the_models_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = resolve(folder.path()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ModelInvalid);
    assert!(error.hint().unwrap().contains("no GGUF file"), "{error:?}");
    for number in 0..8 {
        demo(&folder.path().join(format!("m{number}.GGUF")));
    }
    let hint = resolve(folder.path()).await.unwrap_err().hint().unwrap();
    assert!(hint.contains("m0.GGUF") && hint.contains("m4.GGUF") && hint.contains("3 more") && !hint.contains("m5.GGUF"), "{hint}");
}

#[tokio::test]
async fn what_is_no_model_is_refused_with_its_reason_and_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gguf");
    demo(&path);
    let whole = fs::read(&path).unwrap();
    let huge = [&whole[..8], &u64::MAX.to_le_bytes(), &whole[16..]].concat();
    for (bytes, words) in [
        (Vec::new(), "empty"),
        (b"hello world, this is a text".to_vec(), "not a GGUF file"),
        (whole[..whole.len() / 2].to_vec(), "cut off"),
        (whole[..40].to_vec(), ""),
        (huge, "claims"),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = resolve(&path).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ModelInvalid, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.gguf"), folder.path().join("b.gguf"));
    symlink(&a, &b).unwrap();
    symlink(&b, &a).unwrap();
    let error = resolve(&a).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ModelUnreadable, "{error:?}");
}

#[tokio::test]
async fn references_of_hubs_say_what_works_today() {
    for text in ["hf:owner/repo", "ollama:qwen3"] {
        let reference: ModelReference = text.parse().unwrap();
        let error = LocalModels { models_dir: PathBuf::new() }.locate(&reference).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ProviderUnavailable);
        assert!(error.to_string().contains(text) && error.hint().unwrap().contains("file:"), "{error}");
    }
}

#[tokio::test]
async fn the_store_is_listed_with_its_folders_and_without_what_is_no_model() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::in_home(home.path());
    let models = LocalModels::in_home(&paths);
    assert!(models.installed().await.unwrap().is_empty());
    let deep = paths.models_dir().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    symlink(paths.models_dir(), deep.join("circle")).unwrap();
    demo(&deep.join("two.gguf"));
    demo(&paths.models_dir().join("one.gguf"));
    fs::write(paths.models_dir().join("broken.gguf"), "x").unwrap();
    let found = models.installed().await.unwrap();
    let names: Vec<_> = found.iter().map(|model| model.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["two.gguf", "one.gguf"]);
}

fn in_store(paths: &Paths, name: &str) -> PathBuf {
    fs::create_dir_all(paths.models_dir()).unwrap();
    paths.models_dir().join(name)
}

/// Writes a small model in the format safetensors.
fn safetensors(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let header = br#"{"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}"#;
    let bytes = [u64::try_from(header.len()).unwrap().to_le_bytes().as_slice(), header, &[0; 12]].concat();
    fs::write(folder.join("model.safetensors"), bytes).unwrap();
    fs::write(folder.join("config.json"), r#"{"model_type":"qwen3","max_position_embeddings":4096,"auto_map":{"AutoModel":"x.Y"}}"#)
        .unwrap();
    fs::write(folder.join("tokenizer_config.json"), r#"{"chat_template":"{{ messages }}"}"#).unwrap();
}

#[tokio::test]
async fn a_plan_of_what_is_here_has_nothing_left_to_fetch() {
    let home = tempfile::tempdir().unwrap();
    let models = LocalModels::in_home(&Paths::in_home(home.path()));
    let path = home.path().join("demo.gguf");
    demo(&path);
    let reference = ModelReference::try_file(&path).unwrap();
    let plan = models.resolve(&reference).await.unwrap();
    assert_eq!((plan.missing_bytes(), plan.total_bytes()), (0, fs::metadata(&path).unwrap().len()));
    assert_eq!((plan.format, plan.files[0].name.as_str()), (ModelFormat::Gguf, "demo.gguf"));
    assert_eq!(models.header(&plan).await.unwrap().architecture(), Some("llama"));
    let cancel = tokio_util::sync::CancellationToken::new();
    let watch = PullWatch { progress: &orchestrator_core::operation::NoProgress, cancel: &cancel };
    assert_eq!(models.pull(&plan, watch).await.unwrap(), models.locate(&reference).await.unwrap());
    assert!(models.resolve(&ModelReference::try_file("/nonexistent.gguf").unwrap()).await.is_err());
}

#[tokio::test]
async fn a_folder_with_safetensors_is_a_model() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::in_home(home.path());
    let models = LocalModels::in_home(&paths);
    let folder = in_store(&paths, "qwen");
    safetensors(&folder);
    let reference = ModelReference::try_file(&folder).unwrap();
    let model = models.locate(&reference).await.unwrap();
    assert_eq!((model.format, model.architecture.as_str(), model.parameters), (ModelFormat::Safetensors, "qwen3", 6));
    assert_eq!((model.context_length, model.has_chat_template, model.files.len()), (Some(4096), true, 3));
    assert!(model.files[0].path.ends_with("model.safetensors"));
    assert_eq!(model.size_bytes, model.files.iter().map(|file| file.size_bytes).sum::<u64>());
    assert!(models.resolve(&reference).await.unwrap().needs_remote_code);
    assert_eq!(models.installed().await.unwrap(), std::slice::from_ref(&model));
    let part = models.locate(&ModelReference::try_file(folder.join("model.safetensors")).unwrap()).await.unwrap_err();
    assert!(part.hint().unwrap().contains(&format!("file:{}", folder.display())), "{part:?}");
    assert_eq!(models.remove(&model).await.unwrap(), model.size_bytes);
    assert!(!folder.exists() && paths.models_dir().exists());
}

#[tokio::test]
async fn only_what_lies_in_the_store_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::in_home(home.path());
    let models = LocalModels::in_home(&paths);
    let (own, other) = (in_store(&paths, "own.gguf"), home.path().join("other.gguf"));
    demo(&own);
    demo(&other);
    let linked = in_store(&paths, "linked.gguf");
    symlink(&other, &linked).unwrap();
    let of_hub = in_store(&paths, "huggingface/hub/x.gguf");
    fs::create_dir_all(of_hub.parent().unwrap()).unwrap();
    demo(&of_hub);
    for (path, freed, stays) in
        [(&own, fs::metadata(&own).unwrap().len(), false), (&linked, 0, false), (&other, 0, true), (&of_hub, 0, true)]
    {
        let model = models.locate(&ModelReference::try_file(path).unwrap()).await.unwrap();
        assert_eq!(models.remove(&model).await.unwrap(), freed, "{}", path.display());
        assert_eq!(path.exists(), stays, "{}", path.display());
        let again = models.remove(&model).await.unwrap();
        assert_eq!(again, 0);
    }
    assert!(models.installed().await.unwrap().is_empty(), "what belongs to other providers is not listed");
}
