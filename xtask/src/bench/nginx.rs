//! nginx as a proxy in front of one engine: what we are compared with.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::process;
use crate::shell::{TaskResult, answers};

const INSTALL: &str = "nginx is not there: `apt-get install nginx-light` (its service need not run)";
const DEADLINE: Duration = Duration::from_secs(10);

/// A running nginx with one worker. It ends with this value.
pub(crate) struct Nginx {
    master: Child,
    pub(crate) address: String,
    pub(crate) worker: u32,
}

impl Nginx {
    /// Starts it in front of the engine at this address. It keeps its files in `folder`.
    pub(crate) fn start(folder: &Path, engine: &str) -> TaskResult<Self> {
        let program = ["/usr/sbin/nginx", "nginx"].map(PathBuf::from).into_iter().find(|program| answers(Command::new(program).arg("-v")));
        let program = program.ok_or(INSTALL)?;
        let address = free_address()?;
        fs::create_dir_all(folder).map_err(|error| format!("could not make `{}`: {error}", folder.display()))?;
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(folder, &address, engine))
            .map_err(|error| format!("could not write `{}`: {error}", file.display()))?;
        let mut command = Command::new(program);
        command.arg("-p").arg(folder).arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let master = command.spawn().map_err(|error| format!("could not start nginx: {error}"))?;
        let mut nginx = Self { master, address, worker: 0 };
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            if TcpStream::connect(&nginx.address).is_ok()
                && let [worker] = process::children(nginx.master.id()).as_slice()
            {
                nginx.worker = *worker;
                return Ok(nginx);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let log = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
        Err(format!("nginx does not listen; its log: {log}"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM, so that the worker ends too: a killed master would leave it behind.
        let _ = Command::new("kill").arg(self.master.id().to_string()).status();
        let _ = self.master.wait();
    }
}

/// Returns an address that nobody listens on just now.
pub(crate) fn free_address() -> TaskResult<String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.to_string()).map_err(|error| format!("there is no free port: {error}"))
}

/// What a careful person would set for this task: kept connections to the engine, no buffering of answers, an access
/// log that does not write for each request.
fn configuration(folder: &Path, address: &str, engine: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log {folder}/access.log combined buffer=64k flush=1s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 60s;
    tcp_nodelay on;
    client_max_body_size 32m;
    upstream engine {{
        server {engine};
        keepalive 512;
        keepalive_requests 100000000;
    }}
    server {{
        listen {address} backlog=4096;
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_read_timeout 600s;
        }}
    }}
}}
"
    )
}
