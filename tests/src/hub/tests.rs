//! The fake hub, asked as its clients ask.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::http::{Response, send_with};

const SIZE: u64 = 300_000;

fn hub() -> RunningHub {
    let open = Repository::new("maker/model").license("mit").file("config.json", "{}\n").file("sub/model.gguf", Content::seeded(1, SIZE));
    let gated = Repository::new("maker/gated").access(Access::Gated).file("model.gguf", Content::seeded(2, 1_000));
    let private = Repository::new("maker/private").access(Access::Private).file("model.gguf", Content::seeded(3, 1_000));
    let account = |token: &str, repositories: &[&str]| Account {
        token: token.to_owned(),
        name: "somebody".to_owned(),
        repositories: repositories.iter().map(|id| (*id).to_owned()).collect(),
    };
    let model =
        LibraryModel::new("llama", "1b", Content::seeded(4, SIZE)).layer("template", "{{ .Prompt }}").parameters(&json!({ "stop": ["x"] }));
    RunningHub::start(World {
        repositories: vec![open, gated, private],
        models: vec![model],
        accounts: vec![account("let-in", &["maker/gated", "maker/private"]), account("let-out", &[])],
        ..World::default()
    })
}

fn get(url: &str, headers: &[(&str, &str)]) -> Response {
    ask("GET", url, headers)
}

fn ask(method: &str, url: &str, headers: &[(&str, &str)]) -> Response {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    send_with(authority, method, &format!("/{path}"), headers, b"").unwrap()
}

fn bytes(mut answer: Response) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.next_piece()? {
        bytes.extend(piece);
    }
    Ok(bytes)
}

fn resolve(hub: &Hub, id: &str, file: &str) -> String {
    format!("{}/{id}/resolve/main/{file}", hub.huggingface())
}

/// Returns the link to the bytes of the large file.
fn link(hub: &Hub) -> String {
    get(&resolve(hub, "maker/model", "sub/model.gguf"), &[]).header("location").unwrap().to_owned()
}

#[test]
fn a_large_file_is_at_another_host_and_a_small_one_here() {
    let hub = hub();
    let content = Content::seeded(1, SIZE);
    let answer = ask("HEAD", &resolve(&hub, "maker/model", "sub/model.gguf"), &[]);
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("x-linked-etag"), Some(format!("\"{}\"", content.sha256()).as_str()));
    assert_eq!(answer.header("x-linked-size"), Some(SIZE.to_string().as_str()));
    assert_eq!(answer.header("x-repo-commit"), Some(Repository::new("maker/model").commit()));
    let link = answer.header("location").unwrap().to_owned();
    assert!(link.starts_with(&hub.cdn()) && hub.cdn() != hub.huggingface(), "{link}");
    let whole = bytes(get(&link, &[])).unwrap();
    assert_eq!(content::sha256_of(&whole), content.sha256());
    assert_eq!(hub.bytes_sent("sub/model.gguf"), SIZE);
    let small = get(&resolve(&hub, "maker/model", "config.json"), &[]);
    assert_eq!((small.status, small.header("etag")), (200, Some("\"0967ef424bce6791893e9a57bb952f80fd536e93\"")));
    assert_eq!(small.text().unwrap(), "{}\n");
    hub.change(|world| world.plain_files_are_elsewhere = true);
    let answer = get(&resolve(&hub, "maker/model", "config.json"), &[]);
    assert_eq!(answer.status, 307);
    let there = format!("{}{}", hub.huggingface(), answer.header("location").unwrap());
    assert_eq!(get(&there, &[]).text().unwrap(), "{}\n");
}

#[test]
fn parts_of_a_file_are_served() {
    let hub = hub();
    let content = Content::seeded(1, SIZE);
    let link = link(&hub);
    let part = get(&link, &[("range", "bytes=1000-1999")]);
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 1000-1999/300000")));
    let etag = part.header("etag").unwrap().to_owned();
    assert_eq!(bytes(part).unwrap(), content.read(1_000..2_000));
    assert_eq!(get(&link, &[("range", "bytes=0-0"), ("if-range", &etag)]).status, 206);
    assert_eq!(get(&link, &[("range", "bytes=0-0"), ("if-range", "\"other\"")]).status, 200);
    assert_eq!(get(&link, &[("range", "bytes=300000-")]).status, 416);
    let ranges: Vec<String> = hub.seen().iter().filter_map(|seen| seen.range().map(str::to_owned)).collect();
    assert_eq!(ranges, ["bytes=1000-1999", "bytes=0-0", "bytes=0-0", "bytes=300000-"]);
}

#[test]
fn whoever_may_not_have_a_file_is_told_why() {
    let hub = hub();
    let gated = resolve(&hub, "maker/gated", "model.gguf");
    let private = resolve(&hub, "maker/private", "model.gguf");
    let missing = resolve(&hub, "maker/missing", "model.gguf");
    let other_file = resolve(&hub, "maker/model", "other.gguf");
    let other_revision = format!("{}/maker/model/resolve/other/config.json", hub.huggingface());
    for (url, token, status, code) in [
        (&gated, None, 401, Some("GatedRepo")),
        (&gated, Some("let-out"), 403, Some("GatedRepo")),
        (&gated, Some("let-in"), 302, None),
        (&gated, Some("made-up"), 401, None),
        (&private, None, 401, Some("RepoNotFound")),
        (&private, Some("let-out"), 404, Some("RepoNotFound")),
        (&private, Some("let-in"), 302, None),
        (&missing, None, 401, Some("RepoNotFound")),
        (&missing, Some("let-in"), 404, Some("RepoNotFound")),
        (&other_file, None, 404, Some("EntryNotFound")),
        (&other_revision, None, 404, Some("RevisionNotFound")),
    ] {
        let token = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        let answer = get(url, &headers);
        assert_eq!((answer.status, answer.header("x-error-code")), (status, code), "{url} {token:?}");
    }
    let told = hub.authorizations(Origin::HuggingFace);
    assert!(told.contains(&"Bearer let-in".to_owned()) && hub.authorizations(Origin::Cdn).is_empty(), "{told:?}");
    let cdn = get(&link(&hub), &[("authorization", "Bearer let-in")]);
    assert_eq!((cdn.status, hub.authorizations(Origin::Cdn).len()), (400, 1));
}

#[test]
fn listings_have_sizes_and_digests() {
    let hub = hub();
    let url = format!("{}/api/models/maker/model/revision/main?blobs=true", hub.huggingface());
    let info = get(&url, &[]).json();
    let content = Content::seeded(1, SIZE);
    assert_eq!(info["siblings"][1]["lfs"]["sha256"], content.sha256());
    assert_eq!(info["siblings"][1]["size"], SIZE);
    assert_eq!(info["siblings"][0], json!({ "rfilename": "config.json", "blobId": "0967ef424bce6791893e9a57bb952f80fd536e93", "size": 3 }));
    assert_eq!((&info["cardData"]["license"], &info["gated"]), (&json!("mit"), &json!(false)));
    let tree = |query: &str| get(&format!("{}/api/models/maker/model/tree/main{query}", hub.huggingface()), &[]).json();
    let paths = |value: Value| value.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(paths(tree("")), ["config.json", "sub"]);
    assert_eq!(paths(tree("?recursive=true")), ["config.json", "sub", "sub/model.gguf"]);
    assert_eq!(paths(tree("/sub")), ["sub/model.gguf"]);
    let found = get(&format!("{}/api/models?search=maker&limit=1", hub.huggingface()), &[]);
    let next = found.header("link").unwrap().trim_start_matches('<').split('>').next().unwrap().to_owned();
    assert_eq!(found.json()[0]["id"], "maker/model");
    assert_eq!(get(&next, &[]).json()[0]["id"], "maker/gated");
}

#[test]
fn the_registry_gives_manifests_blobs_and_tokens() {
    let hub = hub();
    let manifest_url = format!("{}/v2/library/llama/manifests/1b", hub.registry());
    let manifest = get(&manifest_url, &[]).json();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(manifest["layers"][1]["mediaType"], "application/vnd.ollama.image.template");
    let blob = get(&format!("{}/v2/library/llama/blobs/{digest}", hub.registry()), &[]);
    assert_eq!(blob.status, 307);
    let weights = bytes(get(blob.header("location").unwrap(), &[])).unwrap();
    assert_eq!(format!("sha256:{}", content::sha256_of(&weights)), digest);
    let missing = get(&format!("{}/v2/library/llama/manifests/7b", hub.registry()), &[]);
    assert_eq!((missing.status, missing.json()["errors"][0]["code"].clone()), (404, json!("MANIFEST_UNKNOWN")));
    hub.change(|world| world.registry_needs_token = true);
    let asked = get(&manifest_url, &[]);
    assert_eq!(asked.status, 401);
    let realm = asked.header("www-authenticate").unwrap().split('"').nth(1).unwrap().to_owned();
    let token = get(&format!("{realm}?service=registry&scope=x"), &[]).json();
    let authorization = format!("Bearer {}", token["token"].as_str().unwrap());
    assert_eq!(get(&manifest_url, &[("authorization", &authorization)]).status, 200);
    let tags = get(&format!("{}/api/tags", hub.registry()), &[]).json();
    assert_eq!(tags["models"][0]["name"], "llama:1b");
    assert!(get(&format!("{}/search?q=lla", hub.registry()), &[]).text().unwrap().contains("title=\"llama\""));
}

#[test]
fn a_rule_holds_for_what_it_names_and_as_often_as_it_says() {
    let hub = hub();
    let link = link(&hub);
    hub.rule(
        Rule::new(Misbehaviour::Status { code: 503, retry_after: Some("7".to_owned()) })
            .path("sub/model.gguf")
            .part(Part::Bytes)
            .skip(1)
            .times(2),
    );
    let statuses: Vec<u16> = (0..4).map(|_| get(&link, &[]).status).collect();
    assert_eq!(statuses, [200, 503, 503, 200]);
    assert_eq!(get(&resolve(&hub, "maker/model", "config.json"), &[]).status, 200);
    let spoiled = hub.seen().iter().filter(|seen| seen.spoiled.is_some()).count();
    assert_eq!(spoiled, 2);
}

#[test]
fn every_way_to_be_bad_with_bytes_is_a_bad_one() {
    let hub = hub();
    let content = Content::seeded(1, SIZE);
    let link = link(&hub);
    let good = content.read(1_000..2_000);
    let asked = |how: Misbehaviour| {
        hub.clear_rules();
        hub.rule(Rule::new(how));
        get(&link, &[("range", "bytes=1000-1999")])
    };
    let whole = |how: Misbehaviour| bytes(asked(how));
    let flipped = whole(Misbehaviour::FlippedBit(1_500)).unwrap();
    assert_eq!((flipped[500] ^ good[500], &flipped[..500], &flipped[501..]), (0x10, &good[..500], &good[501..]));
    assert_eq!(whole(Misbehaviour::FlippedBit(2_500)).unwrap(), good);
    assert_eq!(asked(Misbehaviour::IgnoredRange).status, 200);
    assert_eq!(whole(Misbehaviour::ShiftedBytes(3)).unwrap(), content.read(1_003..2_003));
    assert_eq!(asked(Misbehaviour::OtherRange(5)).header("content-range"), Some("bytes 1005-2004/300000"));
    assert!(whole(Misbehaviour::ShortBody(1)).is_err());
    assert_eq!(whole(Misbehaviour::WrongLength(-10)).unwrap().len(), 990);
    assert_eq!(asked(Misbehaviour::OtherEtag("\"x\"".to_owned())).header("etag"), Some("\"x\""));
    assert_eq!(asked(Misbehaviour::NoEtag).header("etag"), None);
    let packed = asked(Misbehaviour::Gzip);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(&bytes(packed).unwrap()[..2], &[0x1f, 0x8b]);
    assert_eq!(asked(Misbehaviour::ExpiredLink).status, 403);
    assert!(asked(Misbehaviour::LoginPage).text().unwrap().contains("Log in"));
    assert_eq!(asked(Misbehaviour::NoContentRange).header("content-range"), None);
    assert!(asked(Misbehaviour::Multipart).header("content-type").unwrap().starts_with("multipart/byteranges"));
    assert_eq!(asked(Misbehaviour::WrongTotal(1)).header("content-range"), Some("bytes 1000-1999/300001"));
    assert_eq!(whole(Misbehaviour::Empty).unwrap(), b"");
    assert!(whole(Misbehaviour::ResetInBody(100)).is_err());
    assert!(whole(Misbehaviour::BadChunking(100)).is_err());
    let rest = link.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    for how in [Misbehaviour::CloseBeforeHead, Misbehaviour::Nonsense] {
        hub.clear_rules();
        hub.rule(Rule::new(how.clone()));
        let answer = send_with(authority, "GET", &format!("/{path}"), &[], b"");
        assert!(answer.is_err(), "{how:?}: {answer:?}");
    }
}

#[test]
fn every_way_to_be_bad_with_places_is_a_bad_one() {
    let hub = hub();
    let url = resolve(&hub, "maker/model", "sub/model.gguf");
    let asked = |how: Misbehaviour| {
        hub.clear_rules();
        hub.rule(Rule::new(how));
        get(&url, &[])
    };
    let location = |how: Misbehaviour| asked(how).header("location").unwrap().to_owned();
    assert!(url.ends_with(&location(Misbehaviour::RedirectLoop)));
    assert!(location(Misbehaviour::EndlessRedirects).contains("?again=0"));
    assert_eq!(location(Misbehaviour::RedirectTo(OTHER_SCHEMES[0].to_owned())), "file:///etc/passwd");
    let bait = location(Misbehaviour::RedirectToStranger);
    assert!(bait.starts_with(&hub.stranger()), "{bait}");
    assert_eq!(content::sha256_of(&bytes(get(&bait, &[("authorization", "Bearer x")])).unwrap()), Content::seeded(1, SIZE).sha256());
    assert_eq!(hub.authorizations(Origin::Stranger), ["Bearer x"]);
    assert!(asked(Misbehaviour::ForeignRealm).header("www-authenticate").unwrap().contains(&hub.stranger()));
    assert_eq!(asked(Misbehaviour::WrongLinkedSize(-1)).header("x-linked-size"), Some("299999"));
    assert!(asked(Misbehaviour::WrongLinkedEtag).header("x-linked-etag").unwrap().contains("0123456789abcdef"));
    assert_eq!(asked(Misbehaviour::NoCommit).header("x-repo-commit"), None);
    assert!(asked(Misbehaviour::HugeHead(100)).headers.len() > 100);
}

#[test]
fn every_way_to_be_bad_with_lists_is_a_bad_one() {
    let hub = hub();
    let listing = format!("{}/api/models/maker/model/revision/main?blobs=true", hub.huggingface());
    let manifest = format!("{}/v2/library/llama/manifests/1b", hub.registry());
    let asked = |url: &str, how: Misbehaviour| {
        hub.clear_rules();
        hub.rule(Rule::new(how));
        get(url, &[])
    };
    let good = Content::seeded(1, SIZE).sha256().to_owned();
    assert_ne!(asked(&listing, Misbehaviour::WrongListedDigest).json()["siblings"][1]["lfs"]["sha256"], good);
    assert_ne!(asked(&manifest, Misbehaviour::WrongListedDigest).json()["layers"][0]["digest"], good);
    assert_eq!(asked(&listing, Misbehaviour::WrongListedSize(1)).json()["siblings"][1]["lfs"]["size"], SIZE + 1);
    assert_eq!(asked(&manifest, Misbehaviour::AbsurdListedSize).json()["layers"][0]["size"], -1.5e300);
    assert_eq!(asked(&listing, Misbehaviour::HostileName("../x".to_owned())).json()["siblings"][2]["rfilename"], "../x");
    assert_eq!(asked(&manifest, Misbehaviour::HostileDigest("sha256:../x".to_owned())).json()["layers"][0]["digest"], "sha256:../x");
    assert_eq!(asked(&manifest, Misbehaviour::WrongMediaType).json()["mediaType"], "application/vnd.nobody.knows+json");
    let text = |how: Misbehaviour| asked(&listing, how).text().unwrap();
    assert!(serde_json::from_str::<Value>(&text(Misbehaviour::BrokenJson)).is_err());
    assert!(text(Misbehaviour::HugeJson(2)).len() > 2 << 20);
    assert!(serde_json::from_str::<Value>(&text(Misbehaviour::DeepJson(100_000))).is_err());
}

#[test]
fn a_hub_that_hangs_ends_all_the_same_and_knows_who_is_there() {
    let hub = hub();
    let link = link(&hub);
    hub.rule(Rule::new(Misbehaviour::HangInBody(1_000)));
    let mut answer = get(&link, &[]);
    assert_eq!(answer.next_piece().unwrap().unwrap().len(), 1_000);
    assert_eq!(hub.open_connections(), 1);
    let begun = Instant::now();
    drop(hub);
    assert!(begun.elapsed() < Duration::from_secs(10), "it ends at once");
    assert!(answer.next_piece().is_err());
}

#[test]
fn a_limit_is_kept() {
    let hub = hub();
    let link = link(&hub);
    hub.limit(Limits { per_connection: Some(1_000_000), ..Limits::default() });
    let begun = Instant::now();
    bytes(get(&link, &[])).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(280), "300 kB at 1 MB/s took {:?}", begun.elapsed());
    hub.limit(Limits { total: Some(1_000_000), ..Limits::default() });
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| bytes(get(&link, &[])).unwrap()));
        for thread in both {
            thread.join().unwrap();
        }
    });
    assert!(begun.elapsed() >= Duration::from_millis(560), "600 kB at 1 MB/s took {:?}", begun.elapsed());
}

#[test]
fn another_program_sees_and_changes_a_hub() {
    let hub = hub();
    let link = link(&hub);
    let post = |path: &str, body: Value| {
        let answer = crate::http::send(&hub.huggingface(), "POST", path, body.to_string().as_bytes()).unwrap();
        (answer.status, answer.text().unwrap())
    };
    assert_eq!(post("/fake/rules", json!({ "how": { "flipped_bit": 3 }, "path": "model.gguf", "times": 1 })).0, 200);
    assert_eq!(post("/fake/rules", json!({ "how": "nothing_known" })).0, 400);
    let repository = json!({ "id": "new/one", "revisions": [{ "names": ["main"], "commit": "0123456789012345678901234567890123456789",
        "files": [{ "path": "a.txt", "content": { "text": "hello" } }] }] });
    assert_eq!(post("/fake/additions", json!({ "repository": repository })), (200, "{}".to_owned()));
    assert_eq!(get(&resolve(&hub, "new/one", "a.txt"), &[]).text().unwrap(), "hello");
    assert_ne!(content::sha256_of(&bytes(get(&link, &[])).unwrap()), Content::seeded(1, SIZE).sha256());
    let seen = get(&format!("{}/fake/seen", hub.huggingface()), &[]).json();
    assert_eq!(seen[2]["spoiled"], json!({ "flipped_bit": 3 }));
}

#[test]
fn an_ollama_pulls_shows_and_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let model = || {
        LibraryModel::new("llama", "1b", Content::seeded(4, SIZE))
            .layer("template", "{{ .Prompt }}")
            .parameters(&json!({ "stop": ["x", "y"] }))
    };
    let daemon = OllamaDaemon::start(folder.path(), vec![model()]);
    let ask =
        |method: &str, path: &str, body: Value| crate::http::send(&daemon.endpoint(), method, path, body.to_string().as_bytes()).unwrap();
    let pull = |name: &str| -> Vec<Value> {
        let text = ask("POST", "/api/pull", json!({ "model": name })).text().unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(pull("nothing").last().unwrap()["error"], "pull model manifest: file does not exist");
    daemon.trouble(Some(Trouble::PullFails { after: 1, message: "max retries exceeded".to_owned() }));
    assert_eq!(pull("llama:1b").last().unwrap()["error"], "max retries exceeded");
    assert!(daemon.installed().is_empty());
    daemon.trouble(None);
    let lines = pull("llama:1b");
    assert_eq!((lines[0]["status"].clone(), lines.last().unwrap()["status"].clone()), (json!("pulling manifest"), json!("success")));
    assert!(lines.iter().any(|line| line["completed"] == SIZE && line["total"] == SIZE), "{lines:#?}");
    let blob = folder.path().join("blobs").join(format!("sha256-{}", Content::seeded(4, SIZE).sha256()));
    assert_eq!(std::fs::metadata(&blob).unwrap().len(), SIZE);
    assert_eq!(ask("GET", "/api/tags", json!(null)).json()["models"][0]["name"], "llama:1b");
    let shown = ask("POST", "/api/show", json!({ "model": "llama:1b" })).json();
    assert!(shown["modelfile"].as_str().unwrap().contains(blob.to_str().unwrap()), "{shown}");
    assert!(shown["parameters"].as_str().unwrap().ends_with("\"y\""), "{shown}");
    daemon.run(&["llama:1b"]);
    assert_eq!(ask("GET", "/api/ps", json!(null)).json()["models"][0]["model"], "llama:1b");
    assert_eq!(ask("DELETE", "/api/delete", json!({ "model": "llama:1b" })).status, 200);
    assert_eq!(ask("POST", "/api/show", json!({ "model": "llama:1b" })).status, 404);
    assert!(!blob.exists() && daemon.installed().is_empty());
}
