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
