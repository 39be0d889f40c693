//! What the hub means when it does not give what it was asked for, in words that help.
//!
//! The hub says it in headers (`X-Error-Code`, `X-Error-Message`), and not always plainly: for a repository that is not
//! there it answers 401 to those it does not know, just as for a private one.

use orchestrator_core::model::ModelReference;
use orchestrator_core::provider::ProviderError;

use super::choose::ChoiceError;
use super::listing::clean;
use crate::download::{DownloadError, SmallAnswer};

/// What was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked<'a> {
    /// By which reference.
    pub(super) reference: &'a ModelReference,
    /// `owner/repo`.
    pub(super) repository: &'a str,
    /// The branch, tag or commit.
    pub(super) revision: &'a str,
    /// The address of the hub.
    pub(super) hub: String,
    /// Whether a token was sent.
    pub(super) has_token: bool,
}

/// What the hub says of a token that it does not know.
const BAD_TOKEN: &str = "Invalid credentials in Authorization header";

/// Whether an answer says that there is no such revision.
pub(super) fn is_about_revision(answer: &SmallAnswer) -> bool {
    kind_of(answer) == Refusal::Revision
}

/// Whether an answer may mean that there is no such repository.
pub(super) fn is_about_repository(answer: &SmallAnswer) -> bool {
    kind_of(answer) == Refusal::Repository
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The token is not known, or not any more.
    Token,
    /// The licence has to be accepted first.
    Gate,
    /// There is no such repository, or it is private.
    Repository,
    /// There is no such revision.
    Revision,
    /// There is no such file.
    Entry,
    /// It was taken away by the hub.
    Disabled,
    /// We may not.
    Forbidden,
    /// Something else.
    Other,
}

fn kind(status: u16, code: Option<&str>, message: Option<&str>) -> Refusal {
    match (status, code) {
        (401, _) if message.is_some_and(|message| message.contains(BAD_TOKEN)) => Refusal::Token,
        (_, Some("GatedRepo")) => Refusal::Gate,
        (_, Some("RevisionNotFound")) => Refusal::Revision,
        (_, Some("EntryNotFound")) => Refusal::Entry,
        (_, Some("RepoNotFound")) | (401 | 404, _) => Refusal::Repository,
        (_, Some("DisabledRepo")) | (451, _) => Refusal::Disabled,
        (403, _) if message.is_some_and(|message| message.contains("is disabled")) => Refusal::Disabled,
        (403, _) => Refusal::Forbidden,
        _ => Refusal::Other,
    }
}

fn kind_of(answer: &SmallAnswer) -> Refusal {
    let (code, message) = (header(answer, "x-error-code"), header(answer, "x-error-message"));
    kind(answer.status.as_u16(), code.as_deref(), message.as_deref())
}

fn header(answer: &SmallAnswer, name: &str) -> Option<String> {
    clean(answer.headers.get(name)?.to_str().ok()?)
}

/// Explains an answer that is no success.
pub(super) fn refused(asked: &Asked<'_>, answer: SmallAnswer, choices: Vec<String>, nearest: Vec<String>) -> ProviderError {
    let message = header(&answer, "x-error-message");
    let reference = asked.reference.clone();
    match kind_of(&answer) {
        Refusal::Revision => ProviderError::PartNotFound { reference, what: format!("a revision `{}`", asked.revision), choices },
        Refusal::Entry => ProviderError::PartNotFound { reference, what: "a file".to_owned(), choices },
        // To those it does not know the hub does not say whether it is there.
        Refusal::Repository if nearest.is_empty() && !asked.has_token => ProviderError::NotShown { reference, hint: not_shown(asked) },
        Refusal::Repository => ProviderError::NotFound { reference, nearest },
        refusal @ (Refusal::Token | Refusal::Gate | Refusal::Disabled | Refusal::Forbidden) => denied(asked, refusal, message),
        Refusal::Other => match answer.successful() {
            Err(error) => error.into_provider_error(asked.reference, &asked.hub),
            Ok(answer) => ProviderError::Source {
                source_name: asked.hub.clone(),
                reason: format!("it answered {}", answer.status),
                hint: None,
                retry_after: None,
            },
        },
    }
}

fn not_shown(asked: &Asked<'_>) -> String {
    format!("check the spelling at {}/{}; for a private model, {}", asked.hub, asked.repository, LOG_IN)
}

/// How the hub gets to know us.
const LOG_IN: &str = "set `HF_TOKEN` or log in with `hf auth login` (or `huggingface-cli login`), whose token file is read";

fn denied(asked: &Asked<'_>, refusal: Refusal, message: Option<String>) -> ProviderError {
    let page = format!("{}/{}", asked.hub, asked.repository);
    let said = message.map(|message| format!(" (the hub says: {message})")).unwrap_or_default();
    let (reason, hint) = match refusal {
        Refusal::Token => (
            "the hub does not know the token: it was revoked, has expired, or was copied wrongly".to_owned(),
            format!("make a new token at {}/settings/tokens and set `HF_TOKEN`, or log in again with `hf auth login`", asked.hub),
        ),
        Refusal::Gate if asked.has_token => (
            "its makers have not let in the account of this token yet".to_owned(),
            format!(
                "open {page}, accept the licence, and try again once access was granted; a fine-grained token also needs the right to read gated repositories"
            ),
        ),
        Refusal::Gate => (
            "its makers give it only to those who have accepted its licence".to_owned(),
            format!("open {page}, accept the licence, then {LOG_IN}"),
        ),
        Refusal::Disabled => ("the hub has taken it away".to_owned(), format!("see {page}")),
        _ => (format!("the hub forbids it{said}"), format!("see {page}; the token may lack the right to read this repository")),
    };
    ProviderError::AccessDenied { reference: asked.reference.clone(), reason, hint }
}

/// Explains why a file was not fetched. The listing of a gated repository is public; only its files are not.
pub(super) fn failed(asked: &Asked<'_>, gated: bool, error: DownloadError) -> ProviderError {
    let (status, message) = match &error {
        DownloadError::Unauthorized { message, .. } => (401, message.clone()),
        DownloadError::Forbidden { message, .. } => (403, message.clone()),
        _ => return error.into_provider_error(asked.reference, &asked.hub),
    };
    let code = gated.then_some("GatedRepo");
    match kind(status, code, message.as_deref()) {
        Refusal::Repository if !asked.has_token => ProviderError::NotShown { reference: asked.reference.clone(), hint: not_shown(asked) },
        Refusal::Repository => ProviderError::NotFound { reference: asked.reference.clone(), nearest: Vec::new() },
        refusal => denied(asked, refusal, message),
    }
}

/// Explains why no files could be chosen.
pub(super) fn unchosen(reference: &ModelReference, error: ChoiceError) -> ProviderError {
    let reference = reference.clone();
    let named =
        |selectors: Vec<String>| selectors.into_iter().map(|selector| format!("`{}`", with_selector(&reference, &selector))).collect();
    match error {
        ChoiceError::Missing { what, choices } => {
            let choices = choices.into_iter().map(|choice| format!("`{choice}`")).collect();
            ProviderError::PartNotFound { reference, what, choices }
        }
        ChoiceError::Ambiguous { choices } => ProviderError::Ambiguous { choices: named(choices), reference },
        ChoiceError::PartMissing { name } => ProviderError::Refused {
            reference,
            reason: format!("its file `{name}` is missing at the source"),
            hint: Some("the upload may not be finished: try again later, or choose another quantisation".to_owned()),
        },
        ChoiceError::Refused { reason, hint } => ProviderError::Refused { reference, reason, hint },
    }
}

/// Returns a reference with another selector.
pub(super) fn with_selector(reference: &ModelReference, selector: &str) -> ModelReference {
    match reference {
        ModelReference::HuggingFace { repository, revision, .. } => {
            ModelReference::HuggingFace { repository: repository.clone(), revision: revision.clone(), selector: Some(selector.to_owned()) }
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::error::{Coded, ErrorCode};
    use reqwest::header::{HeaderMap, HeaderValue};
    use reqwest::{StatusCode, Url};

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)]) -> SmallAnswer {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect();
        let url = Url::parse("https://hub.example/api/models/a/b").unwrap();
        SmallAnswer { status: StatusCode::from_u16(status).unwrap(), headers, bytes: bytes::Bytes::new(), url }
    }

    fn explained(has_token: bool, answer: SmallAnswer, nearest: &[&str]) -> (ErrorCode, String, String) {
        let reference = "hf:a/b@v2".parse().unwrap();
        let asked = Asked { reference: &reference, repository: "a/b", revision: "v2", hub: "https://hub.example".to_owned(), has_token };
        let choices = if is_about_revision(&answer) { vec!["main".to_owned()] } else { Vec::new() };
        let nearest = if is_about_repository(&answer) { nearest.iter().map(|name| (*name).to_owned()).collect() } else { Vec::new() };
        let error = refused(&asked, answer, choices, nearest);
        (error.code(), error.to_string(), error.hint().unwrap_or_default())
    }

    #[test]
    fn every_refusal_is_explained_with_a_way_out() {
        let gated = || answer(401, &[("x-error-code", "GatedRepo")]);
        let (code, reason, hint) = explained(false, gated(), &[]);
        assert_eq!(code, ErrorCode::ModelAccessDenied);
        assert!(
            reason.contains("accepted its licence") && hint.contains("https://hub.example/a/b") && hint.contains("HF_TOKEN"),
            "{reason} {hint}"
        );
        let (_, reason, hint) = explained(true, gated(), &[]);
        assert!(reason.contains("this token") && hint.contains("once access was granted"), "{reason} {hint}");

        let revoked = answer(401, &[("x-error-message", BAD_TOKEN)]);
        let (code, reason, hint) = explained(true, revoked, &["hf:a/c"]);
        assert_eq!(code, ErrorCode::ModelAccessDenied);
        assert!(reason.contains("revoked") && hint.contains("/settings/tokens"), "{reason} {hint}");

        let missing = || answer(401, &[("x-error-code", "RepoNotFound")]);
        let (code, reason, hint) = explained(false, missing(), &[]);
        assert_eq!(code, ErrorCode::ModelNotFound);
        assert!(reason.contains("or is not shown to us") && hint.contains("private"), "{reason} {hint}");
        let (code, reason, hint) = explained(false, missing(), &["`hf:a/c`"]);
        assert_eq!(code, ErrorCode::ModelNotFound);
        assert!(reason.contains("does not exist") && hint.contains("hf:a/c"), "{reason} {hint}");
        let (code, reason, _) = explained(true, answer(404, &[("x-error-code", "RepoNotFound")]), &[]);
        assert_eq!((code, reason.as_str()), (ErrorCode::ModelNotFound, "the model `hf:a/b@v2` does not exist"));

        let (code, reason, hint) = explained(true, answer(404, &[("x-error-code", "RevisionNotFound")]), &[]);
        assert_eq!(code, ErrorCode::ModelNotFound);
        assert!(reason.contains("revision `v2`") && hint.contains("main"), "{reason} {hint}");
        assert_eq!(explained(true, answer(403, &[]), &[]).0, ErrorCode::ModelAccessDenied);
        assert_eq!(explained(true, answer(451, &[]), &[]).0, ErrorCode::ModelAccessDenied);
        let (code, reason, _) = explained(true, answer(500, &[]), &[]);
        assert_eq!(code, ErrorCode::ProviderUnavailable);
        assert!(reason.contains("500"), "{reason}");
    }

    #[test]
    fn a_busy_hub_says_when_to_come_back() {
        let reference = "hf:a/b".parse().unwrap();
        let asked =
            Asked { reference: &reference, repository: "a/b", revision: "main", hub: "https://hub.example".to_owned(), has_token: false };
        let error = refused(&asked, answer(429, &[("retry-after", "7")]), Vec::new(), Vec::new());
        let ProviderError::Source { retry_after, .. } = error else { panic!("{error}") };
        assert_eq!(retry_after, Some(std::time::Duration::from_secs(7)));
    }
}
