//! The rules for GGUF files: what llama.cpp's server takes.

mod cache;
mod compute;
mod layers;
mod placement;

use super::{DEVICE_PROCESS, LoadSettings, MemoryEstimate, MemoryShare, PROCESS, product};
use crate::model::gguf::GgufHeader;
use cache::Cells;
use layers::Layers;
use placement::Placement;

pub(super) fn estimate(header: &GgufHeader, settings: &LoadSettings) -> MemoryEstimate {
    let layers = Layers::of(header);
    let cells = Cells::of(header, settings);
    let placement = Placement::of(layers.count(), settings.layers);
    let (mut host, mut device) = placement::weights(header, placement);
    cache::add(&layers, &cells, settings, placement, (&mut host, &mut device));
    let compute = compute::bytes(header, &layers, &cells, settings);
    let output = product(&[4, header.vocabulary_length().unwrap_or(0), settings.parallel.get().into()]);
    host.output_bytes = output;
    host.process_bytes = PROCESS;
    let on_device: Option<&mut MemoryShare> = settings.layers.is_some().then_some(&mut device);
    match on_device {
        None => {
            host.compute_bytes = compute;
            host.projector_bytes = settings.projector_bytes;
        }
        Some(device) => {
            device.compute_bytes = compute;
            device.projector_bytes = settings.projector_bytes;
            device.process_bytes = DEVICE_PROCESS;
            host.compute_bytes = compute::host_part(header, settings, &cells);
        }
    }
    MemoryEstimate { host, device }
}
