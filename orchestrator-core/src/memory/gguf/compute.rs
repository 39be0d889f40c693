//! What the engine computes with: the largest of what it holds at one moment while it works on a batch.
//!
//! The terms were found by asking the real server about models of many shapes (`cargo xtask bench fit`). With `E`, `F` and `Q`
//! for a batch of embeddings, of the inner rows of a feed-forward network and of queries, it holds five `E` and
//!
//! - in a feed-forward network three `F`, where these do not fit into what a smaller `E` left; with experts, `F` is that of
//!   all that are used, and what they return is held as well where it does not fit into two `F`;
//! - in attention two `Q`, where a `Q` is larger than an `E`; without flash attention also a table of all pairs of tokens.
//!
//! Beside these there is a mask of each kind of cache, and the places of what is written to the cache.

use super::cache::Cells;
use super::layers::Layers;
use crate::memory::{FlashAttention, LoadSettings, context_in, product, sum};
use crate::model::gguf::GgufHeader;

/// Bytes of a number that is computed with.
const NUMBER: u64 = 4;
/// Bytes of a token's place in the cache, for each number of its values without flash attention.
const PLACE: u64 = 8;
/// What positions and places take for each token.
const TOKEN: u64 = 40;

/// The widths of what is computed, in numbers for one token.
struct Widths {
    embedding: u64,
    queries: u64,
    inner: u64,
    returned: u64,
}

impl Widths {
    fn of(header: &GgufHeader) -> Self {
        let embedding = header.embedding_length().unwrap_or(0);
        let heads = header.head_count().map_or(0, |heads| heads.max());
        let queries = heads.saturating_mul(header.key_length().unwrap_or(0));
        let dense = header.feed_forward_length().unwrap_or(embedding.saturating_mul(4));
        let used = header.count("expert_used_count").unwrap_or(0);
        if used == 0 {
            return Self { embedding, queries, inner: dense, returned: 0 };
        }
        let each = header.count("expert_feed_forward_length").unwrap_or(dense);
        let shared = header.count("expert_shared_feed_forward_length").unwrap_or(0);
        // Models whose first layers have no experts are as wide there as they say.
        let leading = header.count("leading_dense_block_count").filter(|count| *count > 0).map_or(0, |_| dense);
        let inner = each.saturating_mul(used).max(leading).max(shared);
        Self { embedding, queries, inner, returned: embedding.saturating_mul(used) }
    }

    fn feed_forward(&self) -> u64 {
        let inner = if self.inner > self.embedding { self.inner.saturating_mul(3) } else { 0 };
        let returned = if self.returned > self.inner.saturating_mul(2) { self.returned } else { 0 };
        sum(&[self.embedding.saturating_mul(5), inner, returned])
    }

    /// The table of all pairs aside.
    fn attention(&self, flash: bool) -> u64 {
        match (self.queries > self.embedding, flash) {
            (true, _) => sum(&[self.embedding.saturating_mul(5), self.queries.saturating_mul(2)]),
            (false, true) if self.queries == self.embedding => self.embedding.saturating_mul(7),
            (false, true) => self.embedding.saturating_mul(5),
            (false, false) => self.embedding.saturating_mul(6),
        }
    }
}

/// Returns how many tokens are worked on at once: whole turns of all requests.
fn batch_of(header: &GgufHeader, settings: &LoadSettings) -> u64 {
    let parallel = u64::from(settings.parallel.get());
    let context = context_in(header.context_length(), settings);
    settings.effective_micro_batch().min(context).checked_next_multiple_of(parallel).unwrap_or(u64::MAX)
}

/// Returns what is computed with where the layers are.
pub(super) fn bytes(header: &GgufHeader, layers: &Layers, cells: &Cells, settings: &LoadSettings) -> u64 {
    let batch = batch_of(header, settings);
    let widths = Widths::of(header);
    let flash = settings.flash_attention != FlashAttention::Off;
    let has_full = layers.iter().any(|(_, layer)| !layer.windowed && layer.key > 0);
    let windowed = layers.iter().find(|(_, layer)| layer.windowed && layer.key > 0);
    let kinds = [(has_full, cells.full), (windowed.is_some(), cells.window)];
    let masks = kinds.iter().filter(|(exists, _)| *exists).fold(0, |sum: u64, (_, cells)| sum.saturating_add(*cells));
    let kind_count = kinds.iter().filter(|(exists, _)| *exists).count() as u64;
    let attention = if flash {
        product(&[NUMBER, batch, widths.attention(true)])
    } else {
        let heads = header.head_count().map_or(0, |heads| heads.max());
        let longest = if has_full { cells.full } else { cells.window };
        product(&[NUMBER, batch, sum(&[widths.attention(false), longest.saturating_mul(heads)])])
    };
    let outputs = product(&[NUMBER, header.vocabulary_length().unwrap_or(0), settings.parallel.get().into()]);
    let largest = attention.max(product(&[NUMBER, batch, widths.feed_forward()])).max(outputs);
    let inputs = if flash {
        product(&[2, batch, masks])
    } else {
        let places = product(&[PLACE, batch, layers.largest_value(), kind_count]);
        sum(&[product(&[NUMBER, batch, masks]), places])
    };
    sum(&[largest, inputs, product(&[TOKEN, batch])])
}

/// Returns what the host computes with when layers are on a GPU: it looks embeddings up and makes the masks.
pub(super) fn host_part(header: &GgufHeader, settings: &LoadSettings, cells: &Cells) -> u64 {
    let batch = batch_of(header, settings);
    sum(&[product(&[NUMBER, batch, header.embedding_length().unwrap_or(0)]), product(&[2, batch, cells.full])])
}
