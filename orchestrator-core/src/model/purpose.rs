//! What a model is made for, as far as its header and its names tell.

use super::InstalledModel;

/// What a model is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelPurpose {
    /// It writes text.
    Generation,
    /// It turns texts into vectors.
    Embedding,
    /// It ranks texts by how well they answer a question.
    Ranking,
}

/// Architectures that read a text as a whole and write none.
const ENCODERS: [&str; 10] = [
    "bert",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "modern-bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "eurobert",
    "t5encoder",
    "gemma-embedding",
];

impl ModelPurpose {
    /// Tells what a model is made for: by its architecture, and by what its makers call it where they took one that writes.
    #[must_use]
    pub fn of(model: &InstalledModel) -> Self {
        let mut names = model.reference.short_name().to_lowercase();
        names.push_str(&model.name.as_deref().unwrap_or_default().to_lowercase());
        let is_encoder = ENCODERS.contains(&model.architecture.as_str());
        if names.contains("rerank") {
            Self::Ranking
        } else if is_encoder || (names.contains("embed") && !model.has_chat_template) {
            Self::Embedding
        } else {
            Self::Generation
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::path::PathBuf;

    use super::super::{ModelDefaults, ModelFormat};
    use super::*;

    fn purpose(architecture: &str, name: &str, has_chat_template: bool) -> ModelPurpose {
        ModelPurpose::of(&InstalledModel {
            reference: "hf:owner/repo".parse().unwrap(),
            path: PathBuf::from("/m/x.gguf"),
            format: ModelFormat::Gguf,
            name: Some(name.to_owned()),
            architecture: architecture.to_owned(),
            quantisation: None,
            context_length: None,
            parameters: 0,
            size_bytes: 0,
            has_chat_template,
            files: Vec::new(),
            revision: None,
            licence: None,
            projector: None,
            defaults: ModelDefaults::default(),
        })
    }

    #[test]
    fn a_model_is_used_for_what_it_is_made_for() {
        assert_eq!(purpose("qwen3", "Qwen3 0.6B", true), ModelPurpose::Generation);
        assert_eq!(purpose("llama", "Base", false), ModelPurpose::Generation);
        assert_eq!(purpose("nomic-bert", "nomic", false), ModelPurpose::Embedding);
        assert_eq!(purpose("qwen3", "Qwen3 Embedding 0.6B", false), ModelPurpose::Embedding);
        assert_eq!(purpose("bert", "bge-reranker-v2-m3", false), ModelPurpose::Ranking);
        assert_eq!(purpose("qwen3", "Qwen3-Reranker-0.6B", true), ModelPurpose::Ranking);
    }
}
