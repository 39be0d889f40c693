//! `orch model fit`: whether a model fits the daemon's machine, with the numbers, and what would fit instead.

use orchestrator_core::hardware::Hardware;
use orchestrator_core::instance::spec::{Backend, GpuSpec};
use orchestrator_core::memory::fit::FitNumbers;
use orchestrator_core::memory::{FitReport, FitRequest, FitVerdict, MemoryShare};
use orchestrator_core::{ErrorCode, Problem};
use owo_colors::{OwoColorize as _, Style};

use crate::args::model::{FitArguments, GpuArgument};
use crate::context::Context;
use crate::error::CommandError;
use crate::model_argument;
use crate::output::format;
use crate::output::table::{self, Cell, Column};

/// Asks, and shows the verdict.
pub(crate) async fn run(context: &Context, arguments: &FitArguments) -> Result<(), CommandError> {
    let reference = model_argument::parse(&arguments.reference)?;
    let client = context.client().await?;
    let gpu = match arguments.gpu {
        GpuArgument::Auto => None,
        GpuArgument::None => Some(GpuSpec { backend: Backend::Cpu, ..GpuSpec::default() }),
        GpuArgument::Index(index) => Some(device(&client.hardware().await?, index)?),
    };
    let settings = FitRequest {
        context: arguments.context,
        parallel: arguments.parallel,
        key_type: arguments.kv,
        value_type: arguments.kv,
        gpu,
        ..FitRequest::default()
    };
    let report = client.fit(&reference, settings).await?;
    if context.output.is_json() {
        context.output.json(&report)?;
    } else {
        context.output.text(&render(&report, context.output.width()))?;
    }
    if report.verdict.can_load() { Ok(()) } else { Err(CommandError::Reported(ErrorCode::ModelIncompatible)) }
}

/// Finds the device with a number, as `orch doctor` lists them.
fn device(hardware: &Hardware, index: u32) -> Result<GpuSpec, Problem> {
    let found = hardware.devices.iter().find(|device| device.index == index);
    let found = found.ok_or_else(|| {
        let present: Vec<String> = hardware.devices.iter().map(|device| format!("{} ({})", device.index, device.name)).collect();
        let problem = Problem::new(ErrorCode::SettingUnsupported, format!("this machine has no device {index}"));
        let hint = if present.is_empty() { "no GPU was found; leave out `--gpu`".to_owned() } else { present.join(", ") };
        problem.with_hint(hint)
    })?;
    Ok(GpuSpec { backend: found.backend, device_id: Some(found.index), layers: None })
}

fn render(report: &FitReport, width: Option<usize>) -> String {
    let style = match report.verdict {
        FitVerdict::Fits | FitVerdict::FitsWithLayersOnHost { .. } => Style::new().green(),
        FitVerdict::Tight => Style::new().yellow(),
        FitVerdict::DoesNotFit => Style::new().red(),
    };
    let mut text = format!("{} {}\n", report.reference.bold(), report.verdict.style(style));
    let times = if report.parallel == 1 { "1 request".to_owned() } else { format!("{} requests", report.parallel) };
    text.push_str(&format!("  for a context of {} tokens, {times} at a time; {}\n\n", report.context, report.confidence));
    text.push_str(&table(report, width));
    text.push('\n');
    for line in suggestions(report).iter().chain(&report.notes) {
        text.push_str(&format!("  {} {}\n", "·".dimmed(), format::printable(line)));
    }
    text
}

fn table(report: &FitReport, width: Option<usize>) -> String {
    let columns = [
        Column::words("MEMORY", 0).cut_to(12),
        Column::numbers("NEEDED", 0),
        Column::numbers("FREE", 0),
        Column::numbers("TOTAL", 1),
        Column::numbers("WEIGHTS", 3),
        Column::numbers("CACHE", 4),
        Column::numbers("COMPUTE", 5),
        Column::numbers("LAYERS", 2),
    ];
    let row = |name: String, numbers: &FitNumbers, share: &MemoryShare, layers: Option<u32>| {
        let needed = Cell::new(format::bytes(numbers.needed_bytes));
        let needed = if numbers.has_room() { needed } else { needed.styled(Style::new().red()) };
        vec![
            Cell::new(name),
            needed,
            Cell::new(format::bytes(numbers.available_bytes)),
            Cell::new(format::bytes(numbers.total_bytes)),
            Cell::new(format::bytes(share.weights_bytes)),
            Cell::new(format::bytes(share.all_caches())),
            Cell::new(format::bytes(share.compute_bytes.saturating_add(share.output_bytes))),
            Cell::optional(layers),
        ]
    };
    let on_device = report.device.as_ref().map_or(0, |device| device.layers);
    let on_host = report.layers.map(|layers| layers.saturating_sub(on_device));
    let mut rows = vec![row("machine".to_owned(), &report.host, &report.breakdown.host, on_host)];
    if let Some(device) = &report.device {
        rows.push(row(device.name.clone(), &device.numbers, &report.breakdown.device, Some(device.layers)));
    }
    table::render(&columns, &rows, width)
}

/// Says what would fit, one thing a line.
fn suggestions(report: &FitReport) -> Vec<String> {
    let suggestions = &report.suggestions;
    let mut lines = Vec::new();
    if let Some(context) = suggestions.largest_context {
        lines.push(format!("the largest context that fits is {context} tokens"));
    }
    if let Some(layers) = suggestions.device_layers {
        lines.push(format!("{layers} layers fit into the GPU (`gpu.layers: {layers}`)"));
    }
    if let Some(variant) = &suggestions.largest_variant {
        lines.push(format!("the largest form that fits is {} ({})", variant.reference, format::bytes(variant.bytes)));
    }
    if suggestions.fits_alone && !report.verdict.can_load() {
        lines.push("it would fit if every other model was unloaded".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::hardware::Device;
    use orchestrator_core::memory::MemoryEstimate;
    use orchestrator_core::memory::fit::{DeviceFit, FitConfidence, FitSuggestions};
    use orchestrator_core::provider::Variant;

    use super::*;

    const GB: u64 = 1 << 30;

    fn report(verdict: FitVerdict) -> FitReport {
        let numbers = |needed: u64, available: u64| FitNumbers {
            needed_bytes: needed,
            margin_bytes: GB / 4,
            available_bytes: available,
            total_bytes: available + GB,
        };
        let share = |weights: u64| MemoryShare { weights_bytes: weights, cache_bytes: GB / 2, ..MemoryShare::default() };
        FitReport {
            reference: "hf:Qwen/Qwen3-8B-GGUF:Q4_K_M".parse().unwrap(),
            verdict,
            confidence: FitConfidence::Estimated,
            context: 8_192,
            parallel: 1,
            layers: Some(36),
            host: numbers(GB, 20 * GB),
            device: Some(DeviceFit {
                backend: Backend::Cuda,
                index: 0,
                name: "NVIDIA GeForce RTX 4060".to_owned(),
                numbers: numbers(9 * GB, 7 * GB),
                layers: 30,
            }),
            breakdown: MemoryEstimate { host: share(GB), device: share(5 * GB) },
            prompt_cache_bytes: 0,
            suggestions: FitSuggestions {
                largest_context: Some(4_096),
                device_layers: Some(30),
                largest_variant: Some(Variant {
                    reference: "hf:Qwen/Qwen3-8B-GGUF:Q3_K_M".parse().unwrap(),
                    quantisation: None,
                    bytes: 4 * GB,
                }),
                fits_alone: true,
            },
            notes: vec!["a note\x1b[2J".to_owned()],
        }
    }

    fn plain(report: &FitReport, width: Option<usize>) -> String {
        anstream::adapter::strip_str(&render(report, width)).to_string()
    }

    #[test]
    fn a_verdict_is_shown_with_its_numbers_and_what_would_fit() {
        insta::assert_snapshot!("fits", plain(&report(FitVerdict::FitsWithLayersOnHost { layers: 6 }), None));
        let narrow = plain(&report(FitVerdict::DoesNotFit), Some(60));
        assert!(narrow.lines().filter(|line| !line.contains('·')).all(|line| line.chars().count() <= 64), "{narrow}");
        assert!(narrow.contains("does not fit") && narrow.contains("every other model was unloaded"), "{narrow}");
    }

    #[test]
    fn a_device_is_found_by_its_number() {
        let devices = vec![Device::new(Backend::Vulkan, 1, "x", 1)];
        let hardware = Hardware { devices, ..Hardware::default() };
        let found = super::device(&hardware, 1).unwrap();
        assert_eq!((found.backend, found.device_id), (Backend::Vulkan, Some(1)));
        assert_eq!(super::device(&hardware, 0).unwrap_err().code, ErrorCode::SettingUnsupported);
    }
}
