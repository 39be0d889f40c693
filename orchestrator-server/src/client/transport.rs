//! Where the daemon is, and one connection to it for each call.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::uri::Authority;
use http::{Request, Response, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::ClientError;
use crate::attached::{Attached, AttachedBody};
use crate::socket_path;

/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(5);

/// A stream of bytes to the daemon.
pub(super) trait Link: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Link for T {}

/// The body of an answer; dropping it closes the connection.
pub(super) type AnswerBody = AttachedBody<Box<dyn Link>>;

/// Where the daemon is.
pub(super) enum Target {
    /// Behind a Unix socket.
    Unix { path: PathBuf },
    /// At an address.
    Http { authority: Authority, prefix: String, key: Option<HeaderValue> },
}

impl Target {
    pub(super) fn try_http(url: &str, api_key: Option<&str>) -> Result<Self, ClientError> {
        let refuse = |reason| ClientError::Address { url: url.chars().take(200).flat_map(char::escape_debug).collect(), reason };
        let uri: Uri = url.parse().map_err(|_| refuse("it cannot be read"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(refuse("TLS is not spoken here; reach the daemon through a tunnel, such as `ssh -L`")),
            _ => return Err(refuse("it does not begin with `http://`")),
        }
        if uri.query().is_some() {
            return Err(refuse("it has a query"));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let authority = uri.into_parts().authority.ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("it holds a user name; give the API key apart from the address"));
        }
        let key = match api_key {
            None => None,
            Some(key) => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", key.trim()))
                    .map_err(|_| refuse("the API key for it holds characters that no header can carry"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self::Http { authority, prefix, key })
    }

    /// Sends a request over a connection of its own and waits for the head of the answer.
    pub(super) async fn send(&self, mut request: Request<Bytes>) -> Result<Response<AnswerBody>, ClientError> {
        let link = match tokio::time::timeout(CONNECTING, self.connect()).await {
            Ok(Ok(link)) => link,
            Ok(Err(source)) => return Err(self.unreachable(source)),
            Err(_) => return Err(self.unreachable(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        };
        self.address(&mut request)?;
        let mut connection = Attached::open(link);
        let response = connection.send(request).await.map_err(|source| {
            if source.is_protocol() {
                let detail = super::error::chain(&source);
                ClientError::Protocol { target: self.to_string(), status: None, detail }
            } else {
                ClientError::WentAway { target: self.to_string(), source: Box::new(source) }
            }
        })?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, AttachedBody::new(connection, body)))
    }

    async fn connect(&self) -> std::io::Result<Box<dyn Link>> {
        match self {
            Self::Unix { path } => Ok(Box::new(connect_unix(path).await?)),
            Self::Http { authority, .. } => {
                let host = authority.host().trim_start_matches('[').trim_end_matches(']');
                let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }

    /// Completes the request for this target: host, key, and what the path begins with.
    fn address(&self, request: &mut Request<Bytes>) -> Result<(), ClientError> {
        let unwritable = |path: &str, source| ClientError::Request { path: path.to_owned(), source };
        match self {
            Self::Unix { .. } => {
                request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
            }
            Self::Http { authority, prefix, key } => {
                let host = HeaderValue::from_str(authority.as_str()).map_err(|source| unwritable(authority.as_str(), Box::new(source)))?;
                request.headers_mut().insert(HOST, host);
                if let Some(key) = key {
                    request.headers_mut().insert(AUTHORIZATION, key.clone());
                }
                if !prefix.is_empty() {
                    let path = format!("{prefix}{}", request.uri());
                    *request.uri_mut() = path.parse().map_err(|source: http::uri::InvalidUri| unwritable(&path, Box::new(source)))?;
                }
            }
        }
        Ok(())
    }

    fn unreachable(&self, source: impl std::error::Error + Send + Sync + 'static) -> ClientError {
        ClientError::Unreachable { target: self.to_string(), source: Box::new(source) }
    }
}

/// Connects to a Unix socket, however long its path is.
async fn connect_unix(path: &Path) -> std::io::Result<UnixStream> {
    let reachable = socket_path::reachable(path)?;
    UnixStream::connect(reachable.as_path()).await
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path } => path.display().fmt(f),
            Self::Http { authority, prefix, .. } => write!(f, "http://{authority}{prefix}"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_tuple("Target").field(&self.to_string()).finish()
    }
}
