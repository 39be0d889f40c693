//! stub
use crate::launcher::OutputFiles;
use futures_util::Stream;
/// x
#[derive(Debug, Clone, Copy)]
pub enum LogStream {
    /// x
    Both,
}
/// x
#[derive(Debug)]
pub struct LogLine;
/// x
pub fn read_tail(_f: &OutputFiles, _s: LogStream, _n: usize) -> std::io::Result<Vec<LogLine>> {
    loop {}
}
/// x
pub fn follow(_f: OutputFiles, _s: LogStream, _n: usize) -> impl Stream<Item = LogLine> + Send {
    futures_util::stream::empty()
}
