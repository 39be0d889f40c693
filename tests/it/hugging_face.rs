//! The provider of Hugging Face against a hub that is a real server: what is pulled, found, listed and removed.

mod hostile;
mod python;
mod refusals;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use orchestrator_core::Paths;
use orchestrator_core::model::demo::{DemoModel, write_demo_model};
use orchestrator_core::model::{FileRole, InstalledModel, ModelFormat, ModelHeader, ModelReference, PullPlan};
use orchestrator_core::operation::{NoProgress, Progress, ProgressUpdate};
use orchestrator_core::provider::{ModelQuery, Provider, ProviderError, PullWatch};
use orchestrator_providers::{HuggingFace, HuggingFaceSettings, ProviderSettings};
use orchestrator_tests::hub::{Content, Limits, Repository, RunningHub, World};
use tokio_util::sync::CancellationToken;

/// A fake hub, and the provider that asks it.
pub(super) struct Rig {
    pub(super) hub: RunningHub,
    pub(super) folder: tempfile::TempDir,
    pub(super) provider: HuggingFace,
}

impl Rig {
    pub(super) fn new(repositories: impl IntoIterator<Item = Repository>) -> Self {
        Self::with_world(World { repositories: repositories.into_iter().collect(), ..World::default() }, None)
    }

    pub(super) fn with_world(world: World, token: Option<&str>) -> Self {
        let hub = RunningHub::start(world);
        let folder = tempfile::tempdir().unwrap();
        let provider = provider(&hub, folder.path(), token);
        Self { hub, folder, provider }
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.folder.path().join("hub")
    }

    pub(super) async fn resolve(&self, reference: &str) -> Result<PullPlan, ProviderError> {
        self.provider.resolve(&reference.parse().unwrap()).await
    }

    pub(super) async fn pull(&self, reference: &str) -> Result<InstalledModel, ProviderError> {
        let plan = self.resolve(reference).await?;
        self.fetch(&plan).await
    }

    pub(super) async fn fetch(&self, plan: &PullPlan) -> Result<InstalledModel, ProviderError> {
        self.provider.pull(plan, PullWatch { progress: &NoProgress, cancel: &CancellationToken::new() }).await
    }

    pub(super) async fn locate(&self, reference: &str) -> Result<InstalledModel, ProviderError> {
        self.provider.locate(&reference.parse().unwrap()).await
    }

    /// Lists every file below the cache, without the locks.
    pub(super) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut waiting = vec![self.cache()];
        while let Some(folder) = waiting.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    waiting.push(entry.path());
                } else {
                    found.push(entry.path().strip_prefix(self.cache()).unwrap().display().to_string());
                }
            }
        }
        found.retain(|name| !name.starts_with(".locks") && name != "CACHEDIR.TAG");
        found.sort();
        found
    }
}

pub(super) fn provider(hub: &RunningHub, folder: &Path, token: Option<&str>) -> HuggingFace {
    let hugging_face =
        HuggingFaceSettings { endpoint: Some(hub.huggingface()), token: token.map(str::to_owned), cache: Some(folder.join("hub")) };
    let settings = ProviderSettings { hugging_face, ..ProviderSettings::default() };
    HuggingFace::in_home(&Paths::in_home(folder), settings)
}

/// The bytes of a model that can be looked at.
pub(super) fn model() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.gguf");
    write_demo_model(&path, &DemoModel::default()).unwrap();
    std::fs::read(path).unwrap()
}

/// A repository with two quantisations, a projector and a card.
pub(super) fn quantised() -> Repository {
    Repository::new("maker/model-GGUF")
        .file(".gitattributes", "* text=auto\n")
        .file("README.md", "---\nlicense: apache-2.0\n---\n# Model\n")
        .file("model-Q4_K_M.gguf", model())
        .file("model-Q8_0.gguf", Content::seeded(8, 3_000_000))
        .file("mmproj-F16.gguf", Content::seeded(16, 100_000))
        .file("imatrix.dat", "matrix")
        .license("apache-2.0")
}

/// The bytes of a safetensors file with one tensor of 16-bit numbers.
fn tensors(name: &str, count: usize) -> Vec<u8> {
    let header = serde_json::json!({ name: { "dtype": "BF16", "shape": [count], "data_offsets": [0, 2 * count] } }).to_string();
    let length = u64::try_from(header.len()).unwrap();
    [length.to_le_bytes().as_slice(), header.as_bytes(), &vec![0; 2 * count]].concat()
}

fn snapshot() -> Repository {
    let config = r#"{"model_type":"llama","architectures":["LlamaForCausalLM"],"max_position_embeddings":2048,"auto_map":{"AutoModel":"modeling.py"}}"#;
    let index =
        r#"{"metadata":{"total_size":60},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
    Repository::new("maker/model")
        .file("config.json", config)
        .file("model.safetensors.index.json", index)
        .file("model-00001-of-00002.safetensors", tensors("a", 10))
        .file("model-00002-of-00002.safetensors", tensors("b", 20))
        .file("tokenizer_config.json", r#"{"chat_template":"{{ messages }}"}"#)
        .file("modeling.py", "print('code')")
        .file("pytorch_model.bin", "pickle")
        .file("original/consolidated.00.pth", "pickle")
}

#[tokio::test]
async fn a_quantisation_is_planned_pulled_and_found_without_the_hub() {
    let rig = Rig::new([quantised()]);
    let plan = rig.resolve("hf:maker/model-GGUF").await.unwrap();
    assert_eq!((plan.format, plan.quantisation.as_deref()), (ModelFormat::Gguf, Some("Q4_K_M")));
    assert_eq!((plan.licence.as_deref(), plan.gated, plan.needs_remote_code), (Some("apache-2.0"), false, false));
    assert_eq!(plan.revision, quantised().commit());
    let names: Vec<_> = plan.files.iter().map(|file| (file.name.as_str(), file.role)).collect();
    assert_eq!(
        names,
        [("model-Q4_K_M.gguf", FileRole::Weights), ("mmproj-F16.gguf", FileRole::Projector), ("README.md", FileRole::Licence)]
    );
    assert_eq!(plan.missing_bytes(), plan.total_bytes());

    let model = rig.fetch(&plan).await.unwrap();
    assert_eq!(model.reference.to_string(), "hf:maker/model-GGUF");
    assert_eq!((model.architecture.as_str(), model.licence.as_deref()), ("llama", Some("apache-2.0")));
    assert_eq!(model.size_bytes, plan.total_bytes());
    assert_eq!(model.projector.as_deref(), Some(model.path.with_file_name("mmproj-F16.gguf").as_path()));
    assert_eq!(std::fs::read(&model.path).unwrap(), self::model());
    assert!(model.files[0].sha256.is_some());

    let asked = rig.hub.seen().len();
    assert_eq!(rig.locate("hf:maker/model-GGUF").await.unwrap(), model);
    assert_eq!(rig.provider.installed().await.unwrap().len(), 1);
    assert_eq!(rig.hub.seen().len(), asked, "nothing is asked for what is here");

    let again = rig.resolve("hf:maker/model-GGUF").await.unwrap();
    assert_eq!(again.missing_bytes(), 0);
    let sent = rig.hub.bytes_sent("");
    rig.fetch(&again).await.unwrap();
    assert_eq!(rig.hub.bytes_sent(""), sent, "nothing is fetched again");
}

#[tokio::test]
async fn the_progress_of_a_pull_counts_every_byte_of_every_file() {
    #[derive(Default)]
    struct Kept(Mutex<Vec<ProgressUpdate>>);
    impl Progress for Kept {
        fn update(&self, update: ProgressUpdate) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(update);
        }
    }
    let rig = Rig::new([quantised()]);
    let plan = rig.resolve("hf:maker/model-GGUF").await.unwrap();
    let kept = Kept::default();
    rig.provider.pull(&plan, PullWatch { progress: &kept, cancel: &CancellationToken::new() }).await.unwrap();
    let updates = kept.0.lock().unwrap();
    let last = updates.last().unwrap();
    assert_eq!((last.done, last.total, last.files.len()), (Some(plan.total_bytes()), Some(plan.total_bytes()), 3));
}

#[tokio::test]
async fn a_split_model_comes_whole_and_lists_its_parts() {
    let split = Repository::new("maker/big")
        .file("Q8_0/big-Q8_0-00001-of-00002.gguf", Content::seeded(1, 1_000_000))
        .file("Q8_0/big-Q8_0-00002-of-00002.gguf", Content::seeded(2, 2_000_000))
        .file("Q4_0/big-Q4_0-00001-of-00002.gguf", Content::seeded(3, 1_000));
    let rig = Rig::new([split]);
    let plan = rig.resolve("hf:maker/big:q8_0").await.unwrap();
    let names: Vec<_> = plan.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["Q8_0/big-Q8_0-00001-of-00002.gguf", "Q8_0/big-Q8_0-00002-of-00002.gguf"]);
    let error = rig.resolve("hf:maker/big:Q4_0").await.unwrap_err();
    assert!(error.to_string().contains("big-Q4_0-00002-of-00002.gguf"), "{error}");
    let variants = rig.provider.variants(&"hf:maker/big".parse().unwrap()).await.unwrap();
    let variants: Vec<_> = variants.iter().map(|variant| (variant.reference.to_string(), variant.bytes)).collect();
    assert_eq!(variants, [("hf:maker/big:Q8_0".to_owned(), 3_000_000)]);
}

#[tokio::test]
async fn a_snapshot_is_the_weights_and_what_is_read_beside_them_and_no_pickle() {
    let rig = Rig::new([snapshot()]);
    let plan = rig.resolve("hf:maker/model").await.unwrap();
    assert_eq!((plan.format, plan.needs_remote_code, plan.architecture.as_deref()), (ModelFormat::Safetensors, true, Some("llama")));
    let header = rig.provider.header(&plan).await.unwrap();
    let ModelHeader::Safetensors(header) = header else { panic!("{header:?}") };
    assert_eq!(header.parameter_count(), 30);

    let model = rig.fetch(&plan).await.unwrap();
    assert_eq!((model.format, model.architecture.as_str(), model.parameters), (ModelFormat::Safetensors, "llama", 30));
    assert_eq!((model.context_length, model.has_chat_template), (Some(2048), true));
    assert_eq!(model.path, rig.cache().join("models--maker--model/snapshots").join(snapshot().commit()));
    let files = rig.files();
    assert!(files.iter().any(|name| name.ends_with("modeling.py")), "the code it needs: {files:?}");
    assert!(!files.iter().any(|name| name.contains("pytorch_model") || name.contains("consolidated")), "{files:?}");
    assert_eq!(rig.locate("hf:maker/model:safetensors").await.unwrap().files, model.files);
    let listed = rig.provider.installed().await.unwrap();
    assert_eq!(listed.iter().map(|model| model.reference.to_string()).collect::<Vec<_>>(), ["hf:maker/model"]);
    assert_eq!(rig.provider.remove(&model).await.unwrap(), model.size_bytes);
    assert_eq!(rig.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_header_is_read_at_the_hub_without_the_weights() {
    let bytes = model();
    let rig = Rig::new([Repository::new("maker/model").file("model-Q8_0.gguf", bytes.clone())]);
    let plan = rig.resolve("hf:maker/model").await.unwrap();
    let header = rig.provider.header(&plan).await.unwrap();
    assert_eq!(header.architecture(), Some("llama"));
    assert_eq!(rig.files(), Vec::<String>::new(), "nothing is written");
    rig.fetch(&plan).await.unwrap();
    let asked = rig.hub.seen().len();
    assert_eq!(rig.provider.header(&plan).await.unwrap().architecture(), Some("llama"));
    assert_eq!(rig.hub.seen().len(), asked, "what is here is read here");
}

#[tokio::test]
async fn a_branch_moves_on_and_what_was_pulled_before_can_still_be_named() {
    let old = quantised();
    let first = old.commit().to_owned();
    let rig = Rig::new([old.clone()]);
    rig.pull("hf:maker/model-GGUF").await.unwrap();
    let new = old.next_revision().file("model-Q4_K_M.gguf", model()).file("model-BF16.gguf", model()).file("README.md", "new");
    let second = new.commit().to_owned();
    rig.hub.put(new);
    assert_eq!(rig.locate("hf:maker/model-GGUF").await.unwrap().revision, Some(first.clone()));
    let plan = rig.resolve("hf:maker/model-GGUF").await.unwrap();
    assert_eq!(
        (plan.revision.as_str(), plan.files[0].present_bytes),
        (second.as_str(), plan.files[0].size_bytes.unwrap()),
        "the same blob"
    );
    rig.fetch(&plan).await.unwrap();
    assert_eq!(rig.locate("hf:maker/model-GGUF").await.unwrap().revision, Some(second));
    let named = rig.locate(&format!("hf:maker/model-GGUF@{first}")).await.unwrap();
    assert_eq!(named.revision, Some(first));
    // The weights are shared by both: only the old card and projector go.
    let freed = rig.provider.remove(&named).await.unwrap();
    assert!(freed < 200_000, "{freed}");
    assert!(rig.locate("hf:maker/model-GGUF").await.is_ok());
}

#[tokio::test]
async fn a_pull_that_is_cancelled_shows_nothing_and_goes_on_later() {
    let rig = Rig::new([Repository::new("maker/model").file("model-Q8_0.gguf", Content::seeded(1, 40 << 20))]);
    let plan = rig.resolve("hf:maker/model").await.unwrap();
    rig.hub.limit(Limits { total: Some(20 << 20), ..Limits::default() });
    let cancel = CancellationToken::new();
    let stop = async {
        while rig.hub.bytes_sent("model-Q8_0") < 12 << 20 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        cancel.cancel();
    };
    let (pulled, ()) = tokio::join!(rig.provider.pull(&plan, PullWatch { progress: &NoProgress, cancel: &cancel }), stop);
    assert!(matches!(pulled.unwrap_err(), ProviderError::Cancelled { .. }));
    assert!(rig.files().iter().all(|name| name.contains("orch-")), "{:?}", rig.files());
    assert!(matches!(rig.locate("hf:maker/model").await.unwrap_err(), ProviderError::NotInstalled { .. }));
    rig.hub.limit(Limits::default());
    let again = rig.resolve("hf:maker/model").await.unwrap();
    let kept = again.files[0].present_bytes;
    assert!(kept > 0, "something was kept");
    let before = rig.hub.bytes_sent("model-Q8_0");
    // These bytes are no model, so they are fetched and then refused as one.
    assert!(matches!(rig.fetch(&again).await.unwrap_err(), ProviderError::Invalid { .. }));
    let fetched = rig.hub.bytes_sent("model-Q8_0") - before;
    assert!(fetched <= (40 << 20) - kept + (8 << 20), "{fetched} bytes with {kept} kept");
}

#[tokio::test]
async fn whoever_pulls_the_same_at_the_same_time_shares_the_work() {
    let rig = Rig::new([quantised()]);
    let other = provider(&rig.hub, rig.folder.path(), None);
    let plan = rig.resolve("hf:maker/model-GGUF").await.unwrap();
    let cancel = CancellationToken::new();
    let watch = PullWatch { progress: &NoProgress, cancel: &cancel };
    let (one, two, three) = tokio::join!(rig.provider.pull(&plan, watch), other.pull(&plan, watch), rig.provider.pull(&plan, watch));
    assert_eq!(one.unwrap(), two.unwrap());
    three.unwrap();
    let sent = rig.hub.bytes_sent("");
    assert!(sent < plan.total_bytes() * 2, "{sent} bytes were sent for {}", plan.total_bytes());
}

#[tokio::test]
async fn a_search_shows_downloads_licences_and_gates() {
    let mut gguf = quantised();
    gguf.gguf = Some(serde_json::json!({ "architecture": "llama" }));
    gguf.downloads = 7;
    let mut gated = snapshot().access(orchestrator_tests::hub::Access::Gated).license("gemma");
    gated.tags.push("safetensors".to_owned());
    let rig = Rig::new([gguf, gated]);
    let query = ModelQuery { text: "model".to_owned(), ..ModelQuery::default() };
    let found = rig.provider.search(&query).await.unwrap();
    assert_eq!(found.stale_since, None);
    let shown: Vec<_> = found
        .models
        .iter()
        .map(|model| (model.reference.to_string(), model.downloads, model.licence.as_deref(), model.gated, model.variants.join(" ")))
        .collect();
    assert_eq!(
        shown,
        [
            ("hf:maker/model".to_owned(), Some(1_000), Some("gemma"), true, "safetensors".to_owned()),
            ("hf:maker/model-GGUF".to_owned(), Some(7), Some("apache-2.0"), false, "Q4_K_M Q8_0".to_owned()),
        ]
    );
    let one = rig.provider.search(&ModelQuery { limit: 1, ..query }).await.unwrap();
    assert_eq!(one.models.len(), 1);
    assert!(
        rig.provider.search(&ModelQuery { text: "nothing like it".to_owned(), ..ModelQuery::default() }).await.unwrap().models.is_empty()
    );
}

#[tokio::test]
async fn without_a_cache_of_its_own_a_user_has_one_in_the_home() {
    let hub = RunningHub::start(World { repositories: vec![quantised()], ..World::default() });
    let folder = tempfile::tempdir().unwrap();
    let hugging_face = HuggingFaceSettings { endpoint: Some(hub.huggingface()), ..HuggingFaceSettings::default() };
    let paths = Paths::in_home(folder.path());
    let provider = HuggingFace::in_home(&paths, ProviderSettings { hugging_face, ..ProviderSettings::default() });
    let reference: ModelReference = "hf:maker/model-GGUF".parse().unwrap();
    let plan = provider.resolve(&reference).await.unwrap();
    let model = provider.pull(&plan, PullWatch { progress: &NoProgress, cancel: &CancellationToken::new() }).await.unwrap();
    assert!(model.path.starts_with(paths.models_dir().join("huggingface/hub")), "{}", model.path.display());
    let local = orchestrator_providers::LocalModels::in_home(&paths);
    assert!(local.installed().await.unwrap().is_empty(), "what belongs to one provider is not listed by another");
}
