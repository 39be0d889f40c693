//! stub
use crate::launcher::OutputFiles;
use futures_util::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
/// x
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// x
    Stdout,
    /// x
    Stderr,
    /// x
    #[default]
    Both,
}
/// x
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// x
    pub stream: LogStream,
    /// x
    pub text: String,
}
/// x
pub fn read_tail(_f: &OutputFiles, _s: LogStream, _n: usize) -> std::io::Result<Vec<LogLine>> {
    loop {}
}
/// x
pub fn follow(_f: OutputFiles, _s: LogStream, _n: usize) -> impl Stream<Item = LogLine> + Send {
    futures_util::stream::empty()
}
