//! The routes of the Hugging Face hub: search, what a repository is, its tree, and where its files are.

use serde_json::{Value, json};

use super::answer::Answer;
use super::cdn::link_to_file;
use super::misbehaviour::Part;
use super::repository::{Access, Detail, Repository, RepositoryFile, Revision};
use super::request::{Request, encoded_path};
use super::world::{Origins, World};

/// How many models or files a page has, unless it is said.
const PAGE: usize = 1_000;

/// Answers a request to the hub.
pub(super) fn answer(world: &World, request: &Request, origins: &Origins) -> Answer {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let Some(refused) = bad_token(world, request) {
        return refused;
    }
    match segments.as_slice() {
        ["api", "whoami-v2"] => whoami(world, request),
        ["api", "models"] => search(world, request, origins),
        ["api", "models", owner, name] => info(world, request, &format!("{owner}/{name}"), "main"),
        ["api", "models", owner, name, "revision", revision] => info(world, request, &format!("{owner}/{name}"), revision),
        ["api", "models", owner, name, "refs"] => refs(world, request, &format!("{owner}/{name}")),
        ["api", "models", owner, name, "tree", revision, folder @ ..] => {
            tree(world, request, origins, (&format!("{owner}/{name}"), revision, &folder.join("/")))
        }
        ["api", "resolve-cache", "models", owner, name, commit, path @ ..] => {
            let id = format!("{owner}/{name}");
            let found = world.file(&id, commit, &path.join("/"));
            found.map_or_else(entry_not_found, |file| plain_file(request, file, commit))
        }
        [owner, name, "resolve", revision, path @ ..] if !path.is_empty() => {
            resolve(world, request, origins, (&format!("{owner}/{name}"), revision, &path.join("/")))
        }
        _ => match world.bait() {
            Some(file) => plain_file(request, file, "0"),
            None => error(Part::Other, 404, "Sorry, we can't find the page you are looking for.", None),
        },
    }
}

fn error(part: Part, status: u16, message: &str, code: Option<&str>) -> Answer {
    let mut answer = Answer::json(part, status, json!({ "error": message })).with("x-error-message", message);
    if let Some(code) = code {
        answer.set("x-error-code", code);
    }
    answer
}

fn entry_not_found() -> Answer {
    error(Part::Redirect, 404, "Entry not found", Some("EntryNotFound"))
}

fn bad_token(world: &World, request: &Request) -> Option<Answer> {
    let token = request.token()?;
    let known = world.account(token).is_some();
    (!known).then(|| error(Part::Other, 401, "Invalid credentials in Authorization header", None))
}

fn whoami(world: &World, request: &Request) -> Answer {
    match request.token().and_then(|token| world.account(token)) {
        Some(account) => {
            let auth = json!({ "type": "access_token", "accessToken": { "displayName": "test", "role": "read" } });
            Answer::json(
                Part::Other,
                200,
                json!({ "type": "user", "id": "1", "name": account.name, "fullname": account.name, "auth": auth }),
            )
        }
        None => error(Part::Other, 401, "Invalid username or password.", None),
    }
}

/// Finds a repository and one of its states, as far as whoever asks may know of it.
fn find<'a>(world: &'a World, request: &Request, id: &str, revision: &str, part: Part) -> Result<(&'a Repository, &'a Revision), Answer> {
    let account = request.token().and_then(|token| world.account(token));
    let is_let_in = account.is_some_and(|account| account.repositories.iter().any(|known| known == id));
    let found = world.repository(id).filter(|repository| repository.access != Access::Private || is_let_in);
    let Some(repository) = found else {
        // Who is not known is not even told that there is nothing.
        return Err(match account {
            Some(_) => error(part, 404, "Repository not found", Some("RepoNotFound")),
            None => error(part, 401, "Invalid username or password.", Some("RepoNotFound")),
        });
    };
    if part == Part::Redirect && repository.access == Access::Gated && !is_let_in {
        let (status, advice) = match account {
            None => (401, "You must have access to it and be authenticated to access it. Please log in.".to_owned()),
            Some(_) => (403, format!("and you are not in the authorized list. Visit https://huggingface.co/{id} to ask for access.")),
        };
        return Err(error(part, status, &format!("Access to model {id} is restricted. {advice}"), Some("GatedRepo")));
    }
    let state =
        repository.revision(revision).ok_or_else(|| error(part, 404, &format!("Invalid rev id: {revision}"), Some("RevisionNotFound")))?;
    Ok((repository, state))
}

fn search(world: &World, request: &Request, origins: &Origins) -> Answer {
    let words = request.query("search").unwrap_or_default().to_lowercase();
    let fits = |repository: &&Repository| {
        let id = repository.id.to_lowercase();
        let tagged = |tag: &str| repository.tags.iter().any(|known| known == tag) || (tag == "gguf" && repository.gguf.is_some());
        words.split_whitespace().all(|word| id.contains(word))
            && request.query("author").is_none_or(|author| id.starts_with(&format!("{}/", author.to_lowercase())))
            && request.queries("filter").all(tagged)
            && repository.access != Access::Private
    };
    let mut found: Vec<&Repository> = world.repositories.iter().filter(fits).collect();
    match request.query("sort") {
        Some("likes") => found.sort_by_key(|repository| std::cmp::Reverse(repository.likes)),
        Some("downloads") => found.sort_by_key(|repository| std::cmp::Reverse(repository.downloads)),
        _ => {}
    }
    let detail = if request.query("full").is_some_and(|full| full != "false") { Detail::Names } else { Detail::Summary };
    let mut entries: Vec<Value> = found.iter().map(|repository| repository.describe(&repository.revisions[0], detail)).collect();
    for (entry, repository) in entries.iter_mut().zip(&found) {
        if request.query("cardData").is_some() {
            entry["cardData"] = json!({ "license": repository.license });
        }
        expand(request, entry, &repository.describe(&repository.revisions[0], Detail::Names));
    }
    page(request, origins, Part::Search, entries)
}

/// Answers with one page of a list, and says where the next one is.
fn page(request: &Request, origins: &Origins, part: Part, entries: Vec<Value>) -> Answer {
    let limit = request.query("limit").and_then(|text| text.parse().ok()).unwrap_or(PAGE);
    let begin: usize = request.query("cursor").and_then(|text| text.parse().ok()).unwrap_or(0);
    let more = entries.len() > begin + limit;
    let shown: Vec<Value> = entries.into_iter().skip(begin).take(limit).collect();
    let answer = Answer::json(part, 200, Value::Array(shown));
    if !more {
        return answer;
    }
    let kept = request.query.iter().filter(|(name, _)| name != "cursor");
    let query: Vec<String> = kept.map(|(name, value)| format!("{}={}&", encoded_path(name), encoded_path(value))).collect();
    let query = query.concat();
    answer.with("link", &format!("<{}{}?{query}cursor={}>; rel=\"next\"", origins.huggingface(), request.raw_path, begin + limit))
}

/// Leaves what `expand` names, where something is named.
fn expand(request: &Request, entry: &mut Value, full: &Value) {
    let wanted: Vec<&str> = request.queries("expand").chain(request.queries("expand[]")).collect();
    if wanted.is_empty() {
        return;
    }
    let kept = ["_id", "id", "modelId"].into_iter().chain(wanted);
    *entry = kept.filter_map(|key| full.get(key).map(|value| (key.to_owned(), value.clone()))).collect::<serde_json::Map<_, _>>().into();
}

fn info(world: &World, request: &Request, id: &str, revision: &str) -> Answer {
    let (repository, state) = match find(world, request, id, revision, Part::Listing) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let detail = if request.query("blobs").is_some_and(|blobs| blobs != "false") { Detail::Blobs } else { Detail::Names };
    let mut entry = repository.describe(state, detail);
    let full = entry.clone();
    expand(request, &mut entry, &full);
    Answer::json(Part::Listing, 200, entry)
}

fn refs(world: &World, request: &Request, id: &str) -> Answer {
    let repository = match find(world, request, id, "main", Part::Listing) {
        Ok((repository, _)) => repository,
        Err(refused) => return refused,
    };
    let named = repository.revisions.iter().flat_map(|state| state.names.iter().map(|name| (name, &state.commit)));
    let branches: Vec<Value> =
        named.map(|(name, commit)| json!({ "name": name, "ref": format!("refs/heads/{name}"), "targetCommit": commit })).collect();
    Answer::json(Part::Listing, 200, json!({ "branches": branches, "tags": [], "converts": [] }))
}

fn tree(world: &World, request: &Request, origins: &Origins, (id, revision, folder): (&str, &str, &str)) -> Answer {
    let state = match find(world, request, id, revision, Part::Listing) {
        Ok((_, state)) => state,
        Err(refused) => return refused,
    };
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let recursive = request.query("recursive").is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1");
    let mut entries = Vec::new();
    let mut folders: Vec<String> = Vec::new();
    for file in &state.files {
        let Some(rest) = file.path.strip_prefix(&prefix) else { continue };
        for (at, _) in rest.match_indices('/') {
            let folder = format!("{prefix}{}", &rest[..at]);
            if !folders.contains(&folder) {
                entries.push(json!({ "type": "directory", "oid": "0".repeat(40), "size": 0, "path": folder }));
                folders.push(folder);
            }
            if !recursive {
                break;
            }
        }
        if recursive || !rest.contains('/') {
            entries.push(tree_entry(file));
        }
    }
    if entries.is_empty() && !folder.is_empty() {
        return error(Part::Listing, 404, &format!("{folder} does not exist on \"{revision}\""), Some("EntryNotFound"));
    }
    page(request, origins, Part::Listing, entries)
}

fn tree_entry(file: &RepositoryFile) -> Value {
    let size = file.content.size();
    if !file.is_lfs() {
        return json!({ "type": "file", "oid": file.content.git_oid(), "size": size, "path": file.path });
    }
    let (oid, length) = file.pointer();
    let lfs = json!({ "oid": file.content.sha256(), "size": size, "pointerSize": length });
    json!({ "type": "file", "oid": oid, "size": size, "lfs": lfs, "path": file.path })
}

fn resolve(world: &World, request: &Request, origins: &Origins, (id, revision, path): (&str, &str, &str)) -> Answer {
    let (repository, state) = match find(world, request, id, revision, Part::Redirect) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let bait = || if repository.serves_anything { state.files.first() } else { None };
    let Some(file) = state.file(path).or_else(bait) else {
        return entry_not_found().with("x-repo-commit", &state.commit);
    };
    let told = |answer: Answer| {
        let answer = answer.with("x-repo-commit", &state.commit).with("accept-ranges", "bytes");
        let answer = answer.with("x-linked-size", &file.content.size().to_string());
        answer.with("x-linked-etag", &format!("\"{}\"", file.etag())).with("vary", "Origin, Accept")
    };
    if file.is_lfs() {
        return told(Answer::redirect(302, &link_to_file(origins, id, &state.commit, &file.path)));
    }
    if world.plain_files_are_elsewhere {
        let at = encoded_path(&format!("/api/resolve-cache/models/{id}/{}/{}", state.commit, file.path));
        return told(Answer::redirect(307, &format!("{at}?etag=%22{}%22", file.etag())));
    }
    plain_file(request, file, &state.commit)
}

fn plain_file(request: &Request, file: &RepositoryFile, commit: &str) -> Answer {
    let answer = Answer::file(request, &file.content, &format!("\"{}\"", file.etag()));
    answer.with("x-repo-commit", commit).with("content-type", "text/plain; charset=utf-8")
}
