//! A client connection of HTTP/1.1 that is driven by whoever uses it: no task of its own, so no hand-over between
//! threads for each chunk, and dropping the answer closes the connection at once.
//!
//! Owns one connection and the answer being read from it: bytes go from the socket's buffer to the reader without a
//! queue in between, and all the chunks that one read brought are one frame. Knows nothing of where it leads or of
//! pools. What an answer's head says stands in `head`, how chunks are taken apart in `chunked`.

mod chunked;
mod error;
mod head;

use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use chunked::Chunked;
pub(crate) use error::WireError;
pub(crate) use head::Framing;

/// The longest head of an answer that is taken.
const LONGEST_HEAD: usize = 16 * 1024;
/// What is set aside for reading, at first and once it was filled: most answers are short, or come in short pieces.
const SMALLEST_READ: usize = 4 * 1024;
/// Each stream may cost that much when its client does not read.
const LARGEST_READ: usize = 16 * 1024;

/// A connection, between requests or in one.
pub(crate) struct Attached<T> {
    stream: T,
    /// What came and was not taken yet.
    input: BytesMut,
    /// How much is set aside for the next read.
    read_size: usize,
    /// The head of a request.
    output: BytesMut,
    is_reusable: bool,
}

impl<T> Attached<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    /// Takes a connected stream into use.
    pub(crate) fn open(stream: T) -> Self {
        Self { stream, input: BytesMut::new(), read_size: SMALLEST_READ, output: BytesMut::new(), is_reusable: true }
    }

    /// Looks whether an idle connection is still open and takes another request. Returns at once.
    pub(crate) async fn is_usable(&mut self) -> bool {
        if !self.is_reusable || !self.input.is_empty() {
            return false;
        }
        // Whatever comes unasked, be it the end or bytes, belongs to no answer.
        poll_fn(|cx| Poll::Ready(self.poll_fill(cx).is_pending())).await
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// An answer that comes before the request was taken as a whole is an answer all the same; the connection is not
    /// used again then.
    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> Result<Response<Framing>, WireError> {
        let (parts, mut body) = request.into_parts();
        self.output.clear();
        head::write(&parts, body.len(), &mut self.output);
        poll_fn(|cx| self.poll_exchange(&mut body, cx)).await
    }

    fn poll_exchange(&mut self, body: &mut Bytes, cx: &mut Context<'_>) -> Poll<Result<Response<Framing>, WireError>> {
        let written = self.poll_write_all(body, cx);
        loop {
            if let Some(head) = head::take(&mut self.input)? {
                self.is_reusable = head.is_kept_open && matches!(written, Poll::Ready(Ok(())));
                return Poll::Ready(Ok(head.response));
            }
            if self.input.len() > LONGEST_HEAD {
                return Poll::Ready(Err(WireError::HeadTooLong));
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(WireError::Closed)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(WireError::Read(error))),
                Poll::Pending => {
                    // An engine that takes nothing any more might have said why; it has not.
                    let Poll::Ready(Err(error)) = written else { return Poll::Pending };
                    return Poll::Ready(Err(WireError::Write(error)));
                }
            }
        }
    }

    /// Writes the head and the body, in one piece where the system takes them.
    fn poll_write_all(&mut self, body: &mut Bytes, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while self.output.has_remaining() || body.has_remaining() {
            let pieces = [IoSlice::new(&self.output), IoSlice::new(body)];
            let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &pieces))?;
            if count == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            let of_head = count.min(self.output.len());
            self.output.advance(of_head);
            body.advance(count - of_head);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what there is; 0 at the end of the connection.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        if self.input.capacity() - self.input.len() < self.read_size / 2 {
            self.input.reserve(self.read_size);
        }
        let room = self.input.capacity() - self.input.len();
        let count = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))?;
        if count == room {
            self.read_size = (self.read_size * 2).min(LARGEST_READ);
        }
        Poll::Ready(Ok(count))
    }
}

/// The body of an answer together with the connection it comes over.
pub(crate) struct AttachedBody<T> {
    connection: Attached<T>,
    progress: Progress,
}

/// What is missing of a body.
enum Progress {
    Length(u64),
    Chunked(Chunked),
    /// All that comes before the connection is closed.
    UntilClose,
    Ended,
}

impl<T> AttachedBody<T> {
    /// Keeps the connection alive for as long as the body is read.
    pub(crate) fn new(connection: Attached<T>, framing: Framing) -> Self {
        let progress = match framing {
            Framing::Length(0) => Progress::Ended,
            Framing::Length(length) => Progress::Length(length),
            Framing::Chunked => Progress::Chunked(Chunked::default()),
            Framing::UntilClose => Progress::UntilClose,
        };
        Self { connection, progress }
    }

    /// Gives the connection back, for another request.
    pub(crate) fn into_connection(mut self) -> Attached<T> {
        self.connection.is_reusable &= matches!(self.progress, Progress::Ended);
        self.connection
    }

    /// Takes what has come already.
    fn take_ready(&mut self) -> Result<Option<Bytes>, WireError> {
        let input = &mut self.connection.input;
        if input.is_empty() {
            return Ok(None);
        }
        let data = match &mut self.progress {
            Progress::Length(left) => {
                let count = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= count as u64;
                if *left == 0 {
                    self.progress = Progress::Ended;
                }
                input.split_to(count)
            }
            Progress::Chunked(chunked) => {
                let data = chunked.take(input)?;
                if chunked.is_ended() {
                    self.progress = Progress::Ended;
                }
                data
            }
            Progress::UntilClose => input.split(),
            Progress::Ended => return Ok(None),
        };
        Ok((!data.is_empty()).then(|| data.freeze()))
    }
}

impl<T> Body for AttachedBody<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    type Data = Bytes;
    type Error = WireError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        let this = self.get_mut();
        loop {
            match this.take_ready() {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            if matches!(this.progress, Progress::Ended) {
                return Poll::Ready(None);
            }
            match ready!(this.connection.poll_fill(cx)) {
                Ok(0) if matches!(this.progress, Progress::UntilClose) => {
                    this.connection.is_reusable = false;
                    this.progress = Progress::Ended;
                }
                Ok(0) => return Poll::Ready(Some(Err(WireError::CutOff))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(WireError::Read(error)))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.progress, Progress::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match self.progress {
            Progress::Length(left) => SizeHint::with_exact(left),
            Progress::Ended => SizeHint::with_exact(0),
            Progress::Chunked(_) | Progress::UntilClose => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests;
