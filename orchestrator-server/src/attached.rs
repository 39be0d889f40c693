//! A client connection that is driven by whoever uses it: no task of its own, so no hand-over between threads for
//! each chunk, and dropping the answer closes the connection at once.
//!
//! Owns one HTTP/1 connection and the answer being read from it. Knows nothing of where it leads or of pools.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a connection may buffer of what comes in: also the longest head that is taken. Each stream may cost that much
/// when its client does not read.
const LARGEST_BUFFER: usize = 16 * 1024;

/// A connection, between requests or in one.
pub(crate) struct Attached<T, B>
where
    T: AsyncRead + AsyncWrite + Unpin,
    B: Body + 'static,
{
    sender: SendRequest<B>,
    /// Boxed: the whole is moved from hand to hand for each request.
    driver: Box<Connection<TokioIo<T>, B>>,
    closed: bool,
}

impl<T, B> Attached<T, B>
where
    T: AsyncRead + AsyncWrite + Unpin,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Takes a connected stream into use.
    pub(crate) async fn open(stream: T) -> hyper::Result<Self> {
        let (sender, driver) = http1::Builder::new().max_buf_size(LARGEST_BUFFER).handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: Box::new(driver), closed: false })
    }

    /// Drives the connection; what it has to say about its end comes out of the request or the body.
    fn poll_driver(&mut self, cx: &mut Context<'_>) {
        if !self.closed && Pin::new(&mut *self.driver).poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// Looks whether an idle connection is still open and takes another request. Returns at once.
    pub(crate) async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            self.poll_driver(cx);
            Poll::Ready(!self.closed && self.sender.is_ready())
        })
        .await
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&mut self, request: Request<B>) -> hyper::Result<Response<Incoming>> {
        let answer = self.sender.send_request(request);
        let mut answer = std::pin::pin!(answer);
        poll_fn(|cx| {
            if !self.closed && Pin::new(&mut *self.driver).poll(cx).is_ready() {
                self.closed = true;
            }
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Reads on in the answer that `body` belongs to.
    pub(crate) fn poll_frame(&mut self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        // The body tells the connection that it wants more, the connection reads, the body has it.
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.poll_driver(cx);
        Pin::new(body).poll_frame(cx)
    }
}

/// The body of an answer together with the connection it comes over.
pub(crate) struct AttachedBody<T, B>
where
    T: AsyncRead + AsyncWrite + Unpin,
    B: Body + 'static,
{
    connection: Attached<T, B>,
    body: Incoming,
}

impl<T, B> AttachedBody<T, B>
where
    T: AsyncRead + AsyncWrite + Unpin,
    B: Body + 'static,
{
    /// Keeps the connection alive for as long as the body is read.
    pub(crate) fn new(connection: Attached<T, B>, body: Incoming) -> Self {
        Self { connection, body }
    }

    /// Gives the connection back, for another request.
    pub(crate) fn into_connection(self) -> Attached<T, B> {
        self.connection
    }
}

impl<T, B> Body for AttachedBody<T, B>
where
    T: AsyncRead + AsyncWrite + Unpin,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        this.connection.poll_frame(&mut this.body, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
