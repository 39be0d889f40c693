//! Bodies that are too large, too slow, or come in pieces. Time is paused.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::convert::Infallible;

use futures_util::{StreamExt, stream};
use http::HeaderValue;
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;

type Piece = (u64, Bytes);

/// A body that gives each piece after so many milliseconds.
fn body_of(pieces: Vec<Piece>) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
    StreamBody::new(Box::pin(stream::iter(pieces).then(|(after, piece)| async move {
        tokio::time::sleep(Duration::from_millis(after)).await;
        Ok(Frame::data(piece))
    })))
}

fn zeros(size: usize) -> Bytes {
    Bytes::from(vec![b'0'; size])
}

#[tokio::test(start_paused = true)]
async fn pieces_are_put_together_and_a_single_one_is_not_copied() {
    let one = Bytes::from_static(b"{}");
    let read_one = read(&HeaderMap::new(), &mut body_of(vec![(0, one.clone())]), 10).await.unwrap();
    assert_eq!(read_one.as_ptr(), one.as_ptr());
    let pieces = vec![(0, Bytes::from_static(b"ab")), (5, Bytes::from_static(b"cd")), (5, Bytes::from_static(b"e"))];
    assert_eq!(read(&HeaderMap::new(), &mut body_of(pieces), 5).await.unwrap(), "abcde");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_says_it_is_too_large_is_not_read() {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("104857600"));
    let mut body = StreamBody::new(Box::pin(stream::poll_fn(|_| -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body was read");
    })));
    assert!(matches!(read(&headers, &mut body, 1024).await, Err(IntakeError::TooLarge { limit: 1024 })));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_hides_its_size_is_counted() {
    let pieces = (0..10).map(|_| (0, zeros(300))).collect();
    assert!(matches!(read(&HeaderMap::new(), &mut body_of(pieces), 1024).await, Err(IntakeError::TooLarge { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_drip_is_ended_after_one_window() {
    let started = Instant::now();
    let pieces = (0..100).map(|_| (1_000, zeros(1))).collect();
    let error = read(&HeaderMap::new(), &mut body_of(pieces), 1024).await.unwrap_err();
    assert!(matches!(error, IntakeError::TooSlow { .. }));
    assert_eq!(error.into_problem().status, 408);
    assert!(started.elapsed() <= WINDOW + Duration::from_millis(10), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_but_steady_body_is_read_to_its_end() {
    let pieces = (0..40).map(|_| (1_000, zeros(4 * 1024))).collect();
    assert_eq!(read(&HeaderMap::new(), &mut body_of(pieces), 1024 * 1024).await.unwrap().len(), 160 * 1024);
}
