//! [`Misbehaviour`]: the ways in which the fake hub is bad, and [`Rule`], which says to whom and when.

use serde::{Deserialize, Serialize};

/// What is asked for. A rule may be held to one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What a repository is and which files it has.
    Listing,
    /// A search, or a page of the catalogue.
    Search,
    /// The manifest of a model of the registry.
    Manifest,
    /// A token.
    Token,
    /// Where the bytes of a file are: an answer of the hub or the registry that leads to another host.
    Redirect,
    /// The head of a file alone, where its bytes are.
    Head,
    /// The bytes of a file.
    Bytes,
    /// Anything else.
    Other,
}

/// A way to be bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Misbehaviour {
    /// One bit is another one, at this place of the file.
    FlippedBit(u64),
    /// A part is asked for, and everything comes, with 200.
    IgnoredRange,
    /// The head says the right part, and the bytes are from this much further on.
    ShiftedBytes(i64),
    /// Another part comes than was asked for, and the head says so.
    OtherRange(i64),
    /// The head promises everything, and the connection is closed this many bytes before the end.
    ShortBody(u64),
    /// This many bytes more come than the head promises.
    LongBody(u64),
    /// The head promises this many bytes more (or fewer) than there are, and they do come.
    WrongLength(i64),
    /// The file has another `ETag` than before.
    OtherEtag(String),
    /// There is no `ETag`.
    NoEtag,
    /// The body is compressed, though nobody asked for it.
    Gzip,
    /// It is somewhere else: here.
    RedirectLoop,
    /// It is somewhere else, each time at another place.
    EndlessRedirects,
    /// It is somewhere else: there. A private address, a file, another scheme.
    RedirectTo(String),
    /// It is at a stranger's, who has the right file and collects tokens.
    RedirectToStranger,
    /// A token is needed, which is to be had from a stranger.
    ForeignRealm,
    /// The link to another host is too old.
    ExpiredLink,
    /// The body comes with this many bytes a second.
    Drip(u64),
    /// The head comes with this many bytes a second.
    DrippingHead(u64),
    /// The request is taken, and nothing happens.
    HangBeforeHead,
    /// After this many bytes of the body nothing happens.
    HangInBody(u64),
    /// The connection is closed without a word.
    CloseBeforeHead,
    /// The connection is reset after this many bytes of the body.
    ResetInBody(u64),
    /// This status, with this `Retry-After`.
    Status {
        /// The status.
        code: u16,
        /// What `Retry-After` says.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// A page to log in, with 200.
    LoginPage,
    /// 206 without `Content-Range`.
    NoContentRange,
    /// 206 with the part inside a `multipart/byteranges`.
    Multipart,
    /// `Content-Range` says this many bytes more (or fewer) for the whole.
    WrongTotal(i64),
    /// 200 without a body.
    Empty,
    /// The body is in chunks, and after this many bytes it is not.
    BadChunking(u64),
    /// The head has this many KiB.
    HugeHead(u32),
    /// What comes is no HTTP.
    Nonsense,
    /// `X-Linked-Size` is this much too large (or too small).
    WrongLinkedSize(i64),
    /// `X-Linked-Etag` is that of another file.
    WrongLinkedEtag,
    /// `X-Repo-Commit` is missing.
    NoCommit,
    /// The listing has a wrong digest for every file; the manifest for its first part.
    WrongListedDigest,
    /// The listing has a wrong size for every file (this much more or less); the manifest for its first part.
    WrongListedSize(i64),
    /// The listing has a size that is no size.
    AbsurdListedSize,
    /// The listing has one more file, with this name.
    HostileName(String),
    /// The manifest has this text for the digest of its first part.
    HostileDigest(String),
    /// The manifest and its parts have a media type nobody knows.
    WrongMediaType,
    /// The JSON ends in the middle.
    BrokenJson,
    /// The JSON never gets to the point, for this many MiB.
    HugeJson(u32),
    /// The JSON is this deep.
    DeepJson(u32),
}

/// Addresses that nobody outside has any business to send a client to.
pub const PRIVATE_PLACES: [&str; 10] = [
    "http://10.0.0.1/latest",
    "http://192.168.1.1/",
    "http://172.16.0.1:8080/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[::1]:22/",
    "http://0.0.0.0:22/",
    "http://[::ffff:169.254.169.254]/",
    "http://100.100.100.200/",
    "http://2852039166/latest/meta-data/",
];

/// Places that are no HTTP at all.
pub const OTHER_SCHEMES: [&str; 5] =
    ["file:///etc/passwd", "ftp://127.0.0.1/model.gguf", "data:text/plain,GGUF", "gopher://127.0.0.1:70/_GGUF", "javascript:1"];

/// A way to be bad, to whom, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The way.
    pub how: Misbehaviour,
    /// What the path of the request has in it, such as a file's name or a digest. Any, for none.
    #[serde(default)]
    pub path: String,
    /// What is asked for. Whatever makes sense for that way, for none.
    #[serde(default)]
    pub part: Option<Part>,
    /// How many such requests are answered well before.
    #[serde(default)]
    pub skip: u32,
    /// How many such requests are answered badly. All, for none.
    #[serde(default)]
    pub times: Option<u32>,
}

impl Rule {
    /// Makes a rule for every request that this way makes sense for.
    pub fn new(how: Misbehaviour) -> Self {
        Self { how, path: String::new(), part: None, skip: 0, times: None }
    }

    /// Holds it to paths with this text in them.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Holds it to requests for this.
    pub fn part(mut self, part: Part) -> Self {
        self.part = Some(part);
        self
    }

    /// Lets this many requests pass before.
    pub fn skip(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Ends it after this many requests.
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    pub(super) fn matches(&self, part: Part, path: &str) -> bool {
        let fits = self.part.map_or_else(|| self.how.makes_sense_for(part), |wanted| wanted == part);
        fits && path.contains(&self.path)
    }
}

impl Misbehaviour {
    /// Whether it changes anything about such an answer.
    fn makes_sense_for(&self, part: Part) -> bool {
        match self {
            Self::FlippedBit(_)
            | Self::IgnoredRange
            | Self::ShiftedBytes(_)
            | Self::OtherRange(_)
            | Self::ShortBody(_)
            | Self::LongBody(_)
            | Self::Gzip
            | Self::Drip(_)
            | Self::HangInBody(_)
            | Self::ResetInBody(_)
            | Self::NoContentRange
            | Self::Multipart
            | Self::WrongTotal(_)
            | Self::Empty
            | Self::ExpiredLink
            | Self::BadChunking(_) => part == Part::Bytes,
            Self::WrongLength(_) | Self::OtherEtag(_) | Self::NoEtag => matches!(part, Part::Bytes | Part::Head),
            Self::RedirectLoop | Self::EndlessRedirects | Self::RedirectTo(_) | Self::RedirectToStranger => part == Part::Redirect,
            Self::ForeignRealm => matches!(part, Part::Redirect | Part::Manifest),
            Self::WrongLinkedSize(_) | Self::WrongLinkedEtag | Self::NoCommit => matches!(part, Part::Redirect | Part::Head | Part::Bytes),
            Self::WrongListedDigest
            | Self::WrongListedSize(_)
            | Self::AbsurdListedSize
            | Self::HostileName(_)
            | Self::HostileDigest(_)
            | Self::WrongMediaType => matches!(part, Part::Listing | Part::Manifest),
            Self::BrokenJson | Self::HugeJson(_) | Self::DeepJson(_) => {
                matches!(part, Part::Listing | Part::Search | Part::Manifest | Part::Token)
            }
            Self::DrippingHead(_)
            | Self::HangBeforeHead
            | Self::CloseBeforeHead
            | Self::Status { .. }
            | Self::LoginPage
            | Self::HugeHead(_)
            | Self::Nonsense => true,
        }
    }
}
