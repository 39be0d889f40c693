//! What would fit instead, or more of it.

use std::num::NonZeroU32;

use super::judge::{Placement, Question, largest};
use super::{FitMachine, FitSubject, FitSuggestions, narrowed};
use crate::memory::USUAL_CONTEXT;
use crate::provider::Variant;

/// Contexts are suggested in steps of this, for each request.
const CONTEXT_STEP: u32 = 256;

pub(super) fn suggest(question: &Question<'_>, placement: &Placement) -> FitSuggestions {
    FitSuggestions {
        largest_context: largest_context(question, placement.layers),
        // There are none to be placed without a GPU.
        device_layers: placement.layers.filter(|_| placement.judged.has_margin()),
        largest_variant: largest_variant(question),
        fits_alone: fits_alone(question),
    }
}

/// Returns the largest context that fits with the same layers on the GPU.
fn largest_context(question: &Question<'_>, layers: Option<u32>) -> Option<u32> {
    let header = question.subject.header?;
    let trained = narrowed(header.context_length().filter(|length| *length > 0).unwrap_or(USUAL_CONTEXT));
    let step = CONTEXT_STEP.saturating_mul(question.settings(layers).parallel.get().into());
    let fits = |context: u32| question.judge(layers, NonZeroU32::new(context)).has_margin();
    let most = trained.max(1);
    if fits(most) {
        return Some(most);
    }
    let steps = largest(1, most / step, |steps| fits(steps.saturating_mul(step)))?;
    Some(steps.saturating_mul(step))
}

/// Returns the largest other form that fits, with the rest of the model as it is.
fn largest_variant(question: &Question<'_>) -> Option<Variant> {
    let mut variants: Vec<&Variant> = question.subject.variants.iter().collect();
    variants.sort_by_key(|variant| std::cmp::Reverse(variant.bytes));
    variants.into_iter().find(|variant| variant_fits(question, variant)).cloned()
}

fn variant_fits(question: &Question<'_>, variant: &Variant) -> bool {
    // What is not weights is the same: only these are exchanged, wherever they are. On a GPU, all of them are to be there.
    let layers = question.device.map(|_| question.request.layers().unwrap_or_else(|| question.placeable()));
    let subject = FitSubject { measured: None, ..*question.subject };
    let judged = Question { subject: &subject, ..*question }.judge(layers, question.request.context);
    let exchanged = |weights: u64, needed: u64, margin: u64, available: u64| {
        let whole = judged.estimate.host.weights_bytes.saturating_add(judged.estimate.device.weights_bytes).max(1);
        let scaled = u64::try_from(u128::from(weights) * u128::from(variant.bytes) / u128::from(whole)).unwrap_or(u64::MAX);
        needed.saturating_sub(weights).saturating_add(scaled).saturating_add(margin) <= available
    };
    let host = judged.host;
    let fits_host = exchanged(judged.estimate.host.weights_bytes, host.needed_bytes, host.margin_bytes, host.available_bytes);
    let fits_device = judged.device.is_none_or(|device| {
        exchanged(judged.estimate.device.weights_bytes, device.needed_bytes, device.margin_bytes, device.available_bytes)
    });
    fits_host && fits_device
}

/// Says whether it would fit with what loaded models hold now.
fn fits_alone(question: &Question<'_>) -> bool {
    let mut machine: FitMachine = question.machine.clone();
    let hardware = &mut machine.hardware;
    let freed = |free: u64, held: u64, total: u64| free.saturating_add(held).min(total);
    hardware.memory_available_bytes = freed(hardware.memory_available_bytes, machine.loaded_host_bytes, hardware.memory_total_bytes);
    for (device, place) in hardware.devices.iter_mut().zip(0..) {
        let held = machine.loaded_device_bytes.get(&place).copied().unwrap_or(0);
        device.memory_free_bytes = Some(freed(device.memory_available_bytes(), held, device.memory_total_bytes));
    }
    let device = question
        .device
        .and_then(|device| machine.hardware.devices.iter().find(|other| (other.backend, other.index) == (device.backend, device.index)));
    Question { machine: &machine, device, ..*question }.place().verdict.can_load()
}
