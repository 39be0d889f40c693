//! Reads a file at its source as if it were here, to look at its header before anything is fetched.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::answer::{ByteRange, Content};
use super::client::HttpClient;
use super::error::DownloadError;
use super::reaction::{Failure, Reaction, reaction};
use super::request::{RemoteFile, shown};
use super::source::{self, Location, Pinned};

/// The shortest part that is asked for.
const FIRST_BYTES: u64 = 256 << 10;
/// The longest part that is asked for: whoever reads on and on gets more at once.
const MOST_BYTES: u64 = 4 << 20;
/// How many parts are kept.
const KEPT: usize = 8;
/// How often a part is asked for.
const TRIES: u32 = 3;

/// Reads a file at its source by asking for parts of it. Everything blocks: use it inside `spawn_blocking`. A source without
/// ranges cannot be read like this, and nobody can make us read more than a limit.
pub struct RemoteReader {
    client: HttpClient,
    file: RemoteFile,
    handle: Handle,
    /// How many bytes may still be asked for.
    left: u64,
    position: u64,
    known: Option<Known>,
    parts: VecDeque<(u64, Bytes)>,
    next_bytes: u64,
}

/// What is known since the first answer.
struct Known {
    pinned: Pinned,
    /// Where the file is; nothing, where the source has to be asked again.
    location: Option<Arc<Location>>,
}

impl fmt::Debug for RemoteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteReader").field("file", &self.file).field("position", &self.position).finish_non_exhaustive()
    }
}

impl RemoteReader {
    pub(super) fn new(client: HttpClient, file: &RemoteFile, handle: Handle, limit: u64) -> Self {
        let parts = VecDeque::new();
        Self { client, file: file.clone(), handle, left: limit, position: 0, known: None, parts, next_bytes: FIRST_BYTES }
    }

    /// Returns the length of the file in bytes. Asks the source, where nothing was read yet.
    ///
    /// # Errors
    /// Fails when the source cannot be asked.
    pub fn size_bytes(&mut self) -> io::Result<u64> {
        if self.known.is_none() {
            self.load(0)?;
        }
        Ok(self.known.as_ref().map_or(0, |known| known.pinned.total))
    }

    /// Returns the kept part that holds a place.
    fn kept(&self, place: u64) -> Option<&(u64, Bytes)> {
        self.parts.iter().find(|(start, bytes)| *start <= place && place < start + bytes.len() as u64)
    }

    /// Fetches the part that begins at a place.
    fn load(&mut self, place: u64) -> io::Result<()> {
        let follows = self.parts.back().is_some_and(|(start, bytes)| start + bytes.len() as u64 == place);
        self.next_bytes = if follows { (self.next_bytes * 2).min(MOST_BYTES) } else { FIRST_BYTES };
        let total = self.known.as_ref().map_or(u64::MAX, |known| known.pinned.total);
        let end = place.saturating_add(self.next_bytes.min(self.left)).min(total);
        if end <= place {
            let error = DownloadError::TooLarge { url: shown(&self.file.request.url), limit: place };
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
        }
        let range = ByteRange { start: place, end };
        let bytes = self.ask_with_patience(range).map_err(io::Error::other)?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.parts.push_back((place, bytes));
        if self.parts.len() > KEPT {
            self.parts.pop_front();
        }
        Ok(())
    }

    fn ask_with_patience(&mut self, range: ByteRange) -> Result<Bytes, DownloadError> {
        let mut tries = 1;
        loop {
            let handle = self.handle.clone();
            let failure = match handle.block_on(self.ask(range)) {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => failure,
            };
            if tries >= TRIES || !matches!(reaction(&failure), Reaction::Retry { .. }) {
                return Err(failure.error);
            }
            tries += 1;
            // The address may be too old; the next try asks the source again. What the file is stays pinned.
            if let Some(known) = &mut self.known {
                known.location = None;
            }
        }
    }

    async fn ask(&mut self, range: ByteRange) -> Result<Bytes, Failure> {
        let opened = if let Some(known) = &mut self.known {
            let (tell, mut located) = mpsc::unbounded_channel();
            let location = known.location.as_deref();
            let opened = source::ask_again(&self.client, &self.file.request, &known.pinned, range, location, &tell).await?;
            known.location = located.try_recv().ok().or(known.location.take());
            opened
        } else {
            let answer = source::ask(&self.client, &self.file.request, Some(range)).await?;
            let url = answer.opened.url.clone();
            let failed = |error| Failure { error, away: !answer.opened.at_home };
            let total = match answer.content {
                Content::Part { total, .. } => total,
                Content::Whole { total: Some(0) } => 0,
                Content::Whole { .. } => {
                    let (asked, answer) = (range.to_string(), "the whole file".to_owned());
                    return Err(failed(DownloadError::RangeMismatch { url: shown(&url), asked, answer }));
                }
            };
            if let Some(expected) = self.file.size_bytes.filter(|expected| *expected != total) {
                return Err(failed(DownloadError::LengthMismatch { url: shown(&url), expected, found: total }));
            }
            let pinned = Pinned::of(&self.file, &answer, total);
            self.known = Some(Known { pinned, location: Some(Arc::new(Location::of(&answer.opened, &self.file.request))) });
            if total == 0 {
                return Ok(Bytes::new());
            }
            answer.opened
        };
        let (url, away) = (opened.url, !opened.at_home);
        let total = self.known.as_ref().map_or(u64::MAX, |known| known.pinned.total);
        let wanted = range.end.min(total) - range.start;
        let limit = usize::try_from(wanted).unwrap_or(usize::MAX);
        let failed = |error| Failure { error, away };
        let bytes = self.client.read_small(opened.response, &url, limit).await.map_err(failed)?;
        if (bytes.len() as u64) < wanted {
            let reason = format!("it ended after {} of {wanted} bytes", bytes.len());
            return Err(failed(DownloadError::Interrupted { url: shown(&url), reason }));
        }
        Ok(bytes)
    }
}

impl Read for RemoteReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.known.as_ref().is_some_and(|known| self.position >= known.pinned.total) {
            return Ok(0);
        }
        if self.kept(self.position).is_none() {
            self.load(self.position)?;
        }
        let Some((start, bytes)) = self.kept(self.position) else { return Ok(0) };
        let from = usize::try_from(self.position - start).map_err(io::Error::other)?;
        let rest = &bytes[from..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for RemoteReader {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match target {
            SeekFrom::Start(place) => (place, 0),
            SeekFrom::Current(offset) => (self.position, offset),
            SeekFrom::End(offset) => (self.size_bytes()?, offset),
        };
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "the place is before the start of the file");
        self.position = base.checked_add_signed(offset).ok_or_else(outside)?;
        Ok(self.position)
    }
}
