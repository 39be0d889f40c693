//! The verdict.

use std::num::NonZeroU32;

use super::suggestions::suggest;
use super::{DeviceFit, FitConfidence, FitError, FitMachine, FitNumbers, FitReport, FitRequest, FitSubject, FitVerdict, narrowed};
use crate::hardware::{Device, place_of};
use crate::instance::spec::Backend;
use crate::memory::{DeviceLayers, LoadSettings, MemoryEstimate, USUAL_CONTEXT, context_of, estimate, estimate_by_length};

/// What an estimate may be wrong by, as a part of the whole: a fiftieth.
const UNCERTAIN_PART: u64 = 50;
/// What a GPU is left besides: other programs and the screen take some now and then.
const DEVICE_MARGIN: u64 = 128 * 1024 * 1024;

/// Says whether a model fits.
pub fn fit(subject: &FitSubject<'_>, request: &FitRequest, machine: &FitMachine) -> Result<FitReport, FitError> {
    let device = choose_device(request, machine)?;
    let question = Question { subject, request, machine, device };
    let layers = question.layer_count();
    let placement = question.place();
    let settings = question.settings(placement.layers);
    let Judged { estimate, host, device: device_numbers } = placement.judged;
    let context = subject
        .header
        .map_or_else(|| settings.context.map_or(USUAL_CONTEXT, |context| context.get().into()), |header| context_of(header, &settings));
    let confidence = match (subject.measured, subject.header) {
        (Some(_), _) if question.is_as_asked(placement.layers) => FitConfidence::Measured,
        (_, Some(_)) => FitConfidence::Estimated,
        (_, None) => FitConfidence::Guessed,
    };
    let device = device.zip(device_numbers).map(|(device, numbers)| DeviceFit {
        backend: device.backend,
        index: device.index,
        name: device.name.clone(),
        numbers,
        layers: placement.layers.unwrap_or(0),
    });
    let suggestions = suggest(&question, &placement);
    Ok(FitReport {
        reference: subject.reference.clone(),
        verdict: placement.verdict,
        confidence,
        context: narrowed(context),
        parallel: settings.parallel.get(),
        layers: layers.map(narrowed),
        host,
        device,
        breakdown: estimate,
        prompt_cache_bytes: settings.prompt_cache_bytes,
        suggestions,
        notes: Vec::new(),
    })
}

/// Finds the GPU that is asked about, if one is.
fn choose_device<'a>(request: &FitRequest, machine: &'a FitMachine) -> Result<Option<&'a Device>, FitError> {
    let devices = &machine.hardware.devices;
    let free = |device: &&Device| device.memory_available_bytes();
    let Some(gpu) = &request.gpu else { return Ok(devices.iter().max_by_key(free)) };
    if gpu.backend == Backend::Cpu {
        return Ok(None);
    }
    let found = match gpu.device_id {
        Some(id) => usize::try_from(place_of(devices, gpu.backend, id)).ok().and_then(|place| devices.get(place)),
        // Vulkan drives every GPU, whatever else does.
        None => devices.iter().filter(|device| device.backend == gpu.backend || gpu.backend == Backend::Vulkan).max_by_key(free),
    };
    found.map(Some).ok_or_else(|| FitError::NoSuchDevice {
        wanted: gpu.device_id.map_or_else(|| gpu.backend.as_str().to_owned(), |id| format!("{}:{id}", gpu.backend.as_str())),
        present: devices.iter().map(|device| format!("{}:{} ({})", device.backend.as_str(), device.index, device.name)).collect(),
    })
}

/// One question, with what it is about.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) subject: &'a FitSubject<'a>,
    pub(super) request: &'a FitRequest,
    pub(super) machine: &'a FitMachine,
    pub(super) device: Option<&'a Device>,
}

/// Where the layers are put, and what comes of it.
pub(super) struct Placement {
    pub(super) verdict: FitVerdict,
    /// How many layers the GPU is given, the output among them; `None` without a GPU.
    pub(super) layers: Option<u32>,
    pub(super) judged: Judged,
}

/// What is needed for one placement.
#[derive(Clone, Copy)]
pub(super) struct Judged {
    pub(super) estimate: MemoryEstimate,
    pub(super) host: FitNumbers,
    pub(super) device: Option<FitNumbers>,
}

impl Judged {
    fn has_room(&self) -> bool {
        self.host.has_room() && self.device.is_none_or(|numbers| numbers.has_room())
    }

    pub(super) fn has_margin(&self) -> bool {
        self.host.has_margin() && self.device.is_none_or(|numbers| numbers.has_margin())
    }
}

impl Question<'_> {
    pub(super) fn layer_count(&self) -> Option<u64> {
        self.subject.header.and_then(crate::model::ModelHeader::layer_count)
    }

    /// Returns how many layers there are to be placed: the model's and its output.
    pub(super) fn placeable(&self) -> u32 {
        self.layer_count().map_or(1, |layers| narrowed(layers.saturating_add(1)))
    }

    pub(super) fn settings(&self, layers: Option<u32>) -> LoadSettings {
        let FitSubject { projector_bytes, prompt_cache_bytes, .. } = *self.subject;
        LoadSettings { projector_bytes, prompt_cache_bytes, ..self.request.settings(layers.map(DeviceLayers::Some)) }
    }

    /// Says whether a placement is the one that a measurement was made with.
    fn is_as_asked(&self, layers: Option<u32>) -> bool {
        match (layers, self.request.layers()) {
            (None, _) => true,
            (Some(layers), Some(asked)) => layers == asked.min(self.placeable()),
            (Some(layers), None) => layers == self.placeable(),
        }
    }

    /// Puts the layers where they fit.
    pub(super) fn place(&self) -> Placement {
        let context = self.request.context;
        if self.device.is_none() {
            let judged = self.judge(None, context);
            return Placement { verdict: verdict_of(&judged, 0), layers: None, judged };
        }
        let all = self.placeable();
        if let Some(asked) = self.request.layers() {
            let layers = asked.min(all);
            let judged = self.judge(Some(layers), context);
            return Placement { verdict: verdict_of(&judged, all - layers), layers: Some(layers), judged };
        }
        let everything = self.judge(Some(all), context);
        if everything.has_margin() {
            return Placement { verdict: FitVerdict::Fits, layers: Some(all), judged: everything };
        }
        if self.subject.header.is_some_and(|header| header.format() == crate::model::ModelFormat::Gguf) {
            // With more layers on the GPU there is less room on it and more on the host: the most that leave a margin on
            // the GPU are the best that can be had for the host, too.
            let most = largest(0, all, |layers| self.judge(Some(layers), context).device.is_none_or(|numbers| numbers.has_margin()));
            if let Some(layers) = most {
                let judged = self.judge(Some(layers), context);
                if judged.has_margin() && !(everything.has_room() && layers == 0) {
                    return Placement { verdict: verdict_of(&judged, all - layers), layers: Some(layers), judged };
                }
            }
        }
        let verdict = if everything.has_room() { FitVerdict::Tight } else { FitVerdict::DoesNotFit };
        Placement { verdict, layers: Some(all), judged: everything }
    }

    /// Compares what one placement needs with what there is.
    pub(super) fn judge(&self, layers: Option<u32>, context: Option<NonZeroU32>) -> Judged {
        let mut settings = self.settings(layers);
        settings.context = context;
        let estimate = match self.subject.header {
            Some(header) => estimate(header, &settings),
            None => estimate_by_length(self.subject.bytes, &settings),
        };
        let is_measured = self.is_as_asked(layers) && settings.context == self.request.context;
        let measured = self.subject.measured.filter(|_| is_measured);
        let host = measured.map_or_else(|| estimate.host.total(), |measured| measured.host);
        let hardware = &self.machine.hardware;
        let uncertain = |needed: u64| if measured.is_some() { 0 } else { needed / UNCERTAIN_PART };
        let device = self.device.map(|device| {
            let needed = measured.map_or_else(|| estimate.device.total(), |measured| measured.device);
            FitNumbers {
                needed_bytes: needed,
                margin_bytes: if needed == 0 { 0 } else { uncertain(needed).saturating_add(DEVICE_MARGIN) },
                available_bytes: device.memory_available_bytes(),
                total_bytes: device.memory_total_bytes,
            }
        });
        // A GPU without memory of its own takes the machine's.
        let shared = device.filter(|_| self.device.is_some_and(|device| device.unified_memory)).map_or(0, |numbers| numbers.needed_bytes);
        let host = FitNumbers {
            needed_bytes: host.saturating_add(shared),
            margin_bytes: uncertain(host).saturating_add(settings.prompt_cache_bytes),
            available_bytes: hardware.memory_available_bytes,
            total_bytes: hardware.memory_total_bytes,
        };
        Judged { estimate, host, device }
    }
}

/// Judges a placement with so many layers on the host that could be on a GPU.
fn verdict_of(judged: &Judged, on_host: u32) -> FitVerdict {
    match (judged.has_margin(), judged.has_room(), on_host) {
        (true, _, 0) => FitVerdict::Fits,
        (true, _, layers) => FitVerdict::FitsWithLayersOnHost { layers },
        (false, true, _) => FitVerdict::Tight,
        (false, false, _) => FitVerdict::DoesNotFit,
    }
}

/// Finds the largest number from `least` to `most` that is good, where all below a good one are good.
pub(super) fn largest(least: u32, most: u32, is_good: impl Fn(u32) -> bool) -> Option<u32> {
    if least > most || !is_good(least) {
        return None;
    }
    let (mut good, mut bound) = (least, most);
    while good < bound {
        let middle = bound - (bound - good) / 2;
        if is_good(middle) {
            good = middle;
        } else {
            bound = middle - 1;
        }
    }
    Some(good)
}
