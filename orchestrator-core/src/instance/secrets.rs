//! Secrets in the `env` of a configuration: handed to the server, and neither stored nor shown.
//!
//! What is a secret is told by the name of a variable; nobody can tell it by its value.

use super::InstanceSpec;

/// Stands where a secret is neither stored nor shown.
const MARK: &str = "(secret)";

/// A variable whose name ends like this holds most likely a secret.
const ENDINGS: [&str; 7] = ["TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIALS"];

/// Returns whether a variable of this name holds most likely a secret: `HF_TOKEN`, `api_key`, `PASSWORD`; not `MONKEY`.
pub(crate) fn is_secret_name(name: &[u8]) -> bool {
    ENDINGS.iter().any(|ending| {
        let start = name.len().wrapping_sub(ending.len());
        let ends = name.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(ending.as_bytes()));
        ends && (start == 0 || name.get(start - 1) == Some(&b'_'))
    })
}

impl InstanceSpec {
    /// Returns it as it may be stored and shown.
    #[must_use]
    pub(crate) fn without_secrets(&self) -> Self {
        let mut spec = self.clone();
        for (name, value) in &mut spec.env {
            if is_secret_name(name.as_bytes()) {
                MARK.clone_into(value);
            }
        }
        spec
    }

    /// Fills in the secrets that were not stored from what its file says now; those that it does not say are left out.
    #[must_use]
    pub(crate) fn with_secrets_of(mut self, configured: Option<&Self>) -> Self {
        self.env.retain(|name, value| {
            if value != MARK || !is_secret_name(name.as_bytes()) {
                return true;
            }
            let said = configured.and_then(|configured| configured.env.get(name));
            if let Some(said) = said {
                value.clone_from(said);
            }
            said.is_some()
        });
        self
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn spec(env: &serde_json::Value) -> InstanceSpec {
        serde_json::from_value(serde_json::json!({ "name": "demo", "model": { "ref": "file:/m.gguf" }, "env": env })).unwrap()
    }

    #[test]
    fn a_name_tells_a_secret() {
        for (name, expected) in [
            ("HF_TOKEN", true),
            ("api_key", true),
            ("KEY", true),
            ("AWS_SECRET", true),
            ("MONKEY", false),
            ("TOKENIZERS", false),
            ("OMP_NUM_THREADS", false),
            ("", false),
        ] {
            assert_eq!(is_secret_name(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn what_is_stored_has_no_secret_and_gets_it_back_from_the_file() {
        let said = spec(&serde_json::json!({ "HF_TOKEN": "hf_canary", "OTHER_KEY": "canary", "THREADS": "4" }));
        let stored = said.without_secrets();
        assert!(!serde_json::to_string(&stored).unwrap().contains("canary"));
        assert_eq!(stored.clone().with_secrets_of(Some(&said)), said);
        let later = spec(&serde_json::json!({ "HF_TOKEN": "new" }));
        let filled = stored.with_secrets_of(Some(&later));
        assert_eq!(
            filled.env.into_iter().collect::<Vec<_>>(),
            [("HF_TOKEN".to_owned(), "new".to_owned()), ("THREADS".to_owned(), "4".to_owned())]
        );
    }
}
