//! Makes the paths in an instance's configuration absolute, and sees to it that it names exactly one model. Works on
//! the tree, so that the typed value never holds a path that depends on where it came from.

use std::path::{Component, Path, PathBuf};

use super::error::ConfigFault;
use super::tree::{Node, Value, shorten};

/// Rewrites `model.path` and `engine.binary`; `folder` is the absolute folder of the file.
pub(super) fn instance_paths(tree: &mut Node, folder: &Path) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    faults.extend(one_model(tree));
    faults.extend(absolute(tree, &["model", "path"], folder));
    let binary = tree.find(&["engine", "binary"]);
    if let Some(Node { value: Value::Text(text), at }) = binary
        && !text.is_empty()
        && !text.contains('/')
    {
        let message = format!("`engine.binary` must be a path, found the bare name `{}`", shorten(text));
        let hint = "write the program's whole path, or leave the key out to have it looked for";
        faults.push(ConfigFault::new(*at, "engine.binary", message).with_hint(hint));
    } else {
        faults.extend(absolute(tree, &["engine", "binary"], folder));
    }
    faults
}

fn one_model(tree: &Node) -> Option<ConfigFault> {
    let model = tree.find(&["model"])?;
    let Value::Map(_) = model.value else { return None };
    match (tree.find(&["model", "ref"]), tree.find(&["model", "path"])) {
        (None, None) => Some(
            ConfigFault::new(
                tree.key_position(&["model"]),
                "model",
                "`model` names no model: one of `model.ref` and `model.path` must be given",
            )
            .with_hint("for example `path: /models/qwen3-8b-q4_k_m.gguf`"),
        ),
        (Some(_), Some(_)) => Some(
            ConfigFault::new(
                tree.key_position(&["model", "path"]),
                "model.path",
                "`model` names two models: only one of `model.ref` and `model.path` may be given",
            )
            .with_hint("take one of them out"),
        ),
        _ => None,
    }
}

/// Makes the path under a key absolute, without following links.
fn absolute(tree: &mut Node, keys: &[&str], folder: &Path) -> Option<ConfigFault> {
    let key = keys.join(".");
    let Some(Node { value: Value::Text(text), at }) = tree.find_mut(keys) else { return None };
    let fault = |message: String| ConfigFault::new(*at, key.clone(), message);
    if text.is_empty() {
        return Some(fault(format!("`{key}` is empty")));
    }
    if text.chars().any(char::is_control) {
        return Some(fault(format!("`{key}` holds control characters: `{}`", shorten(text))));
    }
    if text.starts_with('~') || text.starts_with('$') {
        return Some(
            fault(format!("`{key}` is `{}`: neither `~` nor variables are replaced here", shorten(text)))
                .with_hint("write the whole path, such as `/home/me/models/demo.gguf`"),
        );
    }
    if let Some((scheme @ ("file" | "hf" | "ollama"), _)) = text.split_once(':') {
        return Some(
            fault(format!("`{key}` must be a path, found the {scheme} reference `{}`", shorten(text)))
                .with_hint("give references with `model.ref`"),
        );
    }
    let path: PathBuf = folder.join(&*text).components().filter(|part| *part != Component::CurDir).collect();
    match path.into_os_string().into_string() {
        Ok(path) => *text = path,
        Err(_) => return Some(fault(format!("`{key}` starts at a folder whose name is not UTF-8")).with_hint("write the whole path")),
    }
    None
}
