//! The routes of Ollama's registry (manifests, blobs, tokens) and of its site (the catalogue).

use serde_json::{Value, json};

use super::answer::Answer;
use super::cdn::link_to_blob;
use super::content::sha256_of;
use super::library::{LibraryModel, MANIFEST};
use super::misbehaviour::Part;
use super::request::Request;
use super::world::{Origins, World};

/// The token that the registry gives to everybody.
pub(super) const TOKEN: &str = "anonymous-registry-token";

/// Answers a request to the registry or the site.
pub(super) fn answer(world: &World, request: &Request, origins: &Origins) -> Answer {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["v2", "token"] => Answer::json(Part::Token, 200, json!({ "token": TOKEN, "access_token": TOKEN, "expires_in": 300 })),
        ["v2"] | ["v2", ""] => Answer::json(Part::Other, 200, json!({})),
        ["v2", namespace, name, "manifests", tag] => {
            let wanted = (*namespace, *name, Part::Manifest);
            token_needed(world, request, origins, wanted).unwrap_or_else(|| manifest(world, namespace, name, tag))
        }
        ["v2", namespace, name, "blobs", digest] => {
            let wanted = (*namespace, *name, Part::Redirect);
            token_needed(world, request, origins, wanted).unwrap_or_else(|| blob(world, origins, digest))
        }
        ["api", "tags"] => tags(world),
        ["library" | "search"] => catalogue(world, request.query("q").unwrap_or_default()),
        ["library", name] | ["library", name, "tags"] => tags_of(world, name),
        _ => Answer::text(Part::Other, 404, "404 page not found"),
    }
}

fn error(part: Part, status: u16, code: &str, message: &str) -> Answer {
    Answer::json(part, status, json!({ "errors": [{ "code": code, "message": message, "detail": {} }] }))
}

fn token_needed(world: &World, request: &Request, origins: &Origins, (namespace, name, part): (&str, &str, Part)) -> Option<Answer> {
    if !world.registry_needs_token || request.token() == Some(TOKEN) {
        return None;
    }
    let scope = format!("repository:{namespace}/{name}:pull");
    let realm = format!("Bearer realm=\"{}/v2/token\",service=\"registry\",scope=\"{scope}\"", origins.registry());
    Some(error(part, 401, "UNAUTHORIZED", "authentication required").with("www-authenticate", &realm))
}

fn manifest(world: &World, namespace: &str, name: &str, tag: &str) -> Answer {
    let Some(model) = world.model(namespace, name, tag) else {
        return error(Part::Manifest, 404, "MANIFEST_UNKNOWN", "manifest unknown");
    };
    let manifest = model.manifest();
    let digest = sha256_of(manifest.to_string().as_bytes());
    Answer::json(Part::Manifest, 200, manifest).with("content-type", MANIFEST).with("ollama-content-digest", &digest)
}

fn blob(world: &World, origins: &Origins, digest: &str) -> Answer {
    match digest.strip_prefix("sha256:").filter(|digest| world.blob(digest).is_some()) {
        Some(digest) => Answer::redirect(307, &link_to_blob(origins, digest)),
        None if world.bait().is_some() => Answer::redirect(307, &format!("{}/bait", origins.cdn())),
        None => error(Part::Redirect, 404, "BLOB_UNKNOWN", "blob unknown to registry"),
    }
}

fn tags(world: &World) -> Answer {
    let models: Vec<Value> = world.models.iter().filter(|model| model.namespace == "library").map(tag_entry).collect();
    Answer::json(Part::Search, 200, json!({ "models": models }))
}

fn tag_entry(model: &LibraryModel) -> Value {
    let name = format!("{}:{}", model.name, model.tag);
    let digest = sha256_of(model.manifest().to_string().as_bytes());
    json!({
        "name": name, "model": name, "modified_at": "2026-02-03T04:05:06Z", "size": model.size(), "digest": digest,
        "details": { "parent_model": "", "format": "", "family": "", "families": null, "parameter_size": "", "quantization_level": "" },
    })
}

/// The page of all models whose name or description has the text in it, in the shape that the site has.
fn catalogue(world: &World, text: &str) -> Answer {
    let mut names: Vec<&str> = world.models.iter().filter(|model| model.namespace == "library").map(|model| model.name.as_str()).collect();
    names.dedup();
    let entry = |name: &str| {
        let of_it: Vec<&LibraryModel> = world.models.iter().filter(|model| model.name == name).collect();
        let description = of_it.first().map(|model| escaped(&model.description)).unwrap_or_default();
        let size = |model: &&LibraryModel| format!("<span x-test-size class=\"inline-flex\">{}</span>", escaped(&model.tag));
        let sizes = of_it.iter().map(size).collect::<Vec<_>>().concat();
        let name = escaped(name);
        format!(
            "<li x-test-model class=\"flex items-baseline border-b border-neutral-200 py-6\"><a href=\"/library/{name}\" class=\"group w-full\">\
             <div x-test-model-title title=\"{name}\"><h2><span x-test-search-response-title>{name}</span></h2>\
             <p class=\"max-w-lg break-words\">{description}</p></div><div>{sizes}</div>\
             <p><span x-test-pull-count>12.3K</span> Pulls <span x-test-tag-count>{}</span> Tags <span x-test-updated>2 days ago</span></p></a></li>",
            of_it.len()
        )
    };
    let text = text.to_lowercase();
    let found: String = names.iter().filter(|name| name.to_lowercase().contains(&text)).map(|name| entry(name)).collect();
    Answer::html(Part::Search, 200, &format!("<!DOCTYPE html><html><body><ul role=\"list\">{found}</ul></body></html>"))
}

fn tags_of(world: &World, name: &str) -> Answer {
    let of_it = world.models.iter().filter(|model| model.name == name && model.namespace == "library");
    let entry = |model: &LibraryModel| {
        let (name, tag) = (escaped(&model.name), escaped(&model.tag));
        let digest = sha256_of(model.manifest().to_string().as_bytes());
        format!("<div><a href=\"/library/{name}:{tag}\">{name}:{tag}</a><span>{}</span> <p>{} B</p></div>", &digest[..12], model.size())
    };
    let found: String = of_it.map(entry).collect();
    let status = if found.is_empty() { 404 } else { 200 };
    Answer::html(Part::Search, status, &format!("<!DOCTYPE html><html><body>{found}</body></html>"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
