//! What each [`Misbehaviour`] does to a good answer.

mod gzip;
mod json;

use super::answer::{Answer, Before, Body, End};
use super::misbehaviour::{Misbehaviour, Part};
use super::request::Request;
use super::world::Origins;

/// Makes a bad answer of a good one; `turn` is the number of the request under its rule.
pub(super) fn spoil(how: &Misbehaviour, mut answer: Answer, request: &Request, origins: &Origins, turn: u32) -> Answer {
    match how {
        Misbehaviour::FlippedBit(place) => answer.delivery.flipped = Some(*place),
        Misbehaviour::IgnoredRange => return ignore_range(answer, request),
        Misbehaviour::ShiftedBytes(by) => shift(&mut answer, *by),
        Misbehaviour::OtherRange(by) => {
            shift(&mut answer, *by);
            tell_range(&mut answer, 0);
        }
        Misbehaviour::ShortBody(missing) => answer.delivery.end = End::ClosedAfter(answer.body.len().saturating_sub(*missing)),
        Misbehaviour::LongBody(more) => answer.delivery.extra = *more,
        Misbehaviour::WrongLength(by) => match &mut answer.body {
            Body::File { length, .. } => *length = length.saturating_add_signed(*by),
            Body::Json(_) | Body::Bytes(_) => answer.delivery.promised = Some(answer.body.len().saturating_add_signed(*by)),
        },
        Misbehaviour::OtherEtag(etag) => answer.set("etag", etag),
        Misbehaviour::NoEtag => answer.unset("etag"),
        Misbehaviour::Gzip => {
            answer.body = Body::Bytes(gzip::packed(&answer.body.all()));
            answer.set("content-encoding", "gzip");
        }
        Misbehaviour::RedirectLoop => return redirected(&answer, &request.raw_path),
        Misbehaviour::EndlessRedirects => return redirected(&answer, &format!("{}?again={turn}", request.raw_path)),
        Misbehaviour::RedirectTo(location) => return redirected(&answer, location),
        Misbehaviour::RedirectToStranger => {
            let path = answer.header("location").map_or_else(|| request.raw_path.clone(), path_of);
            return redirected(&answer, &format!("{}{path}", origins.stranger()));
        }
        Misbehaviour::ForeignRealm => {
            let realm =
                format!("Bearer realm=\"{}/token\",service=\"registry\",scope=\"repository:library/model:pull\"", origins.stranger());
            return Answer::text(answer.part, 401, "unauthorized").with("www-authenticate", &realm);
        }
        Misbehaviour::ExpiredLink => {
            let text = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
            return Answer::text(answer.part, 403, text).with("content-type", "application/xml");
        }
        Misbehaviour::Drip(rate) => answer.delivery.body_rate = Some(*rate),
        Misbehaviour::DrippingHead(rate) => answer.delivery.head_rate = Some(*rate),
        Misbehaviour::HangBeforeHead => answer.delivery.before = Before::Hang,
        Misbehaviour::HangInBody(after) => answer.delivery.end = End::HangsAfter(*after),
        Misbehaviour::CloseBeforeHead => answer.delivery.before = Before::Close,
        Misbehaviour::ResetInBody(after) => answer.delivery.end = End::ResetAfter(*after),
        Misbehaviour::Status { code, retry_after } => {
            let mut bad = Answer::text(answer.part, *code, "no");
            if let Some(time) = retry_after {
                bad.set("retry-after", time);
            }
            return bad;
        }
        Misbehaviour::LoginPage => {
            let text = "<!doctype html><html><title>Log in</title><form action=\"/login\">who are you?</form></html>";
            return Answer::html(answer.part, 200, text);
        }
        Misbehaviour::NoContentRange => answer.unset("content-range"),
        Misbehaviour::Multipart => pack_multipart(&mut answer),
        Misbehaviour::WrongTotal(by) => tell_range(&mut answer, *by),
        Misbehaviour::Empty => {
            answer.status = 200;
            answer.unset("content-range");
            answer.body = Body::Bytes(Vec::new());
        }
        Misbehaviour::BadChunking(after) => answer.delivery.end = End::BadChunksAfter(*after),
        Misbehaviour::HugeHead(kib) => {
            for number in 0..*kib {
                answer.set(&format!("x-padding-{number}"), &"x".repeat(1_000));
            }
        }
        Misbehaviour::Nonsense => answer.delivery.before = Before::Nonsense,
        Misbehaviour::WrongLinkedSize(by) => {
            let size: Option<u64> = answer.header("x-linked-size").and_then(|text| text.parse().ok());
            answer.set("x-linked-size", &size.unwrap_or_default().saturating_add_signed(*by).to_string());
        }
        Misbehaviour::WrongLinkedEtag => answer.set("x-linked-etag", &format!("\"{}\"", "0123456789abcdef".repeat(4))),
        Misbehaviour::NoCommit => answer.unset("x-repo-commit"),
        Misbehaviour::WrongListedDigest
        | Misbehaviour::WrongListedSize(_)
        | Misbehaviour::AbsurdListedSize
        | Misbehaviour::HostileName(_)
        | Misbehaviour::HostileDigest(_)
        | Misbehaviour::WrongMediaType => {
            if let Body::Json(value) = &mut answer.body {
                json::spoil_list(how, value);
            }
        }
        Misbehaviour::BrokenJson => {
            let mut bytes = answer.body.all();
            bytes.truncate(bytes.len() / 2);
            answer.body = Body::Bytes(bytes);
        }
        Misbehaviour::HugeJson(mib) => answer.body = Body::Bytes(json::huge(*mib)),
        Misbehaviour::DeepJson(depth) => answer.body = Body::Bytes(json::deep(*depth)),
    }
    answer
}

fn ignore_range(answer: Answer, request: &Request) -> Answer {
    let Body::File { content, .. } = &answer.body else { return answer };
    let etag = answer.header("etag").unwrap_or_default();
    let headers = request.headers.iter().filter(|(name, _)| name != "range").cloned().collect();
    Answer::file(&Request { headers, ..request.clone() }, content, etag)
}

fn shift(answer: &mut Answer, by: i64) {
    if let Body::File { offset, .. } = &mut answer.body {
        *offset = offset.saturating_add_signed(by);
    }
}

/// Writes `Content-Range` anew, with a total that is `more` than it should be.
fn tell_range(answer: &mut Answer, more: i64) {
    if let (206, Body::File { content, offset, length }) = (answer.status, &answer.body) {
        let total = content.size().saturating_add_signed(more);
        let text = format!("bytes {offset}-{}/{total}", offset + length - 1);
        answer.set("content-range", &text);
    }
}

fn pack_multipart(answer: &mut Answer) {
    let Some(range) = answer.header("content-range").map(str::to_owned) else { return };
    let mut bytes = format!("--edge\r\ncontent-type: application/octet-stream\r\ncontent-range: {range}\r\n\r\n").into_bytes();
    bytes.extend(answer.body.all());
    bytes.extend(b"\r\n--edge--\r\n");
    answer.body = Body::Bytes(bytes);
    answer.unset("content-range");
    answer.set("content-type", "multipart/byteranges; boundary=edge");
}

/// What the hub says about a file stays with the redirect.
fn redirected(answer: &Answer, location: &str) -> Answer {
    let mut bad = Answer::redirect(302, location);
    bad.part = if answer.part == Part::Other { Part::Redirect } else { answer.part };
    let kept = answer.headers.iter().filter(|(name, _)| name.starts_with("x-")).cloned();
    bad.headers.extend(kept);
    bad
}

fn path_of(location: &str) -> String {
    let rest = location.split_once("://").map_or(location, |(_, rest)| rest);
    rest.find('/').map_or_else(|| "/".to_owned(), |at| rest[at..].to_owned())
}
