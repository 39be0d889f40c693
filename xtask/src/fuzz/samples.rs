//! What mutations begin with, and what they put in.

use std::fs;
use std::path::Path;

use orchestrator_core::model::demo::{DemoModel, write_demo_model};

use crate::shell::{TaskResult, root, target_dir};

/// Pieces that mean something to one reader or another.
pub(super) const PIECES: [&str; 56] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "'",
    "\\",
    "\\u",
    "\\ud83d",
    "\\\"",
    "`",
    "```json\n",
    "```",
    "//",
    "/*",
    "*/",
    "#",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\u{feff}",
    "\u{a0}",
    "“",
    "”",
    "：",
    "，",
    "true",
    "None",
    "null",
    "NaN",
    "-0",
    "1e999",
    "9007199254740993",
    "0.1",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "[TOOL_CALLS]",
    "<|channel|>final<|message|>",
    "\"v\":1",
    "\"type\":\"tool_calls\"",
    "\"calls\":[",
    "\"name\":\"f\"",
    "\"arguments\":{",
    "\"$ref\":\"#\"",
    "\"anyOf\":[",
    "\"pattern\":\"",
    "\"properties\":{",
    "- ",
    "&a ",
    "*a",
    "!!str ",
];

/// Texts as models write them.
pub(super) fn texts() -> TaskResult<Vec<Vec<u8>>> {
    let written = [
        "Sure!\n```json\n{v: 1, type: 'tool_calls', calls: [{name: 'g', arguments: {a: {}, b: [1, 2.5, None,]}}]}\n```",
        "<think>{\"v\":1,\"type\":\"final\",\"content\":\"no\"}</think>\n{\"v\":1,\"type\":\"final\",\"content\":\"yes\"}",
        "{\"v\":1,\"type\":\"tool_calls\",\"calls\":[{\"name\":\"f\",\"arguments\":{\"text\":\"it's \\\"so\\\" \\u00e9 \u{1f600}\"}}]",
        "\"{\\\"v\\\":1,\\\"type\\\":\\\"final\\\",\\\"content\\\":\\\"x\\\"}\"",
        "{“v”：1，“type”: “final”, /* why */ “content”: “a”} // end",
        "{\"a\": {\"b\": [[], {}, \"\\ud83d\\ude00\", -1e-7, true, null]}}",
        "{'it''s': 'a', \"k\" 1 \"l\": 2",
    ];
    let mut samples: Vec<Vec<u8>> = written.iter().map(|text| text.as_bytes().to_vec()).collect();
    samples.extend(files(&root().join("orchestrator-toolcall/tests/envelopes/v1"))?);
    Ok(samples)
}

pub(super) fn schemas() -> TaskResult<Vec<Vec<u8>>> {
    let written = [
        r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/a"}]}}}"##,
        r#"{"type":["string","null"],"minLength":2,"maxLength":9999,"pattern":"^a[b-z]*$","format":"date"}"#,
        r#"{"if":{"type":"number"},"then":{"multipleOf":3},"not":{"const":4},"allOf":[{"minimum":0},{"exclusiveMaximum":1e9}]}"#,
        r#"{"type":"array","prefixItems":[{"enum":[1,"x",null]}],"items":false,"minItems":1,"maxItems":100000,"uniqueItems":true}"#,
    ];
    let mut samples: Vec<Vec<u8>> = written.iter().map(|text| text.as_bytes().to_vec()).collect();
    samples.extend(files(&root().join("schemas"))?);
    Ok(samples)
}

pub(super) fn configs() -> TaskResult<Vec<Vec<u8>>> {
    let mut samples = files(&root().join("tests/configs/valid"))?;
    samples.extend(files(&root().join("tests/configs/invalid"))?);
    Ok(samples)
}

/// References to models, of every kind.
#[expect(clippy::unnecessary_wraps, reason = "called like those that read files")]
pub(super) fn references() -> TaskResult<Vec<Vec<u8>>> {
    let written = [
        "hf:google/gemma-2b-it",
        "hf:owner/repo@refs/pr/1:sub/model-Q8_0-00001-of-00003.gguf",
        "hf:owner/repo:UD-Q4_K_XL",
        "ollama:qwen3:0.6b",
        "ollama:someone/model:latest",
        "file:/models/a b.gguf",
        "/models/../x.gguf",
    ];
    Ok(written.iter().map(|text| text.as_bytes().to_vec()).collect())
}

/// Answers of the Hugging Face hub: a repository of each kind, and a search.
#[expect(clippy::unnecessary_wraps, reason = "called like those that read files")]
pub(super) fn listings() -> TaskResult<Vec<Vec<u8>>> {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let large = "b".repeat(64);
    let file = |name: &str| format!(r#"{{"rfilename":"{name}","blobId":"{commit}","size":134,"lfs":{{"sha256":"{large}","size":9999}}}}"#);
    let repository = |names: &[&str]| {
        let files: Vec<String> = names.iter().map(|name| file(name)).collect();
        let card = r#""gated":"auto","cardData":{"license":"other","license_name":"gemma"},"tags":["license:mit"]"#;
        format!(r#"{{"id":"a/b","sha":"{commit}",{card},"gguf":{{"architecture":"llama"}},"siblings":[{}]}}"#, files.join(","))
    };
    let written = [
        repository(&[
            "m-Q4_K_M.gguf",
            "sub/m-UD-Q8_0-00001-of-00002.gguf",
            "sub/m-UD-Q8_0-00002-of-00002.gguf",
            "mmproj-F16.gguf",
            "README.md",
        ]),
        repository(&[
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
        ]),
        repository(&["model.gguf", "MODEL.gguf", "a/../../x", "pytorch_model.bin", "adapter_config.json"]),
        r#"[{"id":"a/b-GGUF","modelId":"a/b-GGUF","downloads":5,"likes":2,"tags":["gguf"],"siblings":[{"rfilename":"b-Q8_0.gguf"}]}]"#
            .to_owned(),
    ];
    Ok(written.into_iter().map(String::into_bytes).collect())
}

/// A model's header, after ten bytes of claims.
pub(super) fn ggufs() -> TaskResult<Vec<Vec<u8>>> {
    let file = target_dir().join("fuzz-demo.gguf");
    write_demo_model(&file, &DemoModel::default()).map_err(|error| format!("could not write the demo model: {error}"))?;
    let model = fs::read(&file).map_err(|error| format!("could not read `{}`: {error}", file.display()))?;
    let header = |claims: [u8; 10]| claims.iter().chain(model.iter().take(16 * 1024)).copied().collect();
    let whole = [&[0; 10], model.as_slice()].concat();
    Ok(vec![header([0; 10]), header([3, 0, 0, 0, 16, 0, 0, 0, 0, 0]), whole])
}

/// The documents of a safetensors model, after nine bytes of claims.
#[expect(clippy::unnecessary_wraps, reason = "others read files")]
pub(super) fn safetensors() -> TaskResult<Vec<Vec<u8>>> {
    let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}"#;
    let index =
        r#"{"metadata":{"total_size":16},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
    let config = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","num_hidden_layers":2,"num_attention_heads":8,"hidden_size":64,"auto_map":{"AutoModel":"m.M"},"layer_types":["sliding_attention","full_attention"],"text_config":{"head_dim":8}}"#;
    let length = (header.len() as u64).to_le_bytes();
    let parts: [&[u8]; 4] = [&[0; 9], &length, header.as_bytes(), &[7; 16]];
    let after_claims = |text: &str| [&[0; 9], text.as_bytes()].concat();
    Ok(vec![parts.concat(), after_claims(index), after_claims(config)])
}

/// What a registry of models, its pages and whoever pulls from it say.
#[expect(clippy::unnecessary_wraps, reason = "called like those that read files")]
pub(super) fn registry() -> TaskResult<Vec<Vec<u8>>> {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let layer = |kind: &str, digit, size: u64| {
        format!(r#"{{"mediaType":"application/vnd.ollama.image.{kind}","digest":"{}","size":{size}}}"#, digest(digit))
    };
    let layers = [layer("model", "a", 5_000_000_000), layer("license", "b", 11_000), layer("params", "c", 90), layer("projector", "d", 9)];
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{},"layers":[{}]}}"#,
        layer("config", "e", 400),
        layers.join(",")
    );
    let others = [
        r#"{"stop":["<|im_end|>","\n"],"temperature":0.6,"top_k":20,"num_ctx":8192,"num_predict":-1}"#,
        r#"Bearer realm="https://registry.example/token",service="registry",scope="repository:library/x:pull""#,
        "{\"status\":\"pulling aa\",\"digest\":\"sha256:aa\",\"total\":100,\"completed\":40}\n{\"error\":\"no\"}\n",
        r#"<li x-test-model><a href="/library/qwen3"><p class="x">Small &amp; large.</p><span x-test-pull-count>11.3M</span></a>"#,
        "# Modelfile\nFROM /usr/share/ollama/.ollama/models/blobs/sha256-00\nTEMPLATE \"\"\"x\"\"\"\n",
        "\u{1b}[2Kpulling 7f4030143c1c:  45% 234 MB/522 MB",
        r#"{"model_format":"gguf","model_family":"qwen3","file_type":"Q4_K_M"}"#,
    ];
    Ok(others.iter().map(|text| text.as_bytes().to_vec()).chain([manifest.into_bytes()]).collect())
}

/// The files in a folder and the folders in it, in the order of their names.
fn files(folder: &Path) -> TaskResult<Vec<Vec<u8>>> {
    let failed = |error: std::io::Error| format!("could not read `{}`: {error}", folder.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort();
    let mut samples = Vec::new();
    for path in entries {
        if path.is_dir() {
            samples.extend(files(&path)?);
        } else {
            samples.push(fs::read(&path).map_err(failed)?);
        }
    }
    Ok(samples)
}
