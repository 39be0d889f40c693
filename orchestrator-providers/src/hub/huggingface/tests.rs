#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::path::Path;

use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_core::model::demo::{DemoModel, write_demo_model};
use orchestrator_core::model::{FileDigest, ModelFormat, Sha256Digest};

use super::cache::CachedRepository;
use super::listing::Commit;
use super::path::RepositoryPath;
use super::*;
use crate::settings::HuggingFaceSettings;

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

struct Rig {
    folder: tempfile::TempDir,
    provider: HuggingFace,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hugging_face = HuggingFaceSettings {
            // Nobody listens there.
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            token: None,
            cache: Some(folder.path().join("hub")),
        };
        let settings = ProviderSettings { hugging_face, ..ProviderSettings::default() };
        let provider = HuggingFace::in_home(&Paths::in_home(folder.path()), settings);
        Self { folder, provider }
    }

    fn repository(&self) -> CachedRepository {
        self.provider.cache.repository("owner/repo")
    }

    /// Puts a file in as a pull does. Its blob is named by `seed`.
    fn put(&self, commit: &str, name: &str, seed: u8, write: impl FnOnce(&Path)) {
        let repository = self.repository();
        let commit = Commit::parse(commit).unwrap();
        let digest = FileDigest::Sha256(Sha256Digest::from_bytes(&[seed; 32]));
        repository.prepare(&commit).unwrap();
        write(&repository.blob(&digest));
        repository.publish(&commit, &RepositoryPath::try_new(name).unwrap(), &digest).unwrap();
    }

    fn put_model(&self, commit: &str, name: &str, seed: u8) {
        self.put(commit, name, seed, |path| write_demo_model(path, &DemoModel::default()).map(drop).unwrap());
    }

    fn put_text(&self, commit: &str, name: &str, seed: u8, text: &str) {
        self.put(commit, name, seed, |path| fs::write(path, text).unwrap());
    }

    fn main(&self, commit: &str) {
        self.repository().write_reference("main", &Commit::parse(commit).unwrap()).unwrap();
    }

    async fn locate(&self, reference: &str) -> Result<InstalledModel, ProviderError> {
        self.provider.locate(&reference.parse().unwrap()).await
    }

    async fn file_of(&self, reference: &str) -> String {
        let model = self.locate(reference).await.unwrap();
        model.path.strip_prefix(self.folder.path().join("hub/models--owner--repo/snapshots")).unwrap().display().to_string()
    }

    async fn code_of(&self, reference: &str) -> ErrorCode {
        self.locate(reference).await.unwrap_err().code()
    }
}

#[tokio::test]
async fn a_model_of_the_cache_is_found_and_described_without_the_hub() {
    let rig = Rig::new();
    rig.put_model(ONE, "m-Q8_0.gguf", 1);
    rig.put_text(ONE, "mmproj-F16.gguf", 2, "picture");
    rig.put_text(ONE, "README.md", 3, "---\nlicense: mit\n---\n");
    rig.main(ONE);
    let model = rig.locate("hf:owner/repo:q8_0").await.unwrap();
    assert_eq!(model.reference.to_string(), "hf:owner/repo:q8_0");
    assert_eq!((model.format, model.architecture.as_str()), (ModelFormat::Gguf, "llama"));
    assert_eq!((model.revision.as_deref(), model.licence.as_deref()), (Some(ONE), Some("mit")));
    assert!(model.projector.as_ref().unwrap().ends_with("mmproj-F16.gguf"));
    assert_eq!(model.files.len(), 3);
    assert_eq!(model.files[0].sha256.as_ref().unwrap().as_str(), "01".repeat(32));
    assert_eq!(model.size_bytes, model.files.iter().map(|file| file.size_bytes).sum::<u64>());
    assert!(model.has_chat_template && model.parameters > 1000);
}

#[tokio::test]
async fn a_revision_is_the_one_that_is_named_and_none_means_main_or_the_newest_that_has_it() {
    let rig = Rig::new();
    rig.put_model(ONE, "m-Q8_0.gguf", 1);
    rig.put_model(TWO, "m-Q4_K_M.gguf", 2);
    assert_eq!(rig.file_of("hf:owner/repo:Q8_0").await, format!("{ONE}/m-Q8_0.gguf"));
    rig.main(TWO);
    assert_eq!(rig.file_of("hf:owner/repo").await, format!("{TWO}/m-Q4_K_M.gguf"));
    assert_eq!(rig.file_of("hf:owner/repo:Q8_0").await, format!("{ONE}/m-Q8_0.gguf"));
    assert_eq!(rig.file_of(&format!("hf:owner/repo@{ONE}")).await, format!("{ONE}/m-Q8_0.gguf"));
    assert_eq!(rig.file_of("hf:owner/repo@main").await, format!("{TWO}/m-Q4_K_M.gguf"));
    for missing in ["hf:owner/repo@main:Q8_0", "hf:owner/repo@v2", "hf:owner/repo:Q2_K", "hf:other/repo"] {
        let error = rig.locate(missing).await.unwrap_err();
        assert!(matches!(error, ProviderError::NotInstalled { .. }), "{missing}: {error}");
    }
}

#[tokio::test]
async fn what_is_incomplete_or_damaged_is_not_installed() {
    let rig = Rig::new();
    rig.put_model(ONE, "big-Q8_0-00001-of-00002.gguf", 1);
    assert_eq!(rig.code_of("hf:owner/repo:Q8_0").await, ErrorCode::ModelNotFound);
    rig.put_text(ONE, "m-Q4_0.gguf", 2, "this is no model");
    assert_eq!(rig.code_of("hf:owner/repo:Q4_0").await, ErrorCode::ModelInvalid);
    let listed = rig.provider.installed().await.unwrap();
    assert!(listed.is_empty(), "{listed:?}");
    std::os::unix::fs::symlink("/etc/passwd", rig.repository().snapshot(&Commit::parse(ONE).unwrap()).join("x.gguf")).unwrap();
    let error = rig.locate("hf:owner/repo:x.gguf").await.unwrap_err();
    assert!(matches!(error, ProviderError::Refused { .. }), "{error}");
    assert_eq!(error.code(), ErrorCode::ModelInvalid);
}

#[tokio::test]
async fn every_listed_model_is_found_again_by_its_reference() {
    let rig = Rig::new();
    rig.put_model(ONE, "m-Q8_0.gguf", 1);
    rig.put_model(ONE, "m-Q4_K_M.gguf", 2);
    rig.put_model(ONE, "sub/other.gguf", 3);
    rig.put_model(TWO, "m-Q8_0.gguf", 1);
    rig.put_model(TWO, "old-BF16.gguf", 4);
    rig.main(ONE);
    let listed = rig.provider.installed().await.unwrap();
    let names: Vec<_> = listed.iter().map(|model| model.reference.to_string()).collect();
    assert_eq!(names, ["hf:owner/repo:Q4_K_M", "hf:owner/repo:Q8_0", "hf:owner/repo:sub/other.gguf", &format!("hf:owner/repo@{TWO}:BF16")]);
    for model in listed {
        assert_eq!(rig.provider.locate(&model.reference).await.unwrap(), model);
    }
}

#[tokio::test]
async fn removing_one_quantisation_keeps_what_the_others_need() {
    let rig = Rig::new();
    rig.put_model(ONE, "m-Q8_0.gguf", 1);
    rig.put_model(ONE, "m-Q4_K_M.gguf", 2);
    rig.put_text(ONE, "mmproj-F16.gguf", 3, "picture");
    rig.put_text(ONE, "README.md", 4, "---\nlicense: mit\n---\n");
    rig.main(ONE);
    let weights = fs::metadata(rig.locate("hf:owner/repo:Q8_0").await.unwrap().path).unwrap().len();
    let model = rig.locate("hf:owner/repo:Q8_0").await.unwrap();
    assert_eq!(rig.provider.remove(&model).await.unwrap(), weights);
    let left = rig.locate("hf:owner/repo").await.unwrap();
    assert!(left.projector.is_some() && left.licence.is_some());
    assert_eq!(rig.provider.remove(&left).await.unwrap(), left.size_bytes);
    assert!(!rig.repository().folder().exists());
    assert_eq!(rig.provider.remove(&left).await.unwrap(), 0, "removing again is no error");
}

#[tokio::test]
async fn nothing_outside_the_cache_is_removed() {
    let rig = Rig::new();
    rig.put_model(ONE, "m-Q8_0.gguf", 1);
    rig.main(ONE);
    let outside = rig.folder.path().join("precious.gguf");
    fs::write(&outside, "precious").unwrap();
    let mut model = rig.locate("hf:owner/repo").await.unwrap();
    for path in [outside.clone(), rig.repository().snapshot(&Commit::parse(ONE).unwrap()).join("../../../../precious.gguf")] {
        model.files[0].path = path;
        assert!(rig.provider.remove(&model).await.is_err());
    }
    assert_eq!(fs::read_to_string(&outside).unwrap(), "precious");
}

#[tokio::test]
async fn a_hub_that_cannot_be_reached_is_named_and_what_is_here_is_mentioned() {
    let rig = Rig::new();
    let reference = "hf:owner/repo:Q8_0".parse().unwrap();
    let error = rig.provider.resolve(&reference).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProviderUnavailable);
    assert!(error.to_string().contains("http://127.0.0.1:9"), "{error}");
    assert!(!error.hint().unwrap().contains("installed already"));
    rig.put_model(ONE, "m-Q8_0.gguf", 1);
    rig.main(ONE);
    let error = rig.provider.resolve(&reference).await.unwrap_err();
    assert!(error.hint().unwrap().contains("installed already"), "{:?}", error.hint());
}

#[tokio::test]
async fn a_plan_that_was_tampered_with_is_refused() {
    let rig = Rig::new();
    let file = |name: &str, digest: Option<FileDigest>| orchestrator_core::model::PlannedFile {
        name: name.to_owned(),
        role: orchestrator_core::model::FileRole::Weights,
        size_bytes: Some(1),
        digest,
        present_bytes: 0,
    };
    let good = || Some(FileDigest::try_git_blob(&"a".repeat(40)).unwrap());
    let plan = |revision: &str, files| PullPlan {
        reference: "hf:owner/repo".parse().unwrap(),
        revision: revision.to_owned(),
        format: ModelFormat::Gguf,
        quantisation: None,
        architecture: None,
        licence: None,
        gated: false,
        needs_remote_code: false,
        files,
    };
    for (plan, words) in [
        (plan("../../x", vec![file("a.gguf", good())]), "no commit"),
        (plan(ONE, vec![file("../../a.gguf", good())]), "leaves its folder"),
        (plan(ONE, vec![file("a.gguf", None)]), "no digest"),
        (plan(ONE, vec![file("a.gguf", Some(FileDigest::GitBlob("../../x".to_owned())))]), "hexadecimal"),
        (plan(ONE, Vec::new()), "no files"),
    ] {
        let watch = PullWatch { progress: &orchestrator_core::operation::NoProgress, cancel: &tokio_util::sync::CancellationToken::new() };
        let error = rig.provider.pull(&plan, watch).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ModelInvalid, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(!rig.folder.path().join("hub").exists(), "nothing was made");
}

#[tokio::test]
async fn an_address_that_is_none_is_said() {
    for endpoint in ["", "huggingface.co", "ftp://x", "file:///etc"] {
        let hugging_face = HuggingFaceSettings { endpoint: Some(endpoint.to_owned()), ..HuggingFaceSettings::default() };
        let settings = ProviderSettings { hugging_face, ..ProviderSettings::default() };
        let provider = HuggingFace::in_home(&Paths::in_home(Path::new("/nonexistent")), settings);
        let error = provider.resolve(&"hf:a/b".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ProviderUnavailable);
        assert!(error.hint().unwrap().contains("HF_ENDPOINT"), "{:?}", error.hint());
    }
}
