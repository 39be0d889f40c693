//! `orch model ls`: the models on this machine, and who uses them.

use std::collections::BTreeMap;

use orchestrator_core::model::InstalledModel;
use orchestrator_core::orchestrator::models::ModelUser;
use orchestrator_server::Client;

use super::info::format_name;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::format;
use crate::output::table::{self, Cell, Column};

/// The names of the instances that name a model, by its reference.
type Users = BTreeMap<String, Vec<String>>;

/// Lists the models.
pub(crate) async fn run(context: &Context) -> Result<(), CommandError> {
    let client = context.client().await?;
    let models = client.models().await?;
    if context.output.is_json() {
        return context.output.json(&models);
    }
    if models.is_empty() {
        context.output.note("There is no model yet. Find one with `orch model search`, fetch it with `orch model pull REF`");
        return Ok(());
    }
    let users = users(&client).await?;
    context.output.text(&render(&models, &users, context.output.width()))
}

async fn users(client: &Client) -> Result<Users, CommandError> {
    let name = |user: &ModelUser| user.instance.to_string();
    let rows = client.model_usage().await?;
    Ok(rows.into_iter().map(|row| (row.reference.to_string(), row.used_by.iter().map(name).collect())).collect())
}

fn render(models: &[InstalledModel], users: &Users, width: Option<usize>) -> String {
    let columns = [
        Column::words("REFERENCE", 0).cut_to(24),
        Column::words("FORMAT", 4),
        Column::words("QUANT", 1),
        Column::numbers("SIZE", 0),
        Column::numbers("CONTEXT", 3),
        Column::words("LICENCE", 5),
        Column::words("USED BY", 2).cut_to(8),
    ];
    let rows: Vec<Vec<Cell>> = models
        .iter()
        .map(|model| {
            let reference = model.reference.to_string();
            let used_by = users.get(&reference).map(|names| names.join(" ")).unwrap_or_default();
            vec![
                Cell::new(reference),
                Cell::new(format_name(model.format)),
                Cell::optional(model.quantisation.as_deref()),
                Cell::new(format::bytes(model.size_bytes)),
                Cell::optional(model.context_length),
                Cell::optional(model.licence.as_deref()),
                Cell::new(used_by),
            ]
        })
        .collect();
    table::render(&columns, &rows, width)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::path::PathBuf;

    use orchestrator_core::model::{ModelDefaults, ModelFormat};

    use super::*;

    fn model(reference: &str, licence: Option<&str>) -> InstalledModel {
        InstalledModel {
            reference: reference.parse().unwrap(),
            path: PathBuf::from("/m/x.gguf"),
            format: ModelFormat::Gguf,
            name: None,
            architecture: "qwen3".to_owned(),
            quantisation: Some("Q4_K_M".to_owned()),
            context_length: Some(40_960),
            parameters: 751_632_384,
            size_bytes: 484_220_320,
            has_chat_template: true,
            files: Vec::new(),
            revision: None,
            licence: licence.map(str::to_owned),
            projector: None,
            defaults: ModelDefaults::default(),
        }
    }

    #[test]
    fn a_model_is_shown_with_its_users_where_there_is_room() {
        let models =
            [model("hf:bartowski/a-model-with-a-really-long-name-GGUF:Q4_K_M", Some("apache-2.0")), model("ollama:qwen3:0.6b", None)];
        let users = Users::from([("ollama:qwen3:0.6b".to_owned(), vec!["coder".to_owned(), "chat".to_owned()])]);
        let plain = |width| anstream::adapter::strip_str(&render(&models, &users, width)).to_string();
        insta::assert_snapshot!("wide", plain(None));
        for width in [100, 60, 40] {
            assert!(plain(Some(width)).lines().all(|line| line.chars().count() <= width), "{}", plain(Some(width)));
        }
        insta::assert_snapshot!("narrow", plain(Some(60)));
    }
}
