//! The HTTP client of all providers: it follows redirects itself, goes only where an [`AddressPolicy`] lets it, says who we
//! are at one origin only, and waits for nothing without end.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};

use super::address::{AddressPolicy, AddressRefusal};
use super::answer::{self, ByteRange, HubHeaders};
use super::error::DownloadError;
use super::proxy::Proxied;
use super::redirect::{Itinerary, shown_target};
use super::request::{RemoteRequest, shown};
use super::resolver::FilteredResolver;
use super::settings::HttpSettings;

/// What we call ourselves.
const USER_AGENT: &str = concat!("orchestrator/", env!("CARGO_PKG_VERSION"));
/// How much of the body of a refusal is read.
const LONGEST_REFUSAL: usize = 4_096;
/// How often something small is asked for again when the connection broke or the source had a bad moment.
const RETRIES: u32 = 2;
/// The pause before the first of them.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Addresses that are never asked through a proxy.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1";

/// One hardened HTTP client for all requests of a provider. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    policy: Arc<AddressPolicy>,
    trust: Trust,
    header_timeout: Duration,
    small_timeout: Duration,
    most_redirects: usize,
}

/// Whom we believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The authorities that this machine knows.
    System,
    /// Nobody: this machine knows none, so only http works.
    Nobody,
}

/// A small answer, whatever its status.
#[derive(Clone)]
pub struct SmallAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Bytes,
    /// The address that gave it, after all redirects.
    pub url: Url,
}

impl fmt::Debug for SmallAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and the query of the address may hold secrets.
        let bytes = self.bytes.len();
        f.debug_struct("SmallAnswer")
            .field("status", &self.status)
            .field("url", &shown(&self.url))
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

impl SmallAnswer {
    /// Turns every status but a success into an error.
    pub fn successful(self) -> Result<Self, DownloadError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(answer::refusal(&self.url, self.status, &self.headers, &self.bytes))
    }
}

/// An answer whose body was not read yet.
pub(super) struct Opened {
    /// The answer, not a redirect.
    pub(super) response: Response,
    /// Where it came from.
    pub(super) url: Url,
    /// Whether all of the way was at the origin that was asked.
    pub(super) at_home: bool,
    /// What the hub says about the file.
    pub(super) hub: HubHeaders,
}

impl HttpClient {
    /// Makes a client.
    ///
    /// # Errors
    /// Fails when a proxy's address is none. A machine without certificates is no failure: http still works.
    pub fn try_new(settings: &HttpSettings) -> Result<Self, DownloadError> {
        let proxies = settings.proxies.urls().map_err(|reason| DownloadError::Client { reason })?;
        // A proxy's own name is resolved by us too, and most of them are in a private network.
        let policy = Arc::new(AddressPolicy::for_endpoints(&settings.endpoints).with_hosts(proxies.iter().map(|(_, url)| url)));
        let builder = || -> Result<reqwest::ClientBuilder, reqwest::Error> {
            let mut builder = reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .http1_only()
                .no_gzip()
                .no_brotli()
                .no_deflate()
                .no_zstd()
                .no_proxy()
                .connect_timeout(settings.connect_timeout)
                .tcp_keepalive(Duration::from_secs(15))
                .dns_resolver(Arc::new(FilteredResolver::new(Arc::clone(&policy))));
            for (proxied, url) in &proxies {
                let proxy = match proxied {
                    Proxied::Http => reqwest::Proxy::http(url.clone()),
                    Proxied::Https => reqwest::Proxy::https(url.clone()),
                    Proxied::Everything => reqwest::Proxy::all(url.clone()),
                }?;
                let direct = format!("{NEVER_PROXIED},{}", settings.proxies.no_proxy.as_deref().unwrap_or_default());
                builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(&direct)));
            }
            Ok(builder)
        };
        let failed = |error: reqwest::Error| DownloadError::Client { reason: chain(&error) };
        let (client, trust) = match builder().map_err(failed)?.build() {
            Ok(client) => (client, Trust::System),
            Err(error) => {
                tracing::warn!(error = chain(&error), "no certificates of authorities were found: https will not work");
                (builder().map_err(failed)?.tls_certs_only([]).build().map_err(failed)?, Trust::Nobody)
            }
        };
        Ok(Self {
            client,
            policy,
            trust,
            header_timeout: settings.header_timeout,
            small_timeout: settings.small_timeout,
            most_redirects: settings.most_redirects,
        })
    }

    /// Asks for something small, such as JSON. Follows redirects.
    ///
    /// # Errors
    /// Fails when there is no answer, or its body is longer than `limit` bytes. A status such as 404 is an answer.
    pub async fn get_small(&self, request: &RemoteRequest, limit: usize) -> Result<SmallAnswer, DownloadError> {
        let asked = async {
            let opened = self.open(request, None).await?;
            let (url, status) = (opened.url, opened.response.status());
            let headers = opened.response.headers().clone();
            answer::check_encoding(&url, &headers)?;
            let bytes = read_at_most(opened.response, &url, limit).await?;
            Ok(SmallAnswer { status, headers, bytes, url })
        };
        let late = |_| DownloadError::Stalled { url: shown(&request.url), what: "no whole answer".to_owned(), after: self.small_timeout };
        tokio::time::timeout(self.small_timeout, asked).await.map_err(late)?
    }

    /// Asks for something small, and asks again after a broken connection or a bad moment of the source.
    ///
    /// # Errors
    /// Fails like [`Self::get_small`], with what the last try gave.
    pub async fn get_small_again(&self, request: &RemoteRequest, limit: usize) -> Result<SmallAnswer, DownloadError> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..RETRIES {
            match self.get_small(request, limit).await {
                Ok(answer) if !matches!(answer.status.as_u16(), 500 | 502 | 504) => return Ok(answer),
                Err(error) if !matches!(error, DownloadError::Interrupted { .. }) => return Err(error),
                _ => {}
            }
            tokio::time::sleep(pause).await;
            pause *= 4;
        }
        self.get_small(request, limit).await
    }

    /// Asks for a file, or a part of it, and follows redirects to the answer. Does not judge the status of that.
    pub(super) async fn open(&self, request: &RemoteRequest, range: Option<ByteRange>) -> Result<Opened, DownloadError> {
        let refused = |url: &Url, reason| DownloadError::AddressRefused { url: shown(url), reason };
        self.policy.check(&request.url).map_err(|reason| refused(&request.url, reason))?;
        let mut way = Itinerary::new(request.url.clone());
        let mut url = request.url.clone();
        let mut hub = HubHeaders::default();
        loop {
            let response = self.ask(&url, request, range, way.is_at_home()).await?;
            if way.is_at_home() {
                hub.take_from(response.headers());
            }
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !is_redirect {
                return Ok(Opened { response, at_home: way.is_at_home(), hub, url });
            }
            let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let next = way.follow(target, &self.policy, self.most_redirects).cloned();
            url = next.map_err(|reason| DownloadError::RedirectRefused { url: shown(&url), target: shown_target(&url, target), reason })?;
        }
    }

    /// Reads a small body, with a limit on its length and on its time.
    pub(super) async fn read_small(&self, response: Response, url: &Url, limit: usize) -> Result<Bytes, DownloadError> {
        let late = |_| DownloadError::Stalled { url: shown(url), what: "no whole answer".to_owned(), after: self.small_timeout };
        tokio::time::timeout(self.small_timeout, read_at_most(response, url, limit)).await.map_err(late)?
    }

    /// Reads what a host says with an answer that is no success.
    pub(super) async fn refusal(&self, opened: Opened) -> DownloadError {
        let (status, headers) = (opened.response.status(), opened.response.headers().clone());
        let body = tokio::time::timeout(self.header_timeout, read_start(opened.response)).await.unwrap_or_default();
        answer::refusal(&opened.url, status, &headers, &body)
    }

    /// Asks one host, and waits for the head of its answer.
    async fn ask(&self, url: &Url, request: &RemoteRequest, range: Option<ByteRange>, at_home: bool) -> Result<Response, DownloadError> {
        if self.trust == Trust::Nobody && url.scheme() == "https" {
            return Err(DownloadError::NoCertificates { url: shown(url) });
        }
        let mut builder = self.client.request(Method::GET, url.clone()).header(header::ACCEPT_ENCODING, "identity");
        if let Some(accept) = &request.accept {
            builder = builder.header(header::ACCEPT, accept);
        }
        if let Some(range) = range {
            builder = builder.header(header::RANGE, range.to_string());
        }
        if let Some(secret) = request.authorization.as_ref().filter(|_| at_home) {
            let mut value = HeaderValue::from_str(secret.reveal()).map_err(|_| DownloadError::Unauthorized {
                url: shown(url),
                message: Some("our token has characters that no token has".to_owned()),
            })?;
            value.set_sensitive(true);
            builder = builder.header(header::AUTHORIZATION, value);
        }
        let late = |_| DownloadError::Stalled { url: shown(url), what: "no answer".to_owned(), after: self.header_timeout };
        let answered = tokio::time::timeout(self.header_timeout, builder.send()).await.map_err(late)?;
        answered.map_err(|error| failure(url, &error))
    }
}

/// Says why a request failed.
pub(super) fn failure(url: &Url, error: &reqwest::Error) -> DownloadError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refusal) = inner.downcast_ref::<AddressRefusal>() {
            return DownloadError::AddressRefused { url: shown(url), reason: refusal.clone() };
        }
        cause = inner.source();
    }
    let (url, reason) = (shown(url), chain(error));
    if error.is_connect() { DownloadError::Offline { url, reason } } else { DownloadError::Interrupted { url, reason } }
}

/// Returns the causes of an error in one line, without the address: it may be a signed one.
fn chain(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Some errors repeat their cause.
        if parts.last() != Some(&text) {
            parts.push(text);
        }
        cause = inner.source();
    }
    if parts.is_empty() {
        let kind = if error.is_timeout() { "it took too long" } else { "the request failed" };
        parts.push(kind.to_owned());
    }
    parts.join(": ")
}

/// Reads a body that must not be longer than `limit` bytes.
async fn read_at_most(mut response: Response, url: &Url, limit: usize) -> Result<Bytes, DownloadError> {
    let too_large = || DownloadError::TooLarge { url: shown(url), limit: u64::try_from(limit).unwrap_or(u64::MAX) };
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(url, &error))? {
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

async fn read_start(mut response: Response) -> Vec<u8> {
    let mut start = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        start.extend_from_slice(&chunk[..chunk.len().min(LONGEST_REFUSAL - start.len())]);
        if start.len() == LONGEST_REFUSAL {
            break;
        }
    }
    start
}
