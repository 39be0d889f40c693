//! The class `orchestrator.Orchestrator`: arguments in, one call, objects out.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use orchestrator_core::instance::logs::LogStream;
use orchestrator_core::memory::FitRequest;
use orchestrator_core::model::{ModelReference, ModelReferenceError};
use orchestrator_core::provider::ImportMode;
use orchestrator_core::{EnvKey, ErrorCode, InstanceName, Problem};
use orchestrator_server::api::{ProviderName, PruneBody, SearchQuery};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::backend::{Backend, Servers, Wait};
use crate::chat::{ChatStream, Conversation};
use crate::error::{raise, raise_error};
use crate::home;
use crate::json::{from_python, to_python};
use crate::lines::LogFollower;
use crate::operation::{Interrupted, operation_id, see_through};
use crate::runtime::{ask, runtime, wait};

/// The instances, models and environments of one home.
///
/// Owns the home when nobody else does; otherwise it talks to the daemon that owns it. The methods are the same
/// either way.
#[pyclass(frozen, weakref, module = "orchestrator")]
pub(crate) struct Orchestrator {
    /// Nothing, once it is closed.
    backend: Mutex<Option<Backend>>,
    /// The home or the address, for people.
    place: String,
    is_embedded: bool,
}

/// Connects to a daemon at an address such as `http://127.0.0.1:8484`.
///
/// `api_key` is what a daemon beyond this machine asks for; when it is left out, `ORCH_API_KEY` is used.
#[pyfunction]
#[pyo3(signature = (url, *, api_key = None))]
pub(crate) fn connect(py: Python<'_>, url: String, api_key: Option<String>) -> PyResult<Orchestrator> {
    let api_key = api_key.or_else(home::api_key);
    let backend = ask(py, Backend::connect(&url, api_key.as_deref()))?;
    Ok(Orchestrator::new(backend, url))
}

impl Orchestrator {
    fn new(backend: Backend, place: String) -> Self {
        let is_embedded = matches!(backend, Backend::Embedded(_));
        Self { backend: Mutex::new(Some(backend)), place, is_embedded }
    }

    fn take(&self) -> Option<Backend> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn backend(&self, py: Python<'_>) -> PyResult<Backend> {
        let backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner).clone();
        backend.ok_or_else(|| {
            let problem = Problem::new(ErrorCode::Usage, "this `Orchestrator` is closed");
            raise(py, &problem.with_hint("make a new one, or call it before the end of its `with` block"))
        })
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        // Never closed: the home is let go in the background, the servers go on.
        let (Some(backend), Ok(runtime)) = (self.take(), runtime()) else { return };
        runtime.spawn(async move { backend.close(Servers::Leave).await });
    }
}

#[pymethods]
impl Orchestrator {
    #[new]
    #[pyo3(signature = (home = None))]
    fn open(py: Python<'_>, home: Option<PathBuf>) -> PyResult<Self> {
        let paths = home::find(home).map_err(|error| raise_error(py, &error))?;
        let place = paths.state_dir().display().to_string();
        Ok(Self::new(ask(py, Backend::open(paths))?, place))
    }

    /// Whether this process owns the home; otherwise a daemon does, and this object talks to it.
    #[getter]
    fn embedded(&self) -> bool {
        self.is_embedded
    }

    /// Starts an instance and, with `wait`, returns when it is ready. One that runs already is left alone.
    ///
    /// Raises at the first failure, with the last lines the engine printed in `stderr_tail`. Ctrl-C ends the wait;
    /// the start itself goes on until `down`.
    #[pyo3(signature = (name, *, wait = true))]
    fn up<'py>(&self, py: Python<'py>, name: String, wait: bool) -> PyResult<Bound<'py, PyAny>> {
        let (backend, name) = (self.backend(py)?, instance(py, name)?);
        to_python(py, &ask(py, backend.up(&name, wait_mode(wait)))?)
    }

    /// Stops an instance and returns when nothing of its server is left.
    fn down<'py>(&self, py: Python<'py>, name: String) -> PyResult<Bound<'py, PyAny>> {
        let (backend, name) = (self.backend(py)?, instance(py, name)?);
        to_python(py, &ask(py, backend.down(&name))?)
    }

    /// Stops an instance where it runs, and starts it with its present configuration.
    #[pyo3(signature = (name, *, wait = true))]
    fn restart<'py>(&self, py: Python<'py>, name: String, wait: bool) -> PyResult<Bound<'py, PyAny>> {
        let (backend, name) = (self.backend(py)?, instance(py, name)?);
        to_python(py, &ask(py, backend.restart(&name, wait_mode(wait)))?)
    }

    /// Lists the instances, running or not.
    fn ps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &ask(py, self.backend(py)?.instances())?.instances)
    }

    /// Lists what is wrong with the configurations that cannot be used.
    fn problems<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &ask(py, self.backend(py)?.instances())?.problems)
    }

    /// Returns everything about one instance.
    fn describe<'py>(&self, py: Python<'py>, name: String) -> PyResult<Bound<'py, PyAny>> {
        let (backend, name) = (self.backend(py)?, instance(py, name)?);
        to_python(py, &ask(py, backend.describe(&name))?)
    }

    /// Returns the last lines of an instance's logs: at most `tail` of each output.
    #[pyo3(signature = (name, *, tail = 100, stream = "both"))]
    fn logs<'py>(&self, py: Python<'py>, name: String, tail: usize, stream: &str) -> PyResult<Bound<'py, PyAny>> {
        let (backend, name, stream) = (self.backend(py)?, instance(py, name)?, log_stream(py, stream)?);
        to_python(py, &ask(py, backend.logs(&name, stream, tail))?)
    }

    /// Returns the last lines of an instance's logs, and then new ones as they come.
    #[pyo3(signature = (name, *, tail = 100, stream = "both"))]
    fn follow_logs(&self, py: Python<'_>, name: String, tail: usize, stream: &str) -> PyResult<LogFollower> {
        let (backend, name, stream) = (self.backend(py)?, instance(py, name)?, log_stream(py, stream)?);
        ask(py, async { backend.follow_logs(&name, stream, tail).await.map(LogFollower::new) })
    }

    /// Asks a model and returns its answer as an iterator over pieces of text, as they come.
    ///
    /// `model` is the name of an instance, an alias or a model; what does not run yet is started. `messages` is a
    /// prompt or a list of messages in OpenAI's shape, and `options` are more fields of OpenAI's request, such as
    /// `max_tokens` and `temperature`.
    #[pyo3(signature = (model, messages, **options))]
    fn chat(
        &self,
        py: Python<'_>,
        model: String,
        messages: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<ChatStream> {
        let (backend, conversation) = (self.backend(py)?, Conversation::try_new(model, messages, options)?);
        ask(py, conversation.stream(&backend))
    }

    /// Asks a model as `chat` does, and returns the whole answer in OpenAI's shape.
    #[pyo3(signature = (model, messages, **options))]
    fn complete<'py>(
        &self,
        py: Python<'py>,
        model: String,
        messages: &Bound<'py, PyAny>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (backend, conversation) = (self.backend(py)?, Conversation::try_new(model, messages, options)?);
        to_python(py, &ask(py, conversation.complete(&backend))?)
    }

    /// Lists the models that are on the machine.
    fn models<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &ask(py, self.backend(py)?.models())?)
    }

    /// Looks at a model that is on the machine.
    fn model_info<'py>(&self, py: Python<'py>, reference: &str) -> PyResult<Bound<'py, PyAny>> {
        let (backend, reference) = (self.backend(py)?, model(py, reference)?);
        to_python(py, &ask(py, backend.model_info(&reference))?)
    }

    /// Searches the sources of models: `"hf"`, `"ollama"`, `"local"`, or all of them; at most `limit` models of each.
    #[pyo3(signature = (query = String::new(), *, provider = None, limit = 20))]
    fn search<'py>(&self, py: Python<'py>, query: String, provider: Option<&str>, limit: usize) -> PyResult<Bound<'py, PyAny>> {
        let provider = provider.map(|name| provider_name(py, name)).transpose()?;
        let limit = limit.clamp(1, SearchQuery::LARGEST_LIMIT);
        to_python(py, &ask(py, self.backend(py)?.search(query, provider, limit))?)
    }

    /// Asks the source of a model what would be fetched for it. Fetches nothing.
    fn plan<'py>(&self, py: Python<'py>, reference: &str) -> PyResult<Bound<'py, PyAny>> {
        let (backend, reference) = (self.backend(py)?, model(py, reference)?);
        to_python(py, &ask(py, backend.plan(&reference))?)
    }

    /// Fetches a model and, with `wait`, returns when it is on the machine. What is there already is not fetched again.
    ///
    /// A large model is refused until `confirm` says that it is wanted. `progress` is called with a dictionary for each
    /// change. Ctrl-C, or an exception that `progress` raises, cancels the pull; the next one goes on where it ended.
    #[pyo3(signature = (reference, *, confirm = false, progress = None, wait = true))]
    fn pull<'py>(
        &self,
        py: Python<'py>,
        reference: &str,
        confirm: bool,
        progress: Option<&Bound<'py, PyAny>>,
        wait: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (backend, reference) = (self.backend(py)?, model(py, reference)?);
        let begun = ask(py, backend.pull(&reference, confirm))?;
        if !wait {
            return to_python(py, &begun);
        }
        to_python(py, &see_through(py, &backend, begun, progress, Interrupted::Cancels)?)
    }

    /// Removes a model from the machine; with `force` also one that an instance names.
    #[pyo3(signature = (reference, *, force = false))]
    fn remove<'py>(&self, py: Python<'py>, reference: &str, force: bool) -> PyResult<Bound<'py, PyAny>> {
        let (backend, reference) = (self.backend(py)?, model(py, reference)?);
        let begun = ask(py, backend.remove_model(&reference, force))?;
        to_python(py, &see_through(py, &backend, begun, None, Interrupted::GoesOn)?)
    }

    /// Registers a file or folder that lies on the machine; with `copy` it is copied into the store.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is ours")]
    #[pyo3(signature = (path, *, copy = false, progress = None))]
    fn import_model<'py>(
        &self,
        py: Python<'py>,
        path: PathBuf,
        copy: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let path = home::absolute(&path).map_err(|error| raise_error(py, &error))?;
        let backend = self.backend(py)?;
        let mode = if copy { ImportMode::Copy } else { ImportMode::InPlace };
        let begun = ask(py, backend.import_model(path, mode))?;
        to_python(py, &see_through(py, &backend, begun, progress, Interrupted::Cancels)?)
    }

    /// Removes models that were fetched and that no instance uses, the longest unused first, until those that stay take no
    /// more than `until_bytes`; with `dry_run` it is only told which would go.
    #[pyo3(signature = (*, dry_run = false, until_bytes = None, keep = Vec::new()))]
    fn prune<'py>(&self, py: Python<'py>, dry_run: bool, until_bytes: Option<u64>, keep: Vec<String>) -> PyResult<Bound<'py, PyAny>> {
        let keep = keep.into_iter().map(|reference| model(py, &reference)).collect::<PyResult<Vec<_>>>()?;
        to_python(py, &ask(py, self.backend(py)?.prune(PruneBody { dry_run, until_bytes, keep }))?)
    }

    /// Says whether a model fits the machine, with numbers. Of one that is elsewhere no more than the header is fetched.
    ///
    /// `settings` are those of `FitRequest`: `context`, `parallel`, `key_type`, `value_type`, `flash_attention`,
    /// `micro_batch`, `unified`, and `gpu` as in an instance's configuration.
    #[pyo3(signature = (reference, **settings))]
    fn fit<'py>(&self, py: Python<'py>, reference: &str, settings: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        let (backend, reference) = (self.backend(py)?, model(py, reference)?);
        let settings = settings.map(|settings| from_python(settings)).transpose()?.unwrap_or_else(|| serde_json::json!({}));
        let settings: FitRequest = serde_json::from_value(settings).map_err(|error| {
            let problem = Problem::new(ErrorCode::Usage, "these are no settings that a fit can be asked for");
            raise(py, &problem.with_cause(error.to_string()))
        })?;
        to_python(py, &ask(py, backend.fit(&reference, settings))?)
    }

    /// Makes an instance the active one of its runtime and, with `wait`, returns when it is. Ctrl-C ends the wait; the
    /// switch goes on.
    #[pyo3(signature = (name, *, wait = true))]
    fn activate<'py>(&self, py: Python<'py>, name: String, wait: bool) -> PyResult<Bound<'py, PyAny>> {
        let (backend, name) = (self.backend(py)?, instance(py, name)?);
        let begun = ask(py, backend.activate(&name))?;
        if !wait {
            return to_python(py, &begun);
        }
        to_python(py, &see_through(py, &backend, begun, None, Interrupted::GoesOn)?)
    }

    /// Lists the operations, newest first.
    fn operations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &ask(py, self.backend(py)?.operations())?)
    }

    /// Waits for the end of an operation that was begun without waiting, and raises as it failed. `progress` is called
    /// with a dictionary for each change. Ctrl-C ends the wait; the operation goes on.
    #[pyo3(signature = (id, *, progress = None))]
    fn finish<'py>(&self, py: Python<'py>, id: &str, progress: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let (backend, id) = (self.backend(py)?, operation_id(py, id)?);
        let begun = ask(py, backend.operation(id))?;
        to_python(py, &see_through(py, &backend, begun, progress, Interrupted::GoesOn)?)
    }

    /// Cancels an operation. What a pull has fetched by then is kept for the next one.
    fn cancel(&self, py: Python<'_>, id: &str) -> PyResult<()> {
        let (backend, id) = (self.backend(py)?, operation_id(py, id)?);
        ask(py, backend.cancel(id))
    }

    /// Returns what the machine has: processors, memory, GPUs.
    fn hardware<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &ask(py, self.backend(py)?.hardware())?)
    }

    /// Lists the environments that are installed or could be.
    fn envs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &ask(py, self.backend(py)?.environments())?)
    }

    /// Builds an environment; one that is there already is left as it is. With `wait`, returns when it is done and
    /// raises when it fails. Ctrl-C cancels it.
    #[pyo3(signature = (key, *, wait = true))]
    fn create_env<'py>(&self, py: Python<'py>, key: String, wait: bool) -> PyResult<Bound<'py, PyAny>> {
        let key = EnvKey::try_new(key).map_err(|error| raise_error(py, &error))?;
        let backend = self.backend(py)?;
        let begun = ask(py, backend.create_environment(&key))?;
        if !wait {
            return to_python(py, &begun);
        }
        to_python(py, &see_through(py, &backend, begun, None, Interrupted::Cancels)?)
    }

    /// Returns events, oldest first: those after the number `after`, or else the last ones; at most `limit`.
    #[pyo3(signature = (*, after = None, limit = 200))]
    fn events<'py>(&self, py: Python<'py>, after: Option<u64>, limit: usize) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &ask(py, self.backend(py)?.events(after, limit))?)
    }

    /// Lets the home go. The servers go on, and whoever opens the home next takes them over; with `stop_instances`
    /// they are ended first. Closing twice is fine.
    #[pyo3(signature = (*, stop_instances = false))]
    fn close(&self, py: Python<'_>, stop_instances: bool) -> PyResult<()> {
        let Some(backend) = self.take() else { return Ok(()) };
        let runtime = runtime().map_err(|problem| raise(py, &problem))?;
        let servers = if stop_instances { Servers::Stop } else { Servers::Leave };
        // A task of its own: when Ctrl-C ends the wait, the closing goes on.
        let closing = runtime.spawn(async move { backend.close(servers).await });
        let problems = wait(py, closing)?.unwrap_or_default();
        let mut problems = problems.into_iter();
        let Some(mut first) = problems.next() else { return Ok(()) };
        first.causes.extend(problems.map(|problem| problem.to_string()));
        Err(raise(py, &first))
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py, false)
    }

    fn __repr__(&self) -> String {
        let how = if self.is_embedded { "owner of" } else { "connected to" };
        format!("<Orchestrator {how} {:?}>", self.place)
    }
}

fn instance(py: Python<'_>, name: String) -> PyResult<InstanceName> {
    InstanceName::try_new(name).map_err(|error| raise_error(py, &error))
}

fn model(py: Python<'_>, reference: &str) -> PyResult<ModelReference> {
    reference.parse().map_err(|error: ModelReferenceError| raise_error(py, &error))
}

fn provider_name(py: Python<'_>, name: &str) -> PyResult<ProviderName> {
    serde_json::from_value(serde_json::Value::from(name)).map_err(|_| {
        let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
        let problem = Problem::new(ErrorCode::Usage, format!("`{shown}` is no source of models"));
        raise(py, &problem.with_hint("use `hf`, `ollama` or `local`"))
    })
}

const fn wait_mode(wait: bool) -> Wait {
    if wait { Wait::UntilReady } else { Wait::No }
}

fn log_stream(py: Python<'_>, name: &str) -> PyResult<LogStream> {
    match name {
        "stdout" => Ok(LogStream::Stdout),
        "stderr" => Ok(LogStream::Stderr),
        "both" => Ok(LogStream::Both),
        _ => {
            let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
            let problem = Problem::new(ErrorCode::Usage, format!("`{shown}` is no output of a server"));
            Err(raise(py, &problem.with_hint("use `stdout`, `stderr` or `both`")))
        }
    }
}
