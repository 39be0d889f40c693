//! What decides about an instance's memory, as llama.cpp understands its settings, arguments and variables. Pure.
//!
//! Arguments win over variables, later ones over earlier ones, and what cannot be understood is left as it was: the
//! engine will say what is wrong with it.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use orchestrator_core::instance::InstanceSpec;
use orchestrator_core::instance::spec::Backend;
use orchestrator_core::memory::{DeviceLayers, FlashAttention, LoadSettings};

use super::plan::PROMPT_CACHE_MIB;

const MIB: u64 = 1024 * 1024;
/// What the engine's own prompt cache may take where no bound is set, in MiB.
const NO_BOUND_MIB: u64 = 8192;

/// An option of the engine that matters: its names, its variable, and what it sets.
struct Setting {
    names: &'static [&'static str],
    variable: &'static str,
    takes: Takes,
}

enum Takes {
    /// A value.
    Value(fn(&mut LoadSettings, &str)),
    /// None: its presence says it.
    Nothing(fn(&mut LoadSettings, On)),
}

/// Whether something is switched on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Yes,
    No,
}

const SETTINGS: [Setting; 16] = [
    Setting { names: &["-c", "--ctx-size"], variable: "LLAMA_ARG_CTX_SIZE", takes: Takes::Value(set_context) },
    Setting { names: &["-np", "--parallel"], variable: "LLAMA_ARG_N_PARALLEL", takes: Takes::Value(set_parallel) },
    Setting { names: &["-ctk", "--cache-type-k"], variable: "LLAMA_ARG_CACHE_TYPE_K", takes: Takes::Value(set_key_type) },
    Setting { names: &["-ctv", "--cache-type-v"], variable: "LLAMA_ARG_CACHE_TYPE_V", takes: Takes::Value(set_value_type) },
    Setting { names: &["-fa", "--flash-attn"], variable: "LLAMA_ARG_FLASH_ATTN", takes: Takes::Value(set_flash_attention) },
    Setting { names: &["-b", "--batch-size"], variable: "LLAMA_ARG_BATCH", takes: Takes::Value(set_batch) },
    Setting { names: &["-ub", "--ubatch-size"], variable: "LLAMA_ARG_UBATCH", takes: Takes::Value(set_micro_batch) },
    Setting { names: &["-cram", "--cache-ram"], variable: "LLAMA_ARG_CACHE_RAM", takes: Takes::Value(set_prompt_cache) },
    Setting { names: &["-ngl", "--gpu-layers", "--n-gpu-layers"], variable: "LLAMA_ARG_N_GPU_LAYERS", takes: Takes::Value(set_layers) },
    Setting { names: &["-mm", "--mmproj"], variable: "LLAMA_ARG_MMPROJ", takes: Takes::Value(set_projector) },
    Setting { names: &["-kvu", "--kv-unified"], variable: "LLAMA_ARG_KV_UNIFIED", takes: Takes::Nothing(set_unified) },
    Setting { names: &["-no-kvu", "--no-kv-unified"], variable: "", takes: Takes::Nothing(|settings, _| settings.unified = false) },
    Setting {
        names: &["--swa-full"],
        variable: "LLAMA_ARG_SWA_FULL",
        takes: Takes::Nothing(|settings, on| settings.whole_window = on == On::Yes),
    },
    Setting { names: &["-nkvo", "--no-kv-offload"], variable: "", takes: Takes::Nothing(|settings, _| settings.cache_on_host = true) },
    Setting {
        names: &["-kvo", "--kv-offload"],
        variable: "LLAMA_ARG_KV_OFFLOAD",
        takes: Takes::Nothing(|settings, on| settings.cache_on_host = on == On::No),
    },
    Setting { names: &["--no-mmproj"], variable: "", takes: Takes::Nothing(|settings, _| settings.projector = None) },
];

/// Reads what matters for the memory of an instance.
pub(super) fn load_settings(spec: &InstanceSpec) -> LoadSettings {
    let mut settings = LoadSettings::of_spec(spec);
    set_prompt_cache(&mut settings, PROMPT_CACHE_MIB);
    for setting in SETTINGS.iter().filter(|setting| !setting.variable.is_empty()) {
        if let Some(value) = spec.env.get(setting.variable) {
            match setting.takes {
                Takes::Value(set) => set(&mut settings, value),
                Takes::Nothing(set) => set(&mut settings, switched(value)),
            }
        }
    }
    let mut arguments = spec.args.iter();
    while let Some(argument) = arguments.next() {
        let (name, given) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        let Some(setting) = SETTINGS.iter().find(|setting| setting.names.contains(&name)) else { continue };
        match setting.takes {
            Takes::Nothing(set) => set(&mut settings, On::Yes),
            Takes::Value(set) => {
                if let Some(value) = given.or_else(|| arguments.next().map(String::as_str)) {
                    set(&mut settings, value);
                }
            }
        }
    }
    if spec.gpu.backend == Backend::Cpu {
        settings.layers = None;
    }
    settings
}

/// Returns what the engine may fill with prompts it has seen, as we start it.
pub(super) fn prompt_cache_bytes() -> u64 {
    let mut settings = LoadSettings::default();
    set_prompt_cache(&mut settings, PROMPT_CACHE_MIB);
    settings.prompt_cache_bytes
}

fn switched(value: &str) -> On {
    if matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "off" | "disabled") { On::No } else { On::Yes }
}

fn set_context(settings: &mut LoadSettings, value: &str) {
    if let Ok(value) = value.parse() {
        // 0 is what the model was trained for: the engine's own choice.
        settings.context = NonZeroU32::new(value);
    }
}

fn set_parallel(settings: &mut LoadSettings, value: &str) {
    match value.parse::<i32>() {
        // Its own choice: four that share one cache.
        Ok(-1) => {
            settings.parallel = NonZeroU16::MIN.saturating_add(3);
            settings.unified = true;
        }
        Ok(value) => settings.parallel = u16::try_from(value).ok().and_then(NonZeroU16::new).unwrap_or(settings.parallel),
        Err(_) => {}
    }
}

fn set_key_type(settings: &mut LoadSettings, value: &str) {
    settings.key_type = value.parse().unwrap_or(settings.key_type);
}

fn set_value_type(settings: &mut LoadSettings, value: &str) {
    settings.value_type = value.parse().unwrap_or(settings.value_type);
}

fn set_flash_attention(settings: &mut LoadSettings, value: &str) {
    settings.flash_attention = match value.to_ascii_lowercase().as_str() {
        "auto" | "-1" => FlashAttention::Auto,
        other if switched(other) == On::No => FlashAttention::Off,
        _ => FlashAttention::On,
    };
}

fn set_batch(settings: &mut LoadSettings, value: &str) {
    settings.batch = value.parse().unwrap_or(settings.batch);
}

fn set_micro_batch(settings: &mut LoadSettings, value: &str) {
    settings.micro_batch = value.parse().unwrap_or(settings.micro_batch);
}

fn set_prompt_cache(settings: &mut LoadSettings, value: &str) {
    settings.prompt_cache_bytes = match value.parse::<i64>() {
        Ok(value) => u64::try_from(value).unwrap_or(NO_BOUND_MIB).saturating_mul(MIB),
        Err(_) => settings.prompt_cache_bytes,
    };
}

fn set_layers(settings: &mut LoadSettings, value: &str) {
    settings.layers = match value {
        "auto" | "all" => Some(DeviceLayers::All),
        number => number.parse().ok().map(DeviceLayers::Some).or(settings.layers),
    };
}

fn set_unified(settings: &mut LoadSettings, on: On) {
    settings.unified = on == On::Yes;
}

fn set_projector(settings: &mut LoadSettings, value: &str) {
    settings.projector = Some(PathBuf::from(value));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::memory::CacheType;

    use super::*;

    fn read(json: &serde_json::Value) -> LoadSettings {
        let mut spec = serde_json::json!({"name": "demo", "model": {"path": "/m/demo.gguf"}});
        spec.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        load_settings(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn arguments_are_read_in_every_form() {
        let settings = read(&serde_json::json!({"args": [
            "-ctk", "q8_0", "--cache-type-v=q4_0", "-fa", "off", "-ub", "256", "-np", "3", "-kvu", "-c", "12000", "--embeddings", "--swa-full"
        ]}));
        assert_eq!((settings.key_type, settings.value_type), (CacheType::Q8, CacheType::Q4));
        assert_eq!((settings.flash_attention, settings.micro_batch), (FlashAttention::Off, 256));
        assert_eq!((settings.parallel.get(), settings.unified, settings.whole_window), (3, true, true));
        assert_eq!(settings.context.unwrap().get(), 12_000);
    }

    #[test]
    fn arguments_win_over_variables_and_these_over_settings() {
        let settings = read(&serde_json::json!({
            "model": {"path": "/m/demo.gguf", "context_size": 1000}, "server": {"parallel": 2},
            "env": {"LLAMA_ARG_CTX_SIZE": "2000", "LLAMA_ARG_N_PARALLEL": "4", "LLAMA_ARG_KV_UNIFIED": "true"}, "args": ["-c", "3000"]
        }));
        assert_eq!((settings.context.unwrap().get(), settings.parallel.get(), settings.unified), (3000, 4, true));
    }

    #[test]
    fn what_cannot_be_understood_changes_nothing() {
        let usual = read(&serde_json::json!({}));
        assert_eq!(usual.prompt_cache_bytes, 256 * MIB);
        assert_eq!(read(&serde_json::json!({"args": ["-ctk", "q9", "-ub", "many", "-np", "0", "-c", "-1", "-ub"]})), usual);
    }

    #[test]
    fn layers_matter_only_where_there_is_a_gpu() {
        assert_eq!(read(&serde_json::json!({"args": ["-ngl", "10"]})).layers, None);
        let on_gpu = read(&serde_json::json!({"gpu": {"backend": "vulkan"}, "args": ["-ngl", "10", "-nkvo"]}));
        assert_eq!((on_gpu.layers, on_gpu.cache_on_host), (Some(DeviceLayers::Some(10)), true));
    }
}
