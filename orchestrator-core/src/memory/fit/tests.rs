//! Verdicts on models and machines that were made up.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::num::NonZeroU32;

use super::judge::largest;
use super::*;
use crate::hardware::{Device, Hardware};
use crate::instance::spec::GpuSpec;
use crate::memory::{DeviceLayers, LoadSettings, estimate};
use crate::model::gguf::{GgufExtent, GgufHeader, GgufReadOptions, GgufTensorType, GgufWriter};
use crate::provider::Variant;

const GIB: u64 = 1024 * 1024 * 1024;

/// A llama with 16 layers and about 2 GiB of weights.
fn header() -> ModelHeader {
    let mut writer = GgufWriter::new("llama");
    let numbers = [
        ("context_length", 131_072_u32),
        ("embedding_length", 2048),
        ("block_count", 16),
        ("feed_forward_length", 8192),
        ("attention.head_count", 32),
        ("attention.head_count_kv", 8),
    ];
    for (key, number) in numbers {
        writer.set(&format!("llama.{key}"), number);
    }
    writer.set("llama.vocab_size", 32_000_u32);
    let mut matrix = |name: &str, rows: u64, columns: u64| writer.tensor(name, GgufTensorType::F16, &[rows, columns]).unwrap();
    matrix("token_embd.weight", 2048, 32_000);
    for layer in 0..16 {
        matrix(&format!("blk.{layer}.attn_q.weight"), 2048, 2048);
        matrix(&format!("blk.{layer}.ffn_up.weight"), 2048, 8192);
        matrix(&format!("blk.{layer}.ffn_gate.weight"), 2048, 8192);
        matrix(&format!("blk.{layer}.ffn_down.weight"), 8192, 2048);
    }
    matrix("output.weight", 2048, 32_000);
    let bytes = writer.header_bytes().unwrap();
    let extent = GgufExtent { file_bytes: writer.file_bytes().unwrap(), available: bytes.len() as u64 };
    GgufHeader::read_from(std::io::Cursor::new(bytes), extent, &GgufReadOptions::default()).unwrap().into()
}

fn machine(host_free: u64, device_free: Option<u64>) -> FitMachine {
    let device = device_free.map(|free| Device {
        backend: Backend::Cuda,
        index: 0,
        name: "test".to_owned(),
        memory_total_bytes: 24 * GIB,
        memory_free_bytes: Some(free),
        unified_memory: false,
        busy_percent: None,
        driver: None,
        compute_capability: None,
        pci_bus_id: None,
        uuid: None,
        seen_by: Vec::new(),
    });
    let devices = device.into_iter().collect();
    Hardware { cpu_name: None, cpu_count: 4, memory_total_bytes: 64 * GIB, memory_available_bytes: host_free, devices, engines: Vec::new() }
        .into()
}

/// Asks about the model with a context of 8,192 tokens.
fn ask(machine: &FitMachine, request: FitRequest, variants: &[Variant], measured: Option<MeasuredMemory>) -> FitReport {
    let reference = "file:/m/x.gguf".parse().unwrap();
    let header = header();
    let subject = FitSubject {
        reference: &reference,
        header: Some(&header),
        bytes: 2 * GIB,
        projector_bytes: 0,
        prompt_cache_bytes: 0,
        measured,
        variants,
    };
    let request = FitRequest { context: request.context.or(NonZeroU32::new(8192)), ..request };
    fit(&subject, &request, machine).unwrap()
}

fn needed(layers: Option<DeviceLayers>) -> MemoryEstimate {
    let settings = LoadSettings { context: NonZeroU32::new(8192), layers, ..LoadSettings::default() };
    estimate(&header(), &settings)
}

#[test]
fn a_processor_has_room_or_just_room_or_none() {
    let needed = needed(None).host.total();
    let verdict = |free| ask(&machine(free, None), FitRequest::default(), &[], None).verdict;
    assert_eq!(verdict(2 * needed), FitVerdict::Fits);
    assert_eq!(verdict(needed), FitVerdict::Tight);
    assert_eq!(verdict(needed - 1), FitVerdict::DoesNotFit);
}

#[test]
fn what_a_gpu_has_no_room_for_stays_with_the_host() {
    let needed = needed(Some(DeviceLayers::All)).device.total();
    let all = ask(&machine(32 * GIB, Some(2 * needed)), FitRequest::default(), &[], None);
    assert_eq!((all.verdict, all.device.unwrap().layers), (FitVerdict::Fits, 17));
    let part = ask(&machine(32 * GIB, Some(needed)), FitRequest::default(), &[], None);
    let FitVerdict::FitsWithLayersOnHost { layers } = part.verdict else { unreachable!("{:?}", part.verdict) };
    let device = part.device.unwrap();
    assert_eq!((layers + device.layers, part.suggestions.device_layers), (17, Some(device.layers)));
    assert!(device.numbers.has_margin() && part.host.has_margin());
    // One more would be one too many.
    let more = FitRequest {
        gpu: Some(GpuSpec { backend: Backend::Cuda, device_id: None, layers: Some(device.layers + 1) }),
        ..FitRequest::default()
    };
    assert!(!ask(&machine(32 * GIB, Some(needed)), more, &[], None).device.unwrap().numbers.has_margin());
    let nowhere = ask(&machine(GIB / 4, Some(GIB / 4)), FitRequest::default(), &[], None);
    assert_eq!(nowhere.verdict, FitVerdict::DoesNotFit);
}

#[test]
fn the_largest_context_and_the_largest_form_that_fit_are_told() {
    let variant =
        |name: &str, bytes| Variant { reference: format!("hf:a/b:{name}").parse().unwrap(), quantisation: Some(name.to_owned()), bytes };
    let variants = [variant("Q4_K_M", GIB), variant("F16", 4 * GIB), variant("Q8_0", 2 * GIB)];
    let free = needed(None).host.total() + GIB / 2;
    let report = ask(&machine(free, None), FitRequest::default(), &variants, None);
    assert_eq!(report.suggestions.largest_variant.unwrap().quantisation.unwrap(), "Q8_0");
    let context = report.suggestions.largest_context.unwrap();
    assert!(context > 8192 && context < 131_072, "{context}");
    let ask_for = |context| ask(&machine(free, None), FitRequest { context: NonZeroU32::new(context), ..FitRequest::default() }, &[], None);
    assert_eq!(ask_for(context).verdict, FitVerdict::Fits);
    assert_ne!(ask_for(context + 256).verdict, FitVerdict::Fits);
}

#[test]
fn a_measurement_is_believed_where_it_is_of_the_same() {
    let measured = Some(MeasuredMemory { host: 3 * GIB, device: 0 });
    let report = ask(&machine(3 * GIB, None), FitRequest::default(), &[], measured);
    assert_eq!((report.confidence, report.host.needed_bytes, report.verdict), (FitConfidence::Measured, 3 * GIB, FitVerdict::Fits));
}

#[test]
fn what_others_hold_is_told_from_what_there_is_not() {
    let needed = needed(None).host.total();
    let mut busy = machine(needed / 2, None);
    busy.loaded_host_bytes = needed;
    let report = ask(&busy, FitRequest::default(), &[], None);
    assert_eq!((report.verdict, report.suggestions.fits_alone), (FitVerdict::DoesNotFit, true));
}

#[test]
fn a_gpu_without_memory_of_its_own_takes_the_machine_s() {
    let needed = needed(Some(DeviceLayers::All));
    let verdict = |host_free| {
        let mut machine = machine(host_free, Some(24 * GIB));
        machine.hardware.devices[0].unified_memory = true;
        ask(&machine, FitRequest::default(), &[], None).verdict
    };
    assert_eq!(verdict(2 * (needed.host.total() + needed.device.total())), FitVerdict::Fits);
    assert_eq!(verdict(needed.device.total()), FitVerdict::DoesNotFit);
}

#[test]
fn a_device_that_is_not_there_is_said_so() {
    let (reference, header) = ("file:/m/x.gguf".parse().unwrap(), header());
    let subject = FitSubject {
        reference: &reference,
        header: Some(&header),
        bytes: GIB,
        projector_bytes: 0,
        prompt_cache_bytes: 0,
        measured: None,
        variants: &[],
    };
    let request = FitRequest { gpu: Some(GpuSpec { backend: Backend::Metal, ..GpuSpec::default() }), ..FitRequest::default() };
    let refused = fit(&subject, &request, &machine(GIB, Some(GIB))).unwrap_err();
    assert_eq!(refused.to_string(), "this machine has no metal");
}

#[test]
fn of_a_model_without_a_header_the_length_is_taken() {
    let reference = "file:/m/x.gguf".parse().unwrap();
    let subject = FitSubject {
        reference: &reference,
        header: None,
        bytes: 8 * GIB,
        projector_bytes: 0,
        prompt_cache_bytes: 0,
        measured: None,
        variants: &[],
    };
    let report = fit(&subject, &FitRequest::default(), &machine(4 * GIB, None)).unwrap();
    assert_eq!((report.verdict, report.confidence), (FitVerdict::DoesNotFit, FitConfidence::Guessed));
}

#[test]
fn a_report_is_the_same_after_a_journey() {
    let report = ask(&machine(32 * GIB, Some(GIB)), FitRequest::default(), &[], None);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<FitReport>(&text).unwrap(), report);
}

#[test]
fn the_largest_good_number_is_found() {
    for limit in 0..20 {
        assert_eq!(largest(0, 16, |number| number <= limit), Some(limit.min(16)));
    }
    assert_eq!(largest(1, 16, |_| false), None);
    assert_eq!(largest(1, 0, |_| true), None);
}
