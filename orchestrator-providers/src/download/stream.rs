//! A file that comes as one stream, because its source does not understand ranges. It begins anew each time.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use orchestrator_core::model::Sha256Digest;
use orchestrator_core::operation::FilePhase;

use super::answer::Content;
use super::blocks::{BLOCK_BYTES, block_count};
use super::disk::Block;
use super::error::DownloadError;
use super::fetch::{Job, Trouble};
use super::hasher::{Digests, HasherEvent};
use super::lane::{Body, RangeFailure, hand_over};
use super::patience::{self, Patience};
use super::reaction::{Failure, Reaction, reaction};
use super::request::shown;
use super::source::Answer;

/// How often a stream is begun.
const MOST_STREAMS: u32 = 5;

/// Fetches a file as one stream. `first` is an answer that is there already.
pub(super) async fn fetch(
    job: &Job<'_>,
    first: Option<Answer>,
    mut patience: Patience,
    lock: &Arc<File>,
) -> Result<(u64, Sha256Digest), Trouble> {
    let mut ready = first;
    let mut streams = 0;
    loop {
        let begun = Instant::now();
        let answer = match ready.take() {
            Some(answer) => answer,
            None => job.contact(&mut patience, None).await?,
        };
        let failure = match one_stream(job, answer, lock).await {
            Ok(fetched) => return Ok(fetched),
            Err(Ended::For(trouble)) => return Err(trouble),
            Err(Ended::Early(failure)) => failure,
        };
        streams += 1;
        let retry = matches!(reaction(&failure), Reaction::Retry { .. });
        let pause = patience.failed(begun, Instant::now(), None, patience::chance());
        let Some(pause) = pause.filter(|_| retry && streams < MOST_STREAMS) else { return Err(failure.error.into()) };
        tracing::info!(file = %job.file.name, error = %failure.error, "the stream ended early and begins anew");
        wait(job, pause).await?;
    }
}

async fn wait(job: &Job<'_>, pause: Duration) -> Result<(), DownloadError> {
    tokio::select! {
        () = job.cancel.cancelled() => Err(DownloadError::Cancelled),
        () = tokio::time::sleep(pause) => Ok(()),
    }
}

/// How a stream ended that did not bring the file.
enum Ended {
    /// It is of no use to try again.
    For(Trouble),
    /// The next one may be better.
    Early(Failure),
}

impl<E: Into<Trouble>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::For(error.into())
    }
}

async fn one_stream(job: &Job<'_>, answer: Answer, lock: &Arc<File>) -> Result<(u64, Sha256Digest), Ended> {
    let url = answer.opened.url.clone();
    let Content::Whole { total } = answer.content else {
        let (asked, answer) = ("the whole file".to_owned(), "a part".to_owned());
        return Err(DownloadError::RangeMismatch { url: shown(&url), asked, answer }.into());
    };
    if let Some(total) = total {
        job.check_length(&answer, total)?;
    }
    let length = job.file.size_bytes.or(total);
    let paths = job.paths.clone();
    let part = tokio::task::spawn_blocking(move || paths.begin_stream(length)).await;
    let part = part.map_err(|error| job.unreadable(std::io::Error::other(error)))??;
    let (mut store, disk) = job.start_store(part, Vec::new(), length, lock)?;
    job.observer.phase(FilePhase::Fetching);
    let away = !answer.opened.at_home;
    let mut body = Body::new(answer.opened.response, url, job.settings);
    let brought = async {
        let came = bring(job, &mut body, length, total == Some(0), &disk).await.map_err(|ended| ended.into_ended(away));
        drop(disk);
        came
    };
    let brought = tokio::select! {
        () = job.cancel.cancelled() => Err(DownloadError::Cancelled.into()),
        brought = brought => brought,
    };
    let count = match brought {
        Ok(count) => count,
        Err(ended) => {
            // The disk knows better what happened to it.
            let file = store.finish().await;
            job.discard().await?;
            file?;
            return Err(ended);
        }
    };
    store.set_end(block_count(count));
    job.observer.phase(FilePhase::Verifying);
    let digests = loop {
        let event = tokio::select! {
            () = job.cancel.cancelled() => return Err(DownloadError::Cancelled.into()),
            event = store.next() => event?,
        };
        if let HasherEvent::Finished(digests) = event {
            break digests.map_err(|source| job.unreadable(source))?;
        }
    };
    finish(job, store, digests, count).await.map_err(Ended::For)
}

async fn finish(job: &Job<'_>, store: super::store::Store, digests: Digests, count: u64) -> Result<(u64, Sha256Digest), Trouble> {
    let file = store.finish().await?;
    job.publish(file, digests, false).await.map(|sha256| (count, sha256))
}

/// Why a body did not come.
enum BodyFailure {
    Source(DownloadError),
    /// It does not help to ask again.
    Wrong(DownloadError),
    Disk,
}

impl BodyFailure {
    fn into_ended(self, away: bool) -> Ended {
        match self {
            Self::Source(error) => Ended::Early(Failure { error, away }),
            Self::Wrong(error) => Ended::For(Trouble::Final(error)),
            Self::Disk => Ended::For(Trouble::Final(DownloadError::Cancelled)),
        }
    }
}

/// Reads a body to its end, and returns its length.
async fn bring(
    job: &Job<'_>,
    body: &mut Body<'_>,
    length: Option<u64>,
    empty: bool,
    disk: &tokio::sync::mpsc::Sender<Block>,
) -> Result<u64, BodyFailure> {
    let block_bytes = usize::try_from(BLOCK_BYTES).unwrap_or_default();
    let mut count = 0;
    let mut block: Vec<u8> = Vec::new();
    let mut index = 0;
    while let Some(chunk) = if empty { None } else { body.next().await.map_err(BodyFailure::Source)? } {
        count += chunk.len() as u64;
        job.fetched.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        if let Some(expected) = length.filter(|length| count > *length) {
            return Err(BodyFailure::Wrong(DownloadError::LengthMismatch { url: shown(body.url()), expected, found: count }));
        }
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let (taken, left) = rest.split_at(rest.len().min(block_bytes - block.len()));
            block.extend_from_slice(taken);
            rest = left;
            if block.len() == block_bytes {
                send(disk, &mut index, &mut block, body).await?;
            }
        }
        job.observer.present(count);
    }
    if !block.is_empty() {
        send(disk, &mut index, &mut block, body).await?;
    }
    match length {
        Some(expected) if count < expected => Err(BodyFailure::Source(body.cut_off(count, expected))),
        _ => Ok(count),
    }
}

async fn send(
    disk: &tokio::sync::mpsc::Sender<Block>,
    index: &mut u64,
    block: &mut Vec<u8>,
    body: &mut Body<'_>,
) -> Result<(), BodyFailure> {
    let data = std::mem::take(block);
    hand_over(disk, Block { index: *index, data }, body).await.map(drop).map_err(|failure| match failure {
        RangeFailure::Source(failure) => BodyFailure::Source(failure.error),
        RangeFailure::Disk => BodyFailure::Disk,
    })?;
    *index += 1;
    Ok(())
}
