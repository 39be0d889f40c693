//! The ways to lie, for how long, and what becomes of a pull.

use super::super::pulls::Shop;
use super::super::random::Random;
use super::SIZE;
use crate::hub::{Misbehaviour, OTHER_SCHEMES, PRIVATE_PLACES, Part};

/// What must become of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The file is there.
    Mended,
    /// An error says why there is none.
    Refused,
    /// One of the two.
    Either,
}

/// A way to lie.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) name: &'static str,
    /// Who lies. Anybody, for none.
    pub(super) shop: Option<Shop>,
    pub(super) part: Part,
    pub(super) how: fn(&mut Random, Option<String>) -> Misbehaviour,
    /// Whether only the large file is lied about.
    pub(super) large_only: bool,
    /// How many such requests are answered well before.
    pub(super) skip: u32,
    /// How often it lies. Always, for none.
    pub(super) times: Option<u32>,
    pub(super) expected: Expected,
    /// Whether its end has to be waited for.
    pub(super) is_slow: bool,
}

use Expected::{Either, Mended, Refused};
use Misbehaviour as M;
use Part::{Bytes, Listing, Manifest, Redirect};

/// A lie that is always told.
const fn always(name: &'static str, part: Part, how: fn(&mut Random, Option<String>) -> M, expected: Expected) -> Way {
    Way { name, shop: None, part, how, large_only: false, skip: 0, times: None, expected, is_slow: false }
}

/// A lie that is told some times.
const fn some_times(name: &'static str, part: Part, times: u32, how: fn(&mut Random, Option<String>) -> M) -> Way {
    Way { times: Some(times), ..always(name, part, how, Mended) }
}

const fn at(shop: Shop, way: Way) -> Way {
    Way { shop: Some(shop), ..way }
}

const fn slow(way: Way) -> Way {
    Way { is_slow: true, ..way }
}

/// A lie that makes sense at the host of large files alone.
const fn of_large(way: Way) -> Way {
    Way { large_only: true, ..way }
}

const fn may_fail(way: Way) -> Way {
    Way { expected: Either, ..way }
}

const HF: Shop = Shop::HuggingFace;
const OLLAMA: Shop = Shop::Ollama;

/// A place in a file.
fn place(random: &mut Random) -> u64 {
    random.below(SIZE)
}

fn status(code: u16, retry_after: Option<&str>) -> M {
    M::Status { code, retry_after: retry_after.map(str::to_owned) }
}

fn private_place(random: &mut Random, neighbour: Option<String>) -> M {
    let anywhere = (*random.pick(&PRIVATE_PLACES)).to_owned();
    M::RedirectTo(neighbour.filter(|_| random.below(2) == 0).unwrap_or(anywhere))
}

/// All ways.
pub(super) static WAYS: [Way; 64] = [
    always("a flipped bit", Bytes, |random, _| M::FlippedBit(place(random)), Refused),
    may_fail(some_times("a flipped bit, once", Bytes, 1, |random, _| M::FlippedBit(place(random)))),
    always("shifted bytes", Bytes, |random, _| M::ShiftedBytes(1 + random.below(100).cast_signed()), Refused),
    always("bytes from before", Bytes, |random, _| M::ShiftedBytes(-1 - random.below(100).cast_signed()), Either),
    always("ranges are ignored", Bytes, |_, _| M::IgnoredRange, Mended),
    always("another range", Bytes, |random, _| M::OtherRange(1 + random.below(100).cast_signed()), Refused),
    some_times("another range, once", Bytes, 1, |random, _| M::OtherRange(1 + random.below(100).cast_signed())),
    some_times("a short body, thrice", Bytes, 3, |random, _| M::ShortBody(1 + random.below(100_000))),
    some_times("no body at all, once", Bytes, 1, |_, _| M::ShortBody(u64::MAX)),
    always("a long body", Bytes, |random, _| M::LongBody(1 + random.below(1_000)), Either),
    always("a length that is too large", Bytes, |random, _| M::WrongLength(1 + random.below(1_000).cast_signed()), Refused),
    always("a length that is too small", Bytes, |random, _| M::WrongLength(-1 - random.below(1_000).cast_signed()), Refused),
    may_fail(Way { skip: 2, ..always("another ETag in the middle", Bytes, |_, _| M::OtherEtag("\"other\"".to_owned()), Mended) }),
    always("no ETag", Bytes, |_, _| M::NoEtag, Mended),
    always("compressed", Bytes, |_, _| M::Gzip, Refused),
    may_fail(some_times("compressed, once", Bytes, 1, |_, _| M::Gzip)),
    always("a redirect to itself", Redirect, |_, _| M::RedirectLoop, Refused),
    always("redirects without end", Redirect, |_, _| M::EndlessRedirects, Refused),
    always("a redirect to a private place", Redirect, private_place, Refused),
    always("a redirect to a private place from the other host", Bytes, private_place, Refused),
    always("a redirect to another scheme", Redirect, |random, _| M::RedirectTo((*random.pick(&OTHER_SCHEMES)).to_owned()), Refused),
    always("a redirect to nothing", Redirect, |_, _| M::RedirectTo("http://".to_owned()), Refused),
    always("a redirect to a stranger", Redirect, |_, _| M::RedirectToStranger, Mended),
    always("a redirect to a stranger from the other host", Bytes, |_, _| M::RedirectToStranger, Mended),
    at(OLLAMA, always("a stranger's realm for the manifest", Manifest, |_, _| M::ForeignRealm, Either)),
    at(OLLAMA, always("a stranger's realm for the file", Redirect, |_, _| M::ForeignRealm, Either)),
    of_large(some_times("a link that is too old", Bytes, 1, |_, _| M::ExpiredLink)),
    slow(some_times("a drip", Bytes, 1, |_, _| M::Drip(1))),
    slow(some_times("a dripping head", Bytes, 1, |_, _| M::DrippingHead(1))),
    slow(some_times("a hang before the head", Bytes, 1, |_, _| M::HangBeforeHead)),
    slow(some_times("a hang in the body", Bytes, 1, |random, _| M::HangInBody(random.below(100_000)))),
    slow(may_fail(some_times("a hang of the hub", Redirect, 1, |_, _| M::HangBeforeHead))),
    slow(always("it always hangs", Bytes, |_, _| M::HangBeforeHead, Refused)),
    slow(always("it always drips", Bytes, |_, _| M::Drip(100), Refused)),
    some_times("closed before the head, twice", Bytes, 2, |_, _| M::CloseBeforeHead),
    some_times("reset in the body, thrice", Bytes, 3, |random, _| M::ResetInBody(random.below(100_000))),
    some_times("500, twice", Bytes, 2, |_, _| status(500, None)),
    some_times("502, twice", Redirect, 2, |_, _| status(502, None)),
    some_times("503 with a time, twice", Bytes, 2, |_, _| status(503, Some("1"))),
    some_times("429 with a time, once", Bytes, 1, |_, _| status(429, Some("1"))),
    slow(always("429 with an absurd time", Bytes, |_, _| status(429, Some("999999999")), Refused)),
    slow(always("always 500", Bytes, |_, _| status(500, None), Refused)),
    always("404", Bytes, |_, _| status(404, None), Refused),
    always("a page to log in", Bytes, |_, _| M::LoginPage, Refused),
    always("a page to log in, from the hub", Redirect, |_, _| M::LoginPage, Refused),
    always("no Content-Range", Bytes, |_, _| M::NoContentRange, Either),
    always("several parts in one", Bytes, |_, _| M::Multipart, Refused),
    always("a wrong total", Bytes, |random, _| M::WrongTotal(1 + random.below(1_000).cast_signed()), Refused),
    always("an empty body", Bytes, |_, _| M::Empty, Refused),
    slow(always("bad chunks", Bytes, |random, _| M::BadChunking(random.below(10_000)), Either)),
    slow(always("a huge head", Bytes, |_, _| M::HugeHead(2_000), Refused)),
    slow(always("no HTTP", Bytes, |_, _| M::Nonsense, Refused)),
    at(HF, always("a wrong X-Linked-Size", Redirect, |random, _| M::WrongLinkedSize(1 + random.below(100).cast_signed()), Either)),
    at(HF, always("a wrong X-Linked-Etag", Redirect, |_, _| M::WrongLinkedEtag, Either)),
    at(HF, always("no commit", Redirect, |_, _| M::NoCommit, Either)),
    at(HF, always("a listing with wrong digests", Listing, |_, _| M::WrongListedDigest, Refused)),
    at(HF, always("a listing with wrong sizes", Listing, |_, _| M::WrongListedSize(7), Refused)),
    at(HF, always("a listing with absurd sizes", Listing, |_, _| M::AbsurdListedSize, Refused)),
    at(HF, always("a listing that is broken", Listing, |_, _| M::BrokenJson, Refused)),
    at(HF, always("a listing that is huge", Listing, |_, _| M::HugeJson(256), Refused)),
    at(OLLAMA, always("a manifest with a wrong digest", Manifest, |_, _| M::WrongListedDigest, Refused)),
    at(OLLAMA, always("a manifest with a wrong size", Manifest, |_, _| M::WrongListedSize(7), Refused)),
    at(OLLAMA, always("a manifest of an unknown kind", Manifest, |_, _| M::WrongMediaType, Refused)),
    at(OLLAMA, always("a manifest that is deep", Manifest, |_, _| M::DeepJson(200_000), Refused)),
];
