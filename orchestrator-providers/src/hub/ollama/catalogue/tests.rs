#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;

const PAGE: &str = r#"
<nav><a href="/models">Models</a><a href="/library">Library</a></nav>
<ul role="list">
  <li x-test-model class="flex items-baseline">
    <a href="/library/qwen3" class="group w-full">
      <div class="flex flex-col mb-1" title="qwen3"><h2><span x-test-search-response-title>qwen3</span></h2>
        <p class="max-w-lg break-words">Qwen3 is the latest generation of models,
           small &amp; large &lt;3.</p>
      </div>
      <span x-test-capability class="inline-flex">tools</span><span x-test-capability>thinking</span>
      <span x-test-size class="inline-flex">0.6b</span><span x-test-size>8b</span>
      <p class="my-1"><span x-test-pull-count>11.3M</span><span>&nbsp;Pulls</span></p>
    </a>
  </li>
  <li x-test-model><a href="/library/all-minilm" class="group"><p>Embeddings.</p><span x-test-pull-count>800K</span></a></li>
  <li x-test-model><a href="/library/qwen3">again</a></li>
  <li><a href="/library/../../etc/passwd">odd</a><a href="/library/x&quot;onload">odd</a></li>
  <li x-test-model><a href="/library/bare"></a></li>
</ul>"#;

fn catalogue() -> Catalogue {
    Catalogue { version: VERSION, source: "https://ollama.com".to_owned(), fetched_at: Timestamp::now(), models: read_page(PAGE) }
}

#[test]
fn a_page_is_read_for_its_links() {
    let models = read_page(PAGE);
    let names: Vec<_> = models.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["qwen3", "all-minilm", "bare"]);
    let qwen3 = CatalogueEntry {
        name: "qwen3".to_owned(),
        description: "Qwen3 is the latest generation of models, small & large <3.".to_owned(),
        pulls: Some(11_300_000),
        sizes: vec!["0.6b".to_owned(), "8b".to_owned()],
        abilities: vec!["tools".to_owned(), "thinking".to_owned()],
    };
    assert_eq!(models[0], qwen3);
    assert_eq!(models[1].pulls, Some(800_000));
    assert_eq!(models[2], CatalogueEntry { name: "bare".to_owned(), ..CatalogueEntry::default() });
}

#[test]
fn other_pages_name_no_models() {
    for page in ["", "<html>502 Bad Gateway</html>", "href=\"/library/", "href=\"/library/\"", "{\"models\":[{\"name\":\"x\"}]}"] {
        assert_eq!(read_page(page), [], "{page}");
    }
}

#[test]
fn a_search_finds_words_and_puts_names_first() {
    let names = |text: &str, limit| {
        let found = catalogue().search(&ModelQuery { text: text.to_owned(), limit, stale: true }, false);
        found.models.iter().map(|model| model.reference.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names("", 0), ["ollama:qwen3", "ollama:all-minilm", "ollama:bare"]);
    assert_eq!(names("", 1), ["ollama:qwen3"]);
    assert_eq!(names("embed", 0), ["ollama:all-minilm"]);
    assert_eq!(names("MODELS qwen", 0), ["ollama:qwen3"]);
    assert_eq!(names("tools", 0), ["ollama:qwen3"]);
    assert_eq!(names("nothing-like-it", 0), Vec::<String>::new());
}

#[test]
fn an_old_catalogue_says_so() {
    let catalogue = catalogue();
    let found = catalogue.search(&ModelQuery::default(), true);
    assert_eq!(found.stale_since, Some(catalogue.fetched_at));
    assert_eq!(catalogue.nearest("qwen-3"), ["`ollama:qwen3`"]);
    assert_eq!(catalogue.nearest("zzzzzz"), Vec::<String>::new());
}

#[test]
fn a_catalogue_of_another_version_or_source_is_not_taken() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keeper = CatalogueKeeper::new(folder.path().join("sub/catalogue.json"), Url::parse("https://ollama.com/").unwrap());
    runtime.block_on(async {
        assert_eq!(keeper.kept().await, None);
        keeper.keep(&catalogue()).await;
        assert_eq!(keeper.kept().await.unwrap().models.len(), 3);
        keeper.keep(&Catalogue { version: VERSION + 1, ..catalogue() }).await;
        assert_eq!(keeper.kept().await, None);
        keeper.keep(&Catalogue { source: "https://elsewhere.example".to_owned(), ..catalogue() }).await;
        assert_eq!(keeper.kept().await, None);
    });
}
