#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::os::unix::fs::symlink;

use orchestrator_core::error::{Coded, ErrorCode};
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
