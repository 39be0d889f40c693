//! The library's catalogue.

use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_core::provider::{ModelQuery, SearchResults};
use orchestrator_tests::hub::{Misbehaviour, Part, Rule};

use super::*;

fn search(rig: &Rig, text: &str, stale: bool) -> Result<SearchResults, ProviderError> {
    let query = ModelQuery { text: text.to_owned(), limit: 10, stale };
    rig.runtime.block_on(rig.provider().search(&query))
}

fn names(found: &SearchResults) -> Vec<String> {
    found.models.iter().map(|model| model.reference.to_string()).collect()
}

/// Makes the catalogue that was kept look older than a day.
fn age(rig: &Rig) -> String {
    let file = Paths::in_home(&rig.home()).cache_dir().join("ollama-catalogue.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    kept["fetched_at"] = json!("2026-01-02T03:04:05Z");
    fs::write(&file, kept.to_string()).unwrap();
    "2026-01-02T03:04:05".to_owned()
}

#[test]
fn a_catalogue_is_fetched_once_a_day() {
    let rig = Rig::new();
    rig.hub.put_model(LibraryModel::new("another", "latest", weights(rig.folder.path())));
    let found = search(&rig, "demo", false).unwrap();
    assert_eq!((names(&found), found.stale_since), (vec!["ollama:demo".to_owned()], None));
    assert_eq!(found.models[0].description.as_deref().map(|text| text.contains("The model demo.")), Some(true));
    assert_eq!(names(&search(&rig, "", false).unwrap()).len(), 2);
    assert_eq!(rig.hub.requests("/library"), 1);
    age(&rig);
    search(&rig, "", false).unwrap();
    assert_eq!(rig.hub.requests("/library"), 2);
}

#[test]
fn an_old_catalogue_is_served_and_says_so_while_the_library_is_away() {
    let rig = Rig::new();
    search(&rig, "", false).unwrap();
    let since = age(&rig);
    for how in
        [Misbehaviour::Status { code: 500, retry_after: None }, Misbehaviour::LoginPage, Misbehaviour::Empty, Misbehaviour::CloseBeforeHead]
    {
        rig.hub.rule(Rule::new(how).part(Part::Search));
        let found = search(&rig, "demo", true).unwrap();
        assert_eq!(names(&found), ["ollama:demo"]);
        assert!(found.stale_since.unwrap().to_string().starts_with(&since));
        let error = search(&rig, "demo", false).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ProviderUnavailable);
        rig.hub.clear_rules();
    }
    assert_eq!(search(&rig, "demo", true).unwrap().stale_since, None);
}

#[test]
fn without_a_catalogue_the_error_says_that_names_still_work() {
    let rig = Rig::new();
    rig.hub.rule(Rule::new(Misbehaviour::LoginPage).part(Part::Search));
    let error = search(&rig, "demo", true).unwrap_err();
    assert!(error.to_string().contains("names no models"), "{error}");
    assert!(error.hint().unwrap().contains("orch model pull ollama:NAME"));
}
