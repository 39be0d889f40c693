//! What each layer keeps of the tokens it has seen.

use crate::memory::MOST_LAYERS;
use crate::model::gguf::{GgufHeader, GgufPerLayer, GgufValue};

/// What a layer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LayerMemory {
    /// How many numbers the keys of one token are.
    pub(super) key: u64,
    /// How many numbers the values of one token are.
    pub(super) value: u64,
    /// Whether only a window of the last tokens is kept.
    pub(super) windowed: bool,
    /// How many numbers of a fixed state are kept for one request.
    pub(super) state: u64,
}

/// All layers of a model.
pub(super) struct Layers(Vec<LayerMemory>);

/// Which layers of an architecture attend to a window, where its files do not say it.
enum Pattern {
    /// All but the last of so many.
    AllButLastOf(u64),
    /// All but the first of so many.
    AllButFirstOf(u64),
    /// None: the engine gives them the whole context.
    None,
}

/// The patterns that the engine knows by the name of the architecture.
const PATTERNS: [(&str, Pattern); 16] = [
    ("gemma2", Pattern::AllButLastOf(2)),
    ("gemma3", Pattern::AllButLastOf(6)),
    ("gemma3n", Pattern::AllButLastOf(5)),
    ("gpt-oss", Pattern::AllButLastOf(2)),
    ("cohere2", Pattern::AllButLastOf(4)),
    ("cohere2moe", Pattern::AllButLastOf(4)),
    ("llama4", Pattern::AllButLastOf(4)),
    ("olmo2", Pattern::AllButLastOf(4)),
    ("exaone4", Pattern::AllButLastOf(4)),
    ("exaone-moe", Pattern::AllButLastOf(4)),
    ("afmoe", Pattern::AllButLastOf(4)),
    ("plamo3", Pattern::AllButLastOf(8)),
    ("smallthinker", Pattern::AllButFirstOf(4)),
    ("phi3", Pattern::None),
    ("phimoe", Pattern::None),
    ("mistral3", Pattern::None),
];

/// Architectures whose every layer keeps a state and a cache.
const BOTH: [&str; 1] = ["falcon-h1"];
/// Architectures whose layers all keep a state and no cache.
const STATE_ALONE: [&str; 8] = ["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7", "plamo2-state", "falcon-mamba"];
/// Architectures of which one layer in so many keeps a cache, and the others a state.
const MIXED: [&str; 5] = ["qwen3next", "qwen35", "qwen35moe", "qwen3.5", "kimi-linear"];

impl Layers {
    pub(super) fn of(header: &GgufHeader) -> Self {
        let count = header.block_count().unwrap_or(0).min(MOST_LAYERS);
        let heads = header.head_count_kv();
        let window = Window::of(header);
        let state = State::of(header);
        // Layers at the end that only predict more tokens have no cache of their own.
        let predictors = header.count("nextn_predict_layers").unwrap_or(0);
        let with_cache = header.count("attention.shared_kv_layers").map_or(u64::MAX, |shared| count.saturating_sub(shared));
        // Its later layers read the cache of earlier ones.
        let with_cache = if header.architecture() == Some("gemma3n") { with_cache.min(20) } else { with_cache };
        let layers = (0..count).map(|layer| {
            let index = usize::try_from(layer).unwrap_or(usize::MAX);
            let heads = heads.as_ref().and_then(|heads| heads.in_layer(index)).unwrap_or(0);
            let windowed = window.covers(layer);
            let (key, value) = header.row_lengths(windowed);
            let keeps_state = state.is_in(layer, heads);
            let keeps_cache = layer < with_cache && layer < count.saturating_sub(predictors) && state.leaves_cache(layer);
            let heads = if keeps_cache { heads } else { 0 };
            LayerMemory {
                key: heads.saturating_mul(key),
                value: heads.saturating_mul(value),
                windowed,
                state: if keeps_state { state.numbers } else { 0 },
            }
        });
        Self(layers.collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &LayerMemory)> {
        self.0.iter().enumerate().map(|(index, layer)| (index as u64, layer))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// Returns the largest number of numbers that the values of one token are in any layer.
    pub(super) fn largest_value(&self) -> u64 {
        self.0.iter().map(|layer| layer.value).max().unwrap_or(0)
    }

    /// Says whether the rows of values have more than one length.
    pub(super) fn values_vary(&self) -> bool {
        let mut lengths = self.0.iter().map(|layer| layer.value).filter(|length| *length > 0);
        let first = lengths.next();
        lengths.any(|length| Some(length) != first)
    }
}

impl GgufHeader {
    /// Returns how many numbers a key and a value of one head are, in layers with a window and in the others.
    fn row_lengths(&self, windowed: bool) -> (u64, u64) {
        let of_window = |key: &str| self.count(key).filter(|_| windowed);
        let key = of_window("attention.key_length_swa").or_else(|| self.key_length()).unwrap_or(0);
        let value = of_window("attention.value_length_swa").or_else(|| self.value_length()).unwrap_or(0);
        // Where keys and values are kept in one compressed row, there are no values beside it.
        let compressed = self.count("attention.key_length_mla").is_some_and(|length| length > 0);
        (key, if compressed { 0 } else { value })
    }
}

/// Which layers attend to a window.
struct Window<'a> {
    listed: Option<&'a [GgufValue]>,
    every: Option<u64>,
    pattern: &'static Pattern,
    exists: bool,
}

impl<'a> Window<'a> {
    fn of(header: &'a GgufHeader) -> Self {
        let stated = header.of_architecture("attention.sliding_window_pattern");
        let by_name = PATTERNS.iter().find(|(name, _)| Some(*name) == header.architecture());
        Self {
            listed: stated.and_then(GgufValue::as_array).and_then(|list| list.items()),
            every: stated.and_then(GgufValue::as_u64).filter(|every| *every > 0),
            pattern: by_name.map_or(&Pattern::None, |(_, pattern)| pattern),
            exists: window_of(header).is_some(),
        }
    }

    fn covers(&self, layer: u64) -> bool {
        if !self.exists {
            return false;
        }
        if let Some(listed) = self.listed {
            let item = usize::try_from(layer).ok().and_then(|layer| listed.get(layer));
            return item.is_some_and(|item| item.as_bool().unwrap_or_else(|| item.as_u64().is_some_and(|number| number != 0)));
        }
        match (self.pattern, self.every) {
            (Pattern::AllButFirstOf(count), every) => !layer.is_multiple_of(every.unwrap_or(*count)),
            (Pattern::AllButLastOf(count), every) => {
                let count = every.unwrap_or(*count);
                layer % count < count - 1
            }
            (Pattern::None, _) => false,
        }
    }
}

/// Returns the window in tokens, where the engine uses one.
pub(super) fn window_of(header: &GgufHeader) -> Option<u64> {
    let by_name = match header.architecture()? {
        "llama4" => Some(8192),
        "gemma2" | "smallthinker" => Some(4096),
        _ => None,
    };
    match header.of_architecture("attention.sliding_window").and_then(GgufValue::as_u64) {
        Some(0) => None,
        Some(window) => Some(window),
        None => by_name,
    }
}

/// What layers keep besides a cache, or instead of one.
struct State {
    numbers: u64,
    kind: StateKind,
}

enum StateKind {
    Nowhere,
    /// In every layer, beside a cache.
    Both,
    /// In every layer, instead of a cache.
    Alone,
    /// In all but one of so many.
    AllButLastOf(u64),
    /// In layers that have no heads of keys and values.
    WithoutHeads,
}

impl State {
    fn of(header: &GgufHeader) -> Self {
        let count = |key: &str| header.count(key).unwrap_or(0);
        let embedding = header.embedding_length().unwrap_or(0);
        let head = count("wkv.head_size");
        let short = count("shortconv.l_cache");
        let numbers = if head > 0 {
            let shifts = header.count("token_shift_count").unwrap_or(2);
            shifts.saturating_mul(embedding).saturating_add(embedding.saturating_mul(head))
        } else if short > 0 {
            embedding.saturating_mul(short - 1)
        } else {
            let (inner, state) = (count("ssm.inner_size"), count("ssm.state_size"));
            let groups = count("ssm.group_count").saturating_mul(state).saturating_mul(2);
            let convolution = count("ssm.conv_kernel").saturating_sub(1).saturating_mul(inner.saturating_add(groups));
            convolution.saturating_add(state.saturating_mul(inner))
        };
        let architecture = header.architecture().unwrap_or_default();
        let kind = match architecture {
            _ if numbers == 0 => StateKind::Nowhere,
            name if STATE_ALONE.contains(&name) => StateKind::Alone,
            name if BOTH.contains(&name) => StateKind::Both,
            name if MIXED.contains(&name) => StateKind::AllButLastOf(header.count("full_attention_interval").unwrap_or(4).max(1)),
            _ if matches!(header.head_count_kv(), Some(GgufPerLayer::Listed(_))) => StateKind::WithoutHeads,
            _ => StateKind::Alone,
        };
        Self { numbers, kind }
    }

    fn is_in(&self, layer: u64, heads: u64) -> bool {
        match self.kind {
            StateKind::Nowhere => false,
            StateKind::Both | StateKind::Alone => true,
            StateKind::AllButLastOf(count) => layer % count != count - 1,
            StateKind::WithoutHeads => heads == 0,
        }
    }

    fn leaves_cache(&self, layer: u64) -> bool {
        match self.kind {
            StateKind::Nowhere | StateKind::Both | StateKind::WithoutHeads => true,
            StateKind::Alone => false,
            StateKind::AllButLastOf(count) => layer % count == count - 1,
        }
    }
}
