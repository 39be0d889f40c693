//! The host that large files come from: signed links, ranges, and no patience with tokens.

use super::answer::Answer;
use super::content::Content;
use super::misbehaviour::Part;
use super::request::{Request, encoded_path};
use super::world::{Origins, World};

/// What makes a link look like one that is good for an hour.
const SIGNATURE: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600&X-Amz-Signature=c0ffee";

/// Returns the link to a file of a repository.
pub(super) fn link_to_file(origins: &Origins, id: &str, commit: &str, path: &str) -> String {
    format!("{}/hf/{}?{SIGNATURE}", origins.cdn(), encoded_path(&format!("{id}/{commit}/{path}")))
}

/// Returns the link to a blob of the registry.
pub(super) fn link_to_blob(origins: &Origins, digest: &str) -> String {
    format!("{}/ollama/sha256/{digest}/data?{SIGNATURE}", origins.cdn())
}

/// Answers a request for bytes.
pub(super) fn answer(world: &World, request: &Request) -> Answer {
    if request.header("authorization").is_some() {
        // A signed link and a token at once are refused there.
        let text = "<?xml version=\"1.0\"?><Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>";
        return Answer::text(Part::Bytes, 400, text).with("content-type", "application/xml");
    }
    serve(world, request)
}

/// Answers with the bytes that a link names, whoever asks.
pub(super) fn serve(world: &World, request: &Request) -> Answer {
    match find(world, request) {
        Some(content) => Answer::file(request, content, &format!("\"{}\"", &content.sha256()[32..])),
        None => Answer::text(Part::Bytes, 404, "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>"),
    }
}

fn find<'a>(world: &'a World, request: &Request) -> Option<&'a Content> {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let found = match segments.as_slice() {
        ["hf", owner, name, commit, path @ ..] => world.file(&format!("{owner}/{name}"), commit, &path.join("/")).map(|file| &file.content),
        [owner, name, "resolve", revision, path @ ..] => {
            world.file(&format!("{owner}/{name}"), revision, &path.join("/")).map(|file| &file.content)
        }
        ["ollama", "sha256", digest, "data"] => world.blob(digest),
        ["v2", _, _, "blobs", digest] => world.blob(digest.trim_start_matches("sha256:")),
        _ => None,
    };
    found.or_else(|| world.bait().map(|file| &file.content))
}
