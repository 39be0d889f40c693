//! Which weights go where.

use crate::memory::{DeviceLayers, MemoryShare, sum};
use crate::model::gguf::{GgufHeader, GgufTensor};

/// Which layers are on the GPU: the last ones, the output before all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    count: u64,
    /// The first layer on the GPU; the output counts as the one after the last. `None` when nothing is there.
    first: Option<u64>,
}

impl Placement {
    pub(super) fn of(count: u64, layers: Option<DeviceLayers>) -> Self {
        let placed = match layers {
            None | Some(DeviceLayers::Some(0)) => None,
            Some(DeviceLayers::All) => Some(count.saturating_add(1)),
            Some(DeviceLayers::Some(layers)) => Some(u64::from(layers)),
        };
        Self { count, first: placed.map(|placed| count.saturating_add(1).saturating_sub(placed)) }
    }

    /// Says whether a layer, counted from 0, is on the GPU.
    pub(super) fn is_on_device(self, layer: u64) -> bool {
        self.first.is_some_and(|first| layer >= first)
    }

    fn output_is_on_device(self) -> bool {
        self.is_on_device(self.count)
    }
}

/// Returns the weights of the host and of the GPU.
pub(super) fn weights(header: &GgufHeader, placement: Placement) -> (MemoryShare, MemoryShare) {
    let (mut host, mut device) = (MemoryShare::default(), MemoryShare::default());
    if placement.first.is_none() {
        host.weights_bytes = span(&header.tensors);
        if is_tied(header) && is_repacked(header) {
            host.weights_bytes = sum(&[host.weights_bytes, embedding(header)]);
        }
        return (host, device);
    }
    let is_placed = |tensor: &&GgufTensor| match part_of(&tensor.name) {
        Part::Input => false,
        Part::Layer(layer) => placement.is_on_device(layer),
        Part::Output => placement.output_is_on_device(),
    };
    let bytes = |tensors: &mut dyn Iterator<Item = &GgufTensor>| tensors.fold(0_u64, |sum, tensor| sum.saturating_add(tensor.bytes));
    device.weights_bytes = bytes(&mut header.tensors.iter().filter(is_placed));
    host.weights_bytes = bytes(&mut header.tensors.iter().filter(|tensor| !is_placed(tensor)));
    if is_tied(header) && placement.output_is_on_device() {
        // The embedding that serves as the output, too, is there twice.
        device.weights_bytes = sum(&[device.weights_bytes, embedding(header)]);
    }
    (host, device)
}

/// Returns the bytes from the first tensor to the end of the last, which the file is mapped for.
fn span(tensors: &[GgufTensor]) -> u64 {
    let first = tensors.iter().map(|tensor| tensor.offset).min().unwrap_or(0);
    let last = tensors.iter().map(|tensor| tensor.offset.saturating_add(tensor.bytes)).max().unwrap_or(0);
    last.saturating_sub(first)
}

/// Says whether the embedding serves as the output, too.
fn is_tied(header: &GgufHeader) -> bool {
    header.tensors.iter().all(|tensor| tensor.name != "output.weight")
}

/// Says whether the output is laid out anew for the processor, so that it cannot be shared with the embedding.
fn is_repacked(header: &GgufHeader) -> bool {
    const REPACKED: [&str; 3] = ["Q4_0", "Q4_K", "IQ4_NL"];
    embedding_tensor(header).and_then(|tensor| tensor.tensor_type.name()).is_some_and(|name| REPACKED.contains(&name))
}

fn embedding_tensor(header: &GgufHeader) -> Option<&GgufTensor> {
    header.tensors.iter().find(|tensor| tensor.name == "token_embd.weight")
}

fn embedding(header: &GgufHeader) -> u64 {
    embedding_tensor(header).map_or(0, |tensor| tensor.bytes)
}

enum Part {
    Input,
    Layer(u64),
    Output,
}

fn part_of(name: &str) -> Part {
    let layer = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()).and_then(|number| number.parse().ok());
    match layer {
        Some(layer) => Part::Layer(layer),
        None if name.starts_with("output") || name.starts_with("cls") => Part::Output,
        None => Part::Input,
    }
}
