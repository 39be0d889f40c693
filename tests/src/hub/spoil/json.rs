//! Listings and manifests that lie, and JSON that is too much.

use serde_json::{Value, json};

use super::super::misbehaviour::Misbehaviour;

const WRONG_DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Changes what a listing (of either kind) or a manifest says.
pub(super) fn spoil_list(how: &Misbehaviour, value: &mut Value) {
    if let Some(layers) = value.get_mut("layers").and_then(Value::as_array_mut) {
        if let Some(first) = layers.first_mut() {
            spoil_layer(how, first);
        }
        if *how == Misbehaviour::WrongMediaType {
            value["mediaType"] = "application/vnd.nobody.knows+json".into();
        }
        return;
    }
    let list = if value.is_array() { Some(value) } else { value.get_mut("siblings") };
    let Some(entries) = list.and_then(Value::as_array_mut) else { return };
    if let Misbehaviour::HostileName(name) = how {
        let model = entries.iter().find(|entry| entry.get("lfs").is_some()).or(entries.first()).cloned();
        let Some(mut entry) = model else { return };
        let key = if entry.get("rfilename").is_some() { "rfilename" } else { "path" };
        entry[key] = name.as_str().into();
        entries.push(entry);
        return;
    }
    for entry in entries {
        spoil_entry(how, entry);
    }
}

fn spoil_entry(how: &Misbehaviour, entry: &mut Value) {
    let keys: &[&str] = if entry.get("rfilename").is_some() { &["blobId"] } else { &["oid"] };
    match how {
        Misbehaviour::WrongListedDigest => {
            for key in keys {
                entry[*key] = WRONG_DIGEST[..40].into();
            }
            if let Some(lfs) = entry.get_mut("lfs") {
                let key = if lfs.get("sha256").is_some() { "sha256" } else { "oid" };
                lfs[key] = WRONG_DIGEST.into();
            }
        }
        Misbehaviour::WrongListedSize(by) => set_size(entry, |size| json!(size.saturating_add_signed(*by))),
        Misbehaviour::AbsurdListedSize => set_size(entry, |_| json!(-1.5e300)),
        _ => {}
    }
}

fn set_size(entry: &mut Value, change: impl Fn(u64) -> Value) {
    let changed = change(entry["size"].as_u64().unwrap_or_default());
    if let Some(lfs) = entry.get_mut("lfs") {
        lfs["size"] = changed.clone();
    }
    entry["size"] = changed;
}

fn spoil_layer(how: &Misbehaviour, layer: &mut Value) {
    match how {
        Misbehaviour::WrongListedDigest => layer["digest"] = format!("sha256:{WRONG_DIGEST}").into(),
        Misbehaviour::HostileDigest(text) => layer["digest"] = text.as_str().into(),
        Misbehaviour::WrongListedSize(by) => {
            layer["size"] = layer["size"].as_u64().unwrap_or_default().saturating_add_signed(*by).into();
        }
        Misbehaviour::AbsurdListedSize => layer["size"] = json!(-1.5e300),
        Misbehaviour::WrongMediaType => layer["mediaType"] = "application/vnd.nobody.knows".into(),
        _ => {}
    }
}

/// JSON that is a list of this many MiB.
pub(super) fn huge(mib: u32) -> Vec<u8> {
    let entry = format!("{{\"rfilename\":\"{}\"}},", "x".repeat(1_024));
    let mut text = "{\"siblings\":[".to_owned();
    text.push_str(&entry.repeat(mib as usize * 1_024));
    text.push_str("{}]}");
    text.into_bytes()
}

/// JSON that is a list in a list in a list.
pub(super) fn deep(depth: u32) -> Vec<u8> {
    let depth = depth as usize;
    format!("{{\"siblings\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
}
