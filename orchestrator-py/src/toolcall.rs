//! `orchestrator.toolcall`: tools, verdicts on what models write, and the envelope.
//!
//! Judging is the business of `orchestrator-toolcall`; here texts and verdicts cross over. Long texts are read without
//! the interpreter's lock.

mod text;

use orchestrator_core::{ErrorCode, Problem};
use orchestrator_toolcall::schema::Validator;
use orchestrator_toolcall::{
    Envelope, Fidelity, Finish, Limits, ModelFamily, ParseError, Prompt, ToolChoice, ToolError, ToolSet, Verdict, parse_strict,
};
use pyo3::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Details, exception, raise};
use crate::json::{from_python, from_text, to_python};
use text::Text;

/// The first of the exit codes of tool calls.
const EXIT_CODE: u8 = ErrorCode::AnswerInvalid.exit_code();

/// Tools that a model may call.
#[pyclass(frozen, name = "ToolSet", module = "orchestrator.toolcall")]
pub(crate) struct PyToolSet(ToolSet);

#[pymethods]
impl PyToolSet {
    #[staticmethod]
    fn from_openai(tools: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::read(tools, ToolSet::from_openai)
    }

    #[staticmethod]
    fn from_anthropic(tools: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::read(tools, ToolSet::from_anthropic)
    }

    #[staticmethod]
    fn from_mcp(tools: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::read(tools, ToolSet::from_mcp)
    }

    #[staticmethod]
    fn from_json(tools: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::read(tools, ToolSet::from_json)
    }

    /// The same tools with another choice, another bound of calls, or tools marked as read-only.
    #[pyo3(signature = (*, choice = None, max_calls = None, read_only = None))]
    fn with_options(
        &self,
        py: Python<'_>,
        choice: Option<&str>,
        max_calls: Option<usize>,
        read_only: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let mut tools = self.0.clone();
        if let Some(choice) = choice {
            let choice = match choice {
                "auto" => ToolChoice::Auto,
                "none" => ToolChoice::None,
                "required" => ToolChoice::Required,
                name => ToolChoice::Named(name.to_owned()),
            };
            tools = tools.with_choice(choice).map_err(|error| raise_tool_error(py, &error))?;
        }
        if let Some(max_calls) = max_calls {
            tools = tools.with_max_calls(max_calls);
        }
        for name in read_only.unwrap_or_default() {
            tools = tools.with_read_only(&name).map_err(|error| raise_tool_error(py, &error))?;
        }
        Ok(Self(tools))
    }

    #[getter]
    fn names(&self) -> Vec<&str> {
        self.0.tools().iter().map(orchestrator_toolcall::Tool::name).collect()
    }

    #[pyo3(signature = (text, finish = "stop"))]
    fn parse<'py>(&self, py: Python<'py>, text: &Bound<'py, PyAny>, finish: &str) -> PyResult<Bound<'py, PyAny>> {
        let finish = finish_of(py, finish)?;
        let verdict = Text::of(text)?.read(py, |bytes| serde_json::to_string(&self.0.parse(bytes, finish)));
        from_text(py, verdict)
    }

    /// The verdict on one native call: a name and the text of its arguments.
    #[pyo3(signature = (name, arguments, finish = "stop"))]
    fn parse_call<'py>(&self, py: Python<'py>, name: &str, arguments: &Bound<'py, PyAny>, finish: &str) -> PyResult<Bound<'py, PyAny>> {
        let finish = finish_of(py, finish)?;
        let verdict = Text::of(arguments)?.read(py, |bytes| serde_json::to_string(&self.0.parse_call(name, bytes, finish)));
        from_text(py, verdict)
    }

    /// Whether the calls of a verdict may run without asking anybody.
    fn may_run(&self, py: Python<'_>, verdict: &Bound<'_, PyAny>) -> PyResult<bool> {
        let given: GivenVerdict = serde_json::from_value(from_python(verdict)?)
            .map_err(|error| raise(py, &Problem::new(ErrorCode::Usage, "the argument is no verdict").with_cause(error.to_string())))?;
        let verdict = Verdict { fidelity: given.fidelity, envelope: given.envelope, edits: Vec::new(), errors: Vec::new(), span: None };
        Ok(self.0.may_run(&verdict))
    }

    #[pyo3(signature = (kind = "full"))]
    fn schema<'py>(&self, py: Python<'py>, kind: &str) -> PyResult<Bound<'py, PyAny>> {
        match kind {
            "full" => to_python(py, &self.0.full_schema()),
            "portable" => to_python(py, &self.0.portable_schema()),
            _ => Err(usage(py, format!("there is no kind of schema `{kind}`"), "take `full` or `portable`")),
        }
    }

    /// The instructions for a model: `family` is a family or the name of a model.
    #[pyo3(signature = (family = "generic"))]
    fn prompt(&self, family: &str) -> String {
        let family = if family == "phi" { ModelFamily::Phi } else { ModelFamily::of_model(family) };
        Prompt::new(&self.0, family).text
    }

    fn __len__(&self) -> usize {
        self.0.tools().len()
    }

    fn __repr__(&self) -> String {
        format!("<ToolSet {}>", self.names().join(", "))
    }
}

impl PyToolSet {
    fn read(tools: &Bound<'_, PyAny>, read: impl FnOnce(&Value) -> Result<ToolSet, ToolError>) -> PyResult<Self> {
        read(&from_python(tools)?).map(Self).map_err(|error| raise_tool_error(tools.py(), &error))
    }
}

/// The part of a verdict that says whether it may run.
#[derive(Deserialize)]
struct GivenVerdict {
    fidelity: Fidelity,
    envelope: Option<Envelope>,
}

/// Lists what is wrong with a value by a JSON Schema; nothing if it matches.
#[pyfunction]
#[pyo3(signature = (schema, value, limit = 5))]
pub(crate) fn validate<'py>(
    py: Python<'py>,
    schema: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    limit: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let (schema, value) = (from_python(schema)?, from_python(value)?);
    let problems = py.detach(|| Validator::new(&schema).map(|validator| validator.problems(&value, limit)));
    to_python(py, &problems.map_err(|error| raise_tool_error(py, &error))?)
}

/// Reads an envelope, strictly: JSON with no key given twice and nothing around it.
#[pyfunction]
pub(crate) fn parse_envelope<'py>(py: Python<'py>, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match Text::of(text)?.read(py, read_envelope) {
        Ok(envelope) => to_python(py, &envelope),
        Err(refusal) => Err(refusal.into_exception(py)),
    }
}

/// The JSON Schema (2020-12) of the envelope.
#[pyfunction]
pub(crate) fn envelope_schema(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    to_python(py, &orchestrator_toolcall::envelope_schema())
}

fn finish_of(py: Python<'_>, finish: &str) -> PyResult<Finish> {
    match finish {
        "stop" => Ok(Finish::Stop),
        "length" => Ok(Finish::Length),
        _ => Err(usage(py, format!("generation does not end with `{finish}`"), "take `stop`, or `length` where it was cut off")),
    }
}

fn usage(py: Python<'_>, title: String, hint: &str) -> PyErr {
    raise(py, &Problem::new(ErrorCode::Usage, title).with_hint(hint))
}

/// Why a text is no envelope.
enum Refusal {
    NotJson(ParseError),
    NotAnEnvelope(Vec<orchestrator_toolcall::Problem>),
}

fn read_envelope(bytes: &[u8]) -> Result<Envelope, Refusal> {
    let value = parse_strict(bytes, &Limits::DEFAULT).map_err(Refusal::NotJson)?;
    Envelope::from_value(value).map_err(Refusal::NotAnEnvelope)
}

impl Refusal {
    fn into_exception(self, py: Python<'_>) -> PyErr {
        match self {
            Self::NotJson(error) => tool_call_error(py, error.to_string(), error.code(), error.hint(), &[]),
            Self::NotAnEnvelope(problems) => {
                let causes: Vec<String> = problems.iter().map(ToString::to_string).collect();
                let hint = "answer with an envelope as `orchestrator.toolcall.schema()` describes it";
                tool_call_error(py, "the text is JSON, but no envelope".to_owned(), "toolcall.not_an_envelope", hint, &causes)
            }
        }
    }
}

fn raise_tool_error(py: Python<'_>, error: &ToolError) -> PyErr {
    tool_call_error(py, error.to_string(), error.code(), error.hint(), &[])
}

fn tool_call_error(py: Python<'_>, message: String, code: &str, hint: &str, causes: &[String]) -> PyErr {
    let details = Details {
        class: "ToolCallError",
        message,
        code,
        exit_code: EXIT_CODE,
        hint: Some(hint),
        causes,
        stderr_tail: &[],
        retry_after_seconds: None,
    };
    exception(py, &details)
}
