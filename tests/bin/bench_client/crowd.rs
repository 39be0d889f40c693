//! Many connections in one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};

/// Connections with what is known of each, by their number.
pub(crate) struct Crowd {
    epoll: OwnedFd,
    pub(crate) streams: Vec<TcpStream>,
    events: Vec<Event>,
}

impl Crowd {
    pub(crate) fn connect(address: &str, count: usize) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let streams: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
        for (number, stream) in (0..).zip(&streams) {
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            epoll::add(&epoll, stream, EventData::new_u64(number), EventFlags::IN).unwrap();
        }
        Self { epoll, streams, events: Vec::with_capacity(1_024) }
    }

    /// Writes a request; it is short, and the connection has room for it.
    pub(crate) fn send(&mut self, number: usize, request: &[u8]) {
        self.streams[number].write_all(request).unwrap();
    }

    /// Hands out what comes until `end`.
    pub(crate) fn read_until(&mut self, end: Instant, mut came: impl FnMut(&mut TcpStream, usize, &[u8])) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.wait(left);
            for event in &self.events {
                let number = usize::try_from(event.data.u64()).unwrap();
                let stream = &mut self.streams[number];
                match stream.read(&mut buffer) {
                    Ok(0) => panic!("a connection was closed"),
                    Ok(count) => came(stream, number, &buffer[..count]),
                    Err(error) => assert!(error.kind() == ErrorKind::WouldBlock, "a connection broke: {error}"),
                }
            }
        }
    }

    fn wait(&mut self, longest: Duration) {
        self.events.clear();
        let timeout = Timespec { tv_sec: i64::try_from(longest.as_secs()).unwrap(), tv_nsec: longest.subsec_nanos().into() };
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout)).unwrap();
    }
}
