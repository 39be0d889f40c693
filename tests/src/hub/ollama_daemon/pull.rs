//! A pull: lines of JSON while it goes on, and a blob after the other in the folder.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::super::answer::Answer;
use super::super::content::index;
use super::super::pace::{Pace, piece};
use super::store::{contents, is_named};
use super::{Shared, Trouble, error, locked, wanted, write_line};

impl Shared {
    /// Pulls a model and tells how far it is. Returns an answer where there is one without a stream, and `None` when the connection
    /// is not to be used any more.
    pub(super) fn pull(&self, stream: &TcpStream, body: &Value, trouble: Option<&Trouble>, pace: &Pace) -> std::io::Result<Option<Answer>> {
        let Some(name) = wanted(body) else { return Ok(Some(error(400, "invalid model name"))) };
        let found = locked(&self.remote).iter().find(|model| is_named(model, name)).cloned();
        if body["stream"] == false {
            let Some(model) = found else { return Ok(Some(error(500, "pull model manifest: file does not exist"))) };
            self.store.add(&model);
            return Ok(Some(Answer::json(super::Part::Other, 200, json!({ "status": "success" }))));
        }
        let mut writer = stream;
        writer.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        )?;
        let end = |value: Value| -> std::io::Result<Option<Answer>> {
            write_line(stream, &value)?;
            let mut writer = stream;
            writer.write_all(b"0\r\n\r\n")?;
            Ok(None)
        };
        write_line(stream, &json!({ "status": "pulling manifest" }))?;
        let Some(model) = found else { return end(json!({ "error": "pull model manifest: file does not exist" })) };
        let mut pulled = 0;
        for content in contents(&model) {
            let digest = content.sha256();
            let (status, total) = (format!("pulling {}", &digest[..12]), content.size());
            let told =
                |completed: u64| json!({ "status": status, "digest": format!("sha256:{digest}"), "total": total, "completed": completed });
            let path = self.store.blob(content);
            if path.exists() {
                write_line(stream, &told(total))?;
                continue;
            }
            write_line(stream, &json!({ "status": status, "digest": format!("sha256:{digest}"), "total": total }))?;
            let partial = path.with_file_name(format!("sha256-{digest}-partial"));
            let mut file = File::create(&partial)?;
            let mut at = 0;
            while at < total {
                let rate = locked(&self.limits).total;
                let count = (total - at).min(piece(&[rate]) as u64);
                if let Some(rate) = rate {
                    pace.wait(index(count), rate);
                }
                file.write_all(&content.read(at..at + count))?;
                at += count;
                pulled += count;
                write_line(stream, &told(at))?;
                match trouble {
                    Some(Trouble::PullFails { after, message }) if pulled >= *after => return end(json!({ "error": message })),
                    Some(Trouble::PullBreaks { after }) if pulled >= *after => return Ok(None),
                    Some(Trouble::PullHangs { after }) if pulled >= *after => self.hang(stream)?,
                    Some(Trouble::PullMumbles) => return end(Value::String("what {".to_owned())),
                    _ => {}
                }
            }
            std::fs::rename(partial, path)?;
        }
        for status in ["verifying sha256 digest", "writing manifest"] {
            write_line(stream, &json!({ "status": status }))?;
        }
        self.store.add(&model);
        end(json!({ "status": "success" }))
    }

    fn hang(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(std::time::Duration::from_millis(20)))?;
        loop {
            match stream.peek(&mut [0]) {
                Ok(0) => return Err(ErrorKind::ConnectionAborted.into()),
                Ok(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
            if self.ending.load(Ordering::SeqCst) {
                return Err(ErrorKind::Interrupted.into());
            }
        }
    }
}
