//! What every expected failure has in common: one stable code, one exit code, one HTTP status, a cause chain
//! and a hint. The errors themselves live in the module that can fail; they implement [`Coded`].

use std::error::Error;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares [`ErrorCode`] and its three mappings from one table, so that no code lacks any of them.
macro_rules! error_codes {
    ($( $(#[doc = $doc:literal])+ $name:ident = $text:literal, exit $exit:literal, http $http:literal; )+) => {
        /// The stable name of an expected failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum ErrorCode {
            $( $(#[doc = $doc])+ #[serde(rename = $text)] $name, )+
        }

        impl ErrorCode {
            /// Every code, in the order of the exit codes.
            pub const ALL: &'static [Self] = &[$( Self::$name, )+];

            /// Returns the stable text of the code, such as `instance.start_failed`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $text, )+ }
            }

            /// Returns the exit code of a command that ends with this failure.
            #[must_use]
            pub const fn exit_code(self) -> u8 {
                match self { $( Self::$name => $exit, )+ }
            }

            /// Returns the HTTP status of a response that carries this failure.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $( Self::$name => $http, )+ }
            }

            /// Returns one sentence about the code, for the reference pages.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $( Self::$name => concat!($($doc),+).trim_start(), )+ }
            }
        }
    };
}

error_codes! {
    /// A bug in Orchestrator itself.
    Internal = "internal", exit 1, http 500;
    /// The command line could not be understood.
    Usage = "usage", exit 2, http 400;
    /// A configuration file holds something that is not allowed.
    ConfigInvalid = "config.invalid", exit 10, http 422;
    /// There is no configuration with that name.
    ConfigNotFound = "config.not_found", exit 11, http 404;
    /// Two configurations claim the same name, alias or port.
    ConfigConflict = "config.conflict", exit 12, http 409;
    /// A configuration file cannot be read.
    ConfigUnreadable = "config.unreadable", exit 13, http 500;
    /// The home directory cannot be used.
    HomeUnusable = "home.unusable", exit 14, http 500;
    /// A configuration with that name is there already.
    ConfigExists = "config.exists", exit 15, http 409;
    /// There is no instance with that name.
    InstanceUnknown = "instance.unknown", exit 20, http 404;
    /// The server of an instance did not come up.
    InstanceStartFailed = "instance.start_failed", exit 21, http 502;
    /// The server of an instance did not become ready in time.
    InstanceStartTimeout = "instance.start_timeout", exit 22, http 504;
    /// The server of an instance could not be stopped.
    InstanceStopFailed = "instance.stop_failed", exit 23, http 500;
    /// The port an instance wants is held by someone else.
    PortTaken = "instance.port_taken", exit 24, http 409;
    /// No engine for the runtime was found on this machine.
    EngineNotFound = "engine.not_found", exit 25, http 424;
    /// The engine that was found cannot be used.
    EngineUnusable = "engine.unusable", exit 26, http 424;
    /// The instance is not running.
    InstanceNotRunning = "instance.not_running", exit 27, http 409;
    /// The runtime cannot honour a setting of the instance.
    SettingUnsupported = "instance.setting_unsupported", exit 28, http 422;
    /// The instance is running, and the request needs it stopped.
    InstanceRunning = "instance.running", exit 29, http 409;
    /// The instance is starting, draining or waiting for its next start.
    InstanceUnavailable = "instance.unavailable", exit 30, http 503;
    /// An instance was found unhealthy.
    InstanceUnhealthy = "instance.unhealthy", exit 31, http 503;
    /// The server of an instance closed the connection or broke the protocol.
    UpstreamFailed = "instance.upstream_failed", exit 32, http 502;
    /// The server of an instance did not answer in time.
    UpstreamTimeout = "instance.upstream_timeout", exit 33, http 504;
    /// All places of the instance are taken and its queue is full.
    InstanceBusy = "instance.busy", exit 34, http 429;
    /// There is no room in memory for the instance, whatever is unloaded.
    NoRoom = "instance.no_room", exit 35, http 507;
    /// Another operation has the runtime to itself.
    RuntimeHeld = "instance.runtime_held", exit 36, http 409;
    /// The server of an instance failed several requests in a row, and is left alone for a while.
    CircuitOpen = "instance.circuit_open", exit 38, http 503;
    /// The runtime or this machine cannot run the model.
    ModelIncompatible = "model.incompatible", exit 39, http 422;
    /// The model does not exist where the reference points.
    ModelNotFound = "model.not_found", exit 40, http 404;
    /// The model's file cannot be read.
    ModelUnreadable = "model.unreadable", exit 41, http 422;
    /// The model's file is not what it should be.
    ModelInvalid = "model.invalid", exit 42, http 422;
    /// The text is no model reference.
    ModelReferenceInvalid = "model.reference_invalid", exit 43, http 422;
    /// The provider of the model cannot be used.
    ProviderUnavailable = "provider.unavailable", exit 44, http 503;
    /// No instance, alias or model has the name a request asks for.
    ModelUnknown = "model.unknown", exit 45, http 404;
    /// The source of the model does not give it to us: it is gated, or the token is missing, wrong or revoked.
    ModelAccessDenied = "model.access_denied", exit 46, http 403;
    /// The model is used by an instance.
    ModelInUse = "model.in_use", exit 47, http 409;
    /// There is no room on the disk for the model, or the quota for models is used up.
    ModelNoSpace = "model.no_space", exit 48, http 507;
    /// The model is so large that somebody must say that it is really wanted.
    ModelUnconfirmed = "model.confirmation_needed", exit 49, http 409;
    /// There is no recipe or environment with that key.
    EnvUnknown = "env.unknown", exit 50, http 404;
    /// An environment could not be built.
    EnvBuildFailed = "env.build_failed", exit 51, http 500;
    /// A program that building environments needs is missing.
    EnvToolMissing = "env.tool_missing", exit 52, http 424;
    /// The package index could not be reached.
    EnvNetwork = "env.network", exit 53, http 502;
    /// The disk is full.
    DiskFull = "env.disk_full", exit 54, http 507;
    /// The environment is in use.
    EnvInUse = "env.in_use", exit 55, http 409;
    /// An environment was built but does not work.
    EnvUnhealthy = "env.unhealthy", exit 56, http 500;
    /// The environment is not installed.
    EnvNotInstalled = "env.not_installed", exit 57, http 424;
    /// The work was cancelled.
    Cancelled = "cancelled", exit 58, http 409;
    /// The daemon has something under way that must end first.
    DaemonBusy = "daemon.busy", exit 59, http 409;
    /// The daemon does not answer.
    DaemonUnreachable = "daemon.unreachable", exit 60, http 503;
    /// Another process owns this home.
    HomeOwned = "daemon.home_owned", exit 61, http 409;
    /// The state database was written by a newer version.
    StoreNewer = "store.newer", exit 62, http 500;
    /// The state database cannot be read or written.
    StoreFailed = "store.failed", exit 63, http 500;
    /// The daemon did not come up.
    DaemonStartFailed = "daemon.start_failed", exit 64, http 500;
    /// The request carries no valid key, or comes from a place that is not allowed.
    Forbidden = "request.forbidden", exit 65, http 403;
    /// The request cannot be understood.
    RequestInvalid = "request.invalid", exit 66, http 400;
    /// The request is larger than the limit.
    RequestTooLarge = "request.too_large", exit 67, http 413;
    /// There is no such endpoint, operation or event.
    RouteUnknown = "request.not_found", exit 68, http 404;
    /// The daemon is shutting down.
    DaemonStopping = "daemon.stopping", exit 69, http 503;
    /// The model's answer does not satisfy the schema that was asked for.
    AnswerInvalid = "answer.invalid", exit 70, http 502;
    /// The descriptions of tools cannot be used.
    ToolsInvalid = "tools.invalid", exit 71, http 400;
    /// What is to be judged cannot be read.
    InputInvalid = "tools.input_invalid", exit 72, http 400;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that knows its stable code and the way out.
pub trait Coded: Error {
    /// Returns the stable code.
    fn code(&self) -> ErrorCode;

    /// Returns what the reader can do about it.
    fn hint(&self) -> Option<String> {
        None
    }

    /// Returns why it failed, from the nearest cause to the farthest; or, of an error that sums up several
    /// findings, the findings.
    fn causes(&self) -> Vec<String> {
        causes_of(self)
    }
}

/// A failure as it is shown to people and sent over the wire (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The stable code.
    pub code: ErrorCode,
    /// The HTTP status of the response.
    pub status: u16,
    /// What was tried on what: a lowercase fragment.
    pub title: String,
    /// Why, from the nearest cause to the farthest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What the reader can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The last lines the engine wrote to its error output, where an engine failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stderr_tail: Vec<String>,
    /// After how many seconds a retry makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// The same, as exactly as it is known. For this process only: the wire has whole seconds.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// Describes a failure that has no error type of its own.
    #[must_use]
    pub fn new(code: ErrorCode, title: impl Into<String>) -> Self {
        Self {
            code,
            status: code.http_status(),
            title: title.into(),
            causes: Vec::new(),
            hint: None,
            stderr_tail: Vec::new(),
            retry_after_seconds: None,
            retry_after: None,
        }
    }

    /// Describes `error` with its cause chain.
    #[must_use]
    pub fn from_error(error: &dyn Coded) -> Self {
        let mut problem = Self::new(error.code(), error.to_string());
        problem.causes = error.causes();
        problem.hint = error.hint();
        problem
    }

    /// Adds what the reader can do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says after how long a retry makes sense; others are told at least a second.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after_seconds = Some(seconds.max(1));
        self.retry_after = Some(wait);
        self
    }

    /// Adds a cause to the end of the chain.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }
}

/// Returns the texts of the sources of `error`, nearest first.
#[must_use]
pub fn causes_of(error: &(impl Error + ?Sized)) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl Error for Problem {}

impl<E: Coded> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::from_error(&error)
    }
}
