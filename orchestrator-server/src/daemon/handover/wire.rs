//! What two daemons say to each other when the home changes hands, and how descriptors travel.
//!
//! ```text
//! successor                          owner
//!   POST /api/v1/handover ─────────►        on the Unix socket
//!          ◄───────────────────────── 101
//!   "ready\n" ─────────────────────►        stops accepting, detaches
//!          ◄───────────────────────── "take\n" + lock, Unix listener, TCP listener
//!   opens the home
//!   "serving\n" ───────────────────►        keeps its connections, gives up the rest
//! ```
//!
//! Descriptors are closed on exec from the first moment, in both processes: no server that is started meanwhile
//! inherits them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Where the successor asks.
pub(in crate::daemon) const PATH: &str = "/api/v1/handover";
/// What the connection is turned into; the number is the version of all this.
pub(in crate::daemon) const PROTOCOL: &str = "orchestrator-handover/1";
/// The successor has what it needs before it can begin.
pub(super) const READY: &[u8] = b"ready\n";
/// The home is the successor's to open.
pub(super) const TAKE: &[u8] = b"take\n";
/// The successor owns and serves the home.
pub(super) const SERVING: &[u8] = b"serving\n";
/// How many descriptors travel: the lock, the Unix listener, the TCP listener.
pub(super) const DESCRIPTORS: usize = 3;

/// Reads exactly this word.
pub(super) async fn expect(stream: &UnixStream, word: &[u8]) -> io::Result<()> {
    let mut read = Vec::with_capacity(word.len());
    let mut buffer = [0; 16];
    while read.len() < word.len() {
        stream.readable().await?;
        let wanted = (word.len() - read.len()).min(buffer.len());
        match stream.try_read(&mut buffer[..wanted]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    if read == word { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Says a word. It fits the buffer of the connection.
pub(super) async fn say(stream: &UnixStream, word: &[u8]) -> io::Result<()> {
    loop {
        stream.writable().await?;
        match stream.try_write(word) {
            Ok(count) if count == word.len() => return Ok(()),
            Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends the descriptors with the word that says what they are for.
pub(super) async fn send(stream: &UnixStream, descriptors: [BorrowedFd<'_>; DESCRIPTORS]) -> io::Result<()> {
    let sending = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(sendmsg(stream, &[IoSlice::new(TAKE)], &mut control, SendFlags::NOSIGNAL)?)
    };
    stream.async_io(Interest::WRITABLE, sending).await.map(drop)
}

/// Receives them; nothing when the other side ends without having sent any.
pub(super) async fn receive(stream: &UnixStream) -> io::Result<Option<[OwnedFd; DESCRIPTORS]>> {
    let mut word = [0; TAKE.len()];
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    let receiving = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut word)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sent) = message {
                descriptors.extend(sent);
            }
        }
        Ok(received.bytes)
    };
    match stream.async_io(Interest::READABLE, receiving).await {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        Err(error) => return Err(error),
    }
    if word != *TAKE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    descriptors.try_into().map(Some).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::io::{Read, Seek, Write};

    use super::*;

    #[tokio::test]
    async fn descriptors_arrive_as_what_they_were_and_are_not_inherited() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut files: Vec<_> = (0..DESCRIPTORS).map(|_| tempfile::tempfile().unwrap()).collect();
        say(&theirs, READY).await.unwrap();
        expect(&ours, READY).await.unwrap();
        send(&ours, [files[0].as_fd(), files[1].as_fd(), files[2].as_fd()]).await.unwrap();
        let received = receive(&theirs).await.unwrap().unwrap();
        for (number, (file, received)) in files.iter_mut().zip(received).enumerate() {
            assert!(rustix::io::fcntl_getfd(&received).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
            write!(std::fs::File::from(received), "{number}").unwrap();
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, number.to_string());
        }
        drop(ours);
        assert!(receive(&theirs).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn another_word_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        say(&theirs, b"serious\n").await.unwrap();
        let error = expect(&ours, SERVING).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        drop(theirs);
        assert_eq!(expect(&ours, READY).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
