//! One file at its source: asks for parts of it, goes to its storage directly once that is known, and notices when it is
//! another file.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::answer::{self, ByteRange, Content};
use super::checkpoint::Identity;
use super::client::{HttpClient, Opened};
use super::error::DownloadError;
use super::reaction::Failure;
use super::request::{RemoteFile, RemoteRequest, shown};

/// Where the bytes are, found by following the redirects of the source.
#[derive(Debug)]
pub(super) struct Location {
    request: RemoteRequest,
    /// Whether it is at another origin than the source, and good for a while only.
    away: bool,
    etag: Option<String>,
}

/// What the file was at first. Every answer must be of the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) total: u64,
    /// The tag that the hub gave.
    hub_etag: Option<String>,
    /// The tag that its storage gave.
    etag: Option<String>,
    /// Whether the content is promised by a digest.
    promised: bool,
}

/// A first answer.
pub(super) struct Answer {
    pub(super) opened: Opened,
    pub(super) content: Content,
}

impl Location {
    pub(super) fn of(opened: &Opened, request: &RemoteRequest) -> Self {
        let authorization = request.authorization.clone().filter(|_| opened.at_home);
        let request = RemoteRequest { url: opened.url.clone(), authorization, accept: request.accept.clone() };
        Self { request, away: !opened.at_home, etag: answer::etag(opened.response.headers()) }
    }
}

impl Pinned {
    pub(super) fn of(file: &RemoteFile, answer: &Answer, total: u64) -> Self {
        let hub_etag = answer.opened.hub.etag.clone();
        Self { total, hub_etag, etag: answer::etag(answer.opened.response.headers()), promised: file.digest.is_some() }
    }

    /// What a file was at first whose content is promised, and that is here already.
    pub(super) fn from_checkpoint(identity: &Identity) -> Self {
        Self { total: identity.size_bytes, hub_etag: None, etag: None, promised: true }
    }

    /// The tag that stands for the file.
    pub(super) fn tag(&self) -> Option<String> {
        self.hub_etag.clone().or_else(|| self.etag.clone())
    }

    /// Compares an answer with what the file was at first. `location` is where we were sent before, where that was asked.
    fn check(&self, opened: &Opened, location: Option<&Location>, total: u64) -> Result<(), DownloadError> {
        let changed = |before: &str, now: &str| DownloadError::EtagChanged {
            url: shown(&opened.url),
            before: before.to_owned(),
            now: now.to_owned(),
        };
        if total != self.total {
            return Err(changed(&format!("{} bytes", self.total), &format!("{total} bytes")));
        }
        if let (None, Some(before)) = (location, &self.hub_etag) {
            // The hub was asked, and its word counts; its storage may have another tag at each of its places.
            return match &opened.hub.etag {
                Some(now) if now != before => Err(changed(before, now)),
                _ => Ok(()),
            };
        }
        let before = location.map_or(self.etag.as_ref(), |location| location.etag.as_ref());
        match (before, answer::etag(opened.response.headers())) {
            (Some(before), Some(now)) if *before != now => Err(changed(before, &now)),
            (Some(before), None) if !self.promised => Err(changed(before, "none")),
            _ => Ok(()),
        }
    }
}

/// Asks for a file for the first time: all of it, or a part.
pub(super) async fn ask(client: &HttpClient, request: &RemoteRequest, range: Option<ByteRange>) -> Result<Answer, Failure> {
    ask_at(client, request, range, false).await
}

async fn ask_at(client: &HttpClient, request: &RemoteRequest, range: Option<ByteRange>, away: bool) -> Result<Answer, Failure> {
    let opened = client.open(request, range).await.map_err(|error| Failure { error, away })?;
    let away = away || !opened.at_home;
    let status = opened.response.status();
    if !status.is_success() && status.as_u16() != 416 {
        return Err(Failure { error: client.refusal(opened).await, away });
    }
    match answer::content(&opened.url, range, status, opened.response.headers()) {
        Ok(content) => Ok(Answer { opened, content }),
        Err(error) => Err(Failure { error, away }),
    }
}

/// Asks for a part of a file that is known by now. Goes to `location` where there is one; else asks the source, and tells
/// where it led.
pub(super) async fn ask_again(
    client: &HttpClient,
    request: &RemoteRequest,
    pinned: &Pinned,
    range: ByteRange,
    location: Option<&Location>,
    located: &mpsc::UnboundedSender<Arc<Location>>,
) -> Result<Opened, Failure> {
    let away = location.is_some_and(|location| location.away);
    let asked = location.map_or(request, |location| &location.request);
    let Answer { opened, content } = ask_at(client, asked, Some(range), away).await?;
    let away = away || !opened.at_home;
    let failed = |error| Failure { error, away };
    let Content::Part { total, .. } = content else {
        let (asked, answer) = (range.to_string(), "the whole file".to_owned());
        return Err(failed(DownloadError::RangeMismatch { url: shown(&opened.url), asked, answer }));
    };
    pinned.check(&opened, location, total).map_err(failed)?;
    if location.is_none() {
        // Whoever wants to know may be gone.
        let _ = located.send(Arc::new(Location::of(&opened, request)));
    }
    Ok(opened)
}
