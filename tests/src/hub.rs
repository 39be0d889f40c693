//! A fake Hugging Face hub and a fake Ollama registry: real HTTP servers on loopback, faithful, and bad on request.
//!
//! A [`Hub`] has four hosts, each an origin of its own:
//! - *Hugging Face*: search, listings, trees, `resolve` (302 with `X-Linked-*` for large files, 200 for small ones),
//!   gated and private repositories, tokens;
//! - *the registry*: manifests, blobs (307), tokens, and the catalogue of Ollama's site;
//! - *the CDN*, at another address: the bytes of large files, by links that carry their own permission;
//! - *a stranger*, at yet another address, who has every file and should never be told a token.
//!
//! What it has is a [`World`]; files are [`Content`], by offset, so that a gigabyte is never in memory. Everything that
//! is asked is noted ([`Seen`]) with the bytes that went out, and [`Limits`] say how fast.
//!
//! Beside it there is a fake [`OllamaDaemon`].
//!
//! # The ways to be bad
//! A [`Rule`] says to which requests it applies, and when. The ways ([`Misbehaviour`]) are:
//!
//! | of the bytes | of the head | of the place | of the time | of the listing or manifest |
//! |---|---|---|---|---|
//! | a flipped bit | 200 to a range | a redirect to itself | a drip | broken JSON |
//! | shifted | another range | redirects without end | a dripping head | JSON that is huge |
//! | too short | a wrong total | a private address | a hang before the head | JSON that is deep |
//! | too long | no `Content-Range` | a file, another scheme | a hang in the body | a wrong digest |
//! | compressed | several parts in one | a stranger | 500, 502, 503, 429 with an absurd time | a wrong or absurd size |
//! | a page to log in | a wrong length | a stranger's realm for tokens | an expired link | a hostile name |
//! | none at all | another `ETag`, or none | | a reset | a hostile digest |
//! | bad chunks | a wrong `X-Linked-Size` or `-Etag`, no commit | | a close before the head | an unknown media type |
//! | no HTTP | a huge head | | | |

mod answer;
mod cdn;
mod content;
mod control;
mod huggingface;
mod library;
mod misbehaviour;
mod ollama_daemon;
mod pace;
mod registry;
mod repository;
mod request;
mod seen;
mod send;
mod server;
mod spoil;
mod world;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use serde_json::{Value, json};

pub use content::{Content, Source};
pub use library::{Layer, LibraryModel};
pub use misbehaviour::{Misbehaviour, OTHER_SCHEMES, PRIVATE_PLACES, Part, Rule};
pub use ollama_daemon::{Asked, OllamaDaemon, Trouble};
pub use pace::Limits;
pub use repository::{Access, Repository, RepositoryFile, Revision};
pub use seen::{Origin, Seen};
pub use world::{Account, World};

use pace::Pace;
use world::Origins;

/// A fake hub. Copies are the same hub; it ends with its [`RunningHub`].
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

/// Keeps a fake hub running.
#[derive(Debug)]
pub struct RunningHub {
    hub: Hub,
    listeners: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    origins: Origins,
    world: RwLock<World>,
    rules: Mutex<Vec<CountedRule>>,
    seen: Mutex<Vec<Seen>>,
    limits: Mutex<Limits>,
    pace: Pace,
    open: Mutex<HashMap<u64, TcpStream>>,
    connections: AtomicU64,
    ending: AtomicBool,
}

/// A rule, and how many requests it was looked up for.
#[derive(Debug)]
struct CountedRule {
    rule: Rule,
    matched: u32,
}

impl RunningHub {
    /// Starts a hub with these models.
    pub fn start(world: World) -> Self {
        // Where other loopback addresses are not to be had, the ports still make other origins.
        let bind = |address: &str| TcpListener::bind((address, 0)).or_else(|_| TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let [huggingface, registry, cdn, stranger] = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3"].map(bind);
        let [a, b, c, d] = [&huggingface, &registry, &cdn, &stranger].map(|listener| listener.local_addr().unwrap());
        let hub = Hub(Arc::new(Shared {
            origins: Origins { huggingface: a, registry: b, cdn: c, stranger: d },
            world: RwLock::new(world),
            rules: Mutex::default(),
            seen: Mutex::default(),
            limits: Mutex::default(),
            pace: Pace::new(),
            open: Mutex::default(),
            connections: AtomicU64::new(0),
            ending: AtomicBool::new(false),
        }));
        let listeners =
            [(Origin::HuggingFace, huggingface), (Origin::Registry, registry), (Origin::Cdn, cdn), (Origin::Stranger, stranger)];
        let listeners = listeners.into_iter().map(|(origin, listener)| server::listen(&hub, origin, listener)).collect();
        Self { hub, listeners }
    }
}

impl std::ops::Deref for RunningHub {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.hub
    }
}

impl Drop for RunningHub {
    fn drop(&mut self) {
        self.hub.0.ending.store(true, Ordering::SeqCst);
        let Origins { huggingface, registry, cdn, stranger } = self.hub.0.origins;
        for address in [huggingface, registry, cdn, stranger] {
            server::wake(address);
        }
        for stream in self.hub.0.open().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for listener in self.listeners.drain(..) {
            let _ = listener.join();
        }
    }
}

impl Hub {
    /// Returns the endpoint of the Hugging Face hub, such as `http://127.0.0.1:4711` (`HF_ENDPOINT`).
    pub fn huggingface(&self) -> String {
        self.0.origins.huggingface()
    }

    /// Returns the endpoint of the Ollama registry and its site.
    pub fn registry(&self) -> String {
        self.0.origins.registry()
    }

    /// Returns the endpoint of the host that large files come from.
    pub fn cdn(&self) -> String {
        self.0.origins.cdn()
    }

    /// Returns the endpoint of a host that nobody should talk to.
    pub fn stranger(&self) -> String {
        self.0.origins.stranger()
    }

    /// Returns all endpoints.
    pub fn hosts(&self) -> Value {
        let [huggingface, registry, cdn, stranger] = [self.huggingface(), self.registry(), self.cdn(), self.stranger()];
        json!({ "huggingface": huggingface, "registry": registry, "cdn": cdn, "stranger": stranger })
    }

    /// Adds a repository, in the place of one of the same name.
    pub fn put(&self, repository: Repository) {
        self.change(|world| {
            world.repositories.retain(|known| known.id != repository.id);
            world.repositories.push(repository);
        });
    }

    /// Adds a model to the registry, in the place of one of the same name and tag.
    pub fn put_model(&self, model: LibraryModel) {
        self.change(|world| {
            world.models.retain(|known| (&known.namespace, &known.name, &known.tag) != (&model.namespace, &model.name, &model.tag));
            world.models.push(model);
        });
    }

    /// Changes what the hub has.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.0.world.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets the hub be bad. The first rule that fits a request is applied to it.
    pub fn rule(&self, rule: Rule) {
        self.0.rules().push(CountedRule { rule, matched: 0 });
    }

    /// Lets the hub be good again.
    pub fn clear_rules(&self) {
        self.0.rules().clear();
    }

    /// Says how fast the hub is, from the next answer on.
    pub fn limit(&self, limits: Limits) {
        *self.0.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Returns all that was asked, in the order in which it came.
    pub fn seen(&self) -> Vec<Seen> {
        self.0.seen().clone()
    }

    /// Forgets what was asked so far. Not while something is still being answered.
    pub fn forget_seen(&self) {
        self.0.seen().clear();
    }

    /// Returns how many requests there were whose path has this text in it.
    pub fn requests(&self, path: &str) -> usize {
        self.0.seen().iter().filter(|seen| seen.path.contains(path)).count()
    }

    /// Returns how many bytes of files went out whose path has this text in it.
    pub fn bytes_sent(&self, path: &str) -> u64 {
        let all = self.0.seen();
        all.iter().filter(|seen| seen.part == Part::Bytes && seen.path.contains(path)).map(|seen| seen.sent).sum()
    }

    /// Returns every `Authorization` that this host was told.
    pub fn authorizations(&self, origin: Origin) -> Vec<String> {
        let all = self.0.seen();
        all.iter().filter(|seen| seen.origin == origin).filter_map(|seen| seen.authorization().map(str::to_owned)).collect()
    }

    /// Returns how many connections are open.
    pub fn open_connections(&self) -> usize {
        self.0.open().len()
    }

    /// Breaks all connections that are open.
    pub fn break_connections(&self) {
        for stream in self.0.open().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn world(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> MutexGuard<'_, Vec<CountedRule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the note of a request, where it was not forgotten.
    fn note(&self, number: Option<usize>, change: impl FnOnce(&mut Seen)) {
        if let Some(number) = number {
            self.seen().get_mut(number).map(change);
        }
    }

    /// Finds the way in which a request is to be answered badly, and how many were before it.
    fn rule_for(&self, part: Part, path: &str) -> Option<(Misbehaviour, u32)> {
        let mut found = None;
        for counted in self.rules().iter_mut().filter(|counted| counted.rule.matches(part, path)) {
            let turn = counted.matched;
            counted.matched += 1;
            let rule = &counted.rule;
            let is_its_turn = turn >= rule.skip && rule.times.is_none_or(|times| turn - rule.skip < times);
            if is_its_turn && found.is_none() {
                found = Some((rule.how.clone(), turn));
            }
        }
        found
    }
}
