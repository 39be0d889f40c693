"""The dictionaries that calls return: the same JSON as the control API and ``orch --json``.

They are plain ``dict`` at run time; these are the types a checker sees. Moments are texts such as
``2026-01-31T12:00:00.000Z``.
"""

from typing import Any, Literal, TypedDict

# Unions of two, because `mypy.stubtest` takes a `Literal` of several texts for a union and looks for one at run time.
Backend = Literal["cpu"] | Literal["vulkan", "cuda", "metal", "rocm"]
Health = Literal["unknown"] | Literal["loading", "healthy", "unhealthy", "error"]
LogSource = Literal["both"] | Literal["stdout", "stderr"]
ModelSource = Literal["hf"] | Literal["ollama", "local"]
StateName = Literal["stopped"] | Literal["starting", "loading", "ready", "unhealthy", "stopping", "backoff", "failed"]


class _InstanceSummaryKeys(TypedDict):
    name: str
    pid: int | None
    port: int | None
    runtime: str
    backend: Backend
    device: str
    model: str
    state: StateName
    health: Health
    uptime_seconds: int | None
    memory_mb: int | None
    restarts: int


class InstanceSummary(_InstanceSummaryKeys, total=False):
    """One row of ``ps``."""

    #: The memory of GPUs, in MiB, where the GPUs tell.
    vram_mb: int


class _ProblemKeys(TypedDict):
    code: str
    status: int
    title: str


class Problem(_ProblemKeys, total=False):
    """A failure that was written down instead of raised."""

    causes: list[str]
    hint: str
    stderr_tail: list[str]
    retry_after_seconds: int


class _StateKeys(TypedDict):
    state: StateName


class InstanceState(_StateKeys, total=False):
    """The state of an instance, with what is true only in it."""

    since: str
    #: Of ``starting``: what is being done.
    step: Literal["resolving_model", "finding_engine", "waiting_for_room", "launching"]
    #: Of ``loading``, ``ready``, ``unhealthy`` and ``stopping``: identity, address, start.
    server: dict[str, Any]
    #: Of ``loading``: what the server last said about itself.
    detail: str
    #: Of ``unhealthy``: what is wrong.
    reason: str
    #: Of ``backoff``: when the next start is due, and how many failed in a row.
    until: str
    attempt: int
    #: Of ``backoff`` and ``failed``: why.
    failure: dict[str, Any]
    #: Of ``stopped``: how the last server ended.
    last_exit: dict[str, Any] | None


class _EventKeys(TypedDict):
    sequence: int
    at: str
    kind: str
    message: str


class Event(_EventKeys, total=False):
    """One thing that happened."""

    instance: str
    data: Any


class _ModelFileKeys(TypedDict):
    path: str
    size_bytes: int


class ModelFile(_ModelFileKeys, total=False):
    """A file of a model on the machine."""

    #: Its digest, where it was verified.
    sha256: str


class ModelDefaults(TypedDict, total=False):
    """What the source of a model says about how it is to be used."""

    chat_template: str
    source_template: str
    system_prompt: str
    request: dict[str, Any]
    context_size: int


class _InstalledModelKeys(TypedDict):
    reference: str
    path: str
    format: str
    name: str | None
    architecture: str
    quantisation: str | None
    context_length: int | None
    parameters: int
    size_bytes: int
    has_chat_template: bool


class InstalledModel(_InstalledModelKeys, total=False):
    """A model that is on the machine and was looked at."""

    #: Every file of it; absent where it is ``path`` alone.
    files: list[ModelFile]
    #: The exact version it was fetched at.
    revision: str
    licence: str
    #: The file that lets it see pictures.
    projector: str
    defaults: ModelDefaults


class _FoundModelKeys(TypedDict):
    reference: str
    gated: bool


class FoundModel(_FoundModelKeys, total=False):
    """A model at its source."""

    description: str
    downloads: int
    likes: int
    licence: str
    #: The formats or quantisations there are, where the source tells.
    variants: list[str]


class _SearchResultsKeys(TypedDict):
    models: list[FoundModel]


class SearchResults(_SearchResultsKeys, total=False):
    """The answer of a search."""

    #: When the answer was fetched, where it is an old one because the source cannot be reached now.
    stale_since: str


class PlannedFile(TypedDict):
    """A file that belongs to a model at its source."""

    name: str
    role: Literal["weights", "projector", "configuration", "licence"]
    size_bytes: int | None
    digest: dict[str, Any] | None
    #: The bytes of it that are on the machine already.
    present_bytes: int


class PullPlan(TypedDict):
    """What would be fetched for a model."""

    reference: str
    revision: str
    format: str
    quantisation: str | None
    architecture: str | None
    licence: str | None
    gated: bool
    needs_remote_code: bool
    files: list[PlannedFile]


class PrunedModel(TypedDict):
    """A model that was removed because nobody used it."""

    reference: str
    size_bytes: int
    unused_since: str


class PruneReport(TypedDict):
    """What was removed, or would be."""

    removed: list[PrunedModel]
    freed_bytes: int
    kept_bytes: int


class FitNumbers(TypedDict):
    """What is needed of one memory and what it has, in bytes."""

    needed_bytes: int
    margin_bytes: int
    available_bytes: int
    total_bytes: int


class _FitReportKeys(TypedDict):
    reference: str
    #: ``is`` is ``fits``, ``fits_with_layers_on_host`` (with ``layers``), ``tight`` or ``does_not_fit``.
    verdict: dict[str, Any]
    confidence: Literal["measured", "estimated", "guessed"]
    context: int
    parallel: int
    layers: int | None
    host: FitNumbers
    #: The GPU that is used: ``backend``, ``index``, ``name``, ``numbers``, ``layers``.
    device: dict[str, Any] | None
    breakdown: dict[str, Any]
    prompt_cache_bytes: int
    suggestions: dict[str, Any]


class FitReport(_FitReportKeys, total=False):
    """Whether a model fits, and what that is concluded from."""

    #: What else should be known about running it here.
    notes: list[str]


class _FileProgressKeys(TypedDict):
    name: str
    done: int
    phase: Literal["waiting", "fetching", "verifying", "done"]


class FileProgress(_FileProgressKeys, total=False):
    """How far one file is, in bytes."""

    total: int


class _ProgressKeys(TypedDict):
    phase: str


class Progress(_ProgressKeys, total=False):
    """How far an operation is."""

    done: int
    total: int
    #: ``bytes``; absent where steps are counted.
    unit: Literal["bytes"]
    #: How much is done in a second.
    rate: int
    eta_seconds: int
    files: list[FileProgress]


class InstanceDescription(TypedDict):
    """Everything about one instance."""

    summary: InstanceSummary
    state: InstanceState
    #: Why it is in that state, and since when.
    reason: str
    #: The configuration it runs with, or would; defaults filled in.
    spec: dict[str, Any]
    #: Whether its file says something else by now; ``restart`` takes that over.
    config_changed: bool
    config_problem: Problem | None
    model: InstalledModel | None
    model_problem: Problem | None
    config_dir: str
    logs_dir: str
    requests_in_flight: int
    requests_waiting: int
    #: MiB by kind of memory (``host``, ``gpu0``, …) that it holds or waits for.
    memory_reserved_mb: dict[str, int]
    events: list[Event]


class LogLine(TypedDict):
    """One line of a server's output."""

    stream: Literal["stdout", "stderr"]
    text: str


class Environment(TypedDict):
    """An installed environment."""

    key: str
    digest: str
    path: str
    python: str
    launcher: str
    engine_version: str
    created_at: str
    size_bytes: int


class EnvironmentStatus(TypedDict):
    """An environment that is installed or could be."""

    key: str
    description: str
    installed: Environment | None
    outdated: bool
    problem: Problem | None


class Operation(TypedDict):
    """A long job."""

    id: str
    kind: dict[str, Any]
    created_at: str
    #: ``status`` is ``running`` (with ``progress``), ``succeeded``, ``failed`` (with ``problem``) or ``cancelled``.
    status: dict[str, Any]


class Message(TypedDict, total=False):
    """One message of a chat, in OpenAI's shape."""

    role: str
    content: Any
    name: str
    tool_calls: list[dict[str, Any]]
    tool_call_id: str


class Call(TypedDict):
    """One call of one tool."""

    name: str
    arguments: dict[str, Any]


class ToolCalls(TypedDict):
    """The envelope of calls."""

    v: Literal[1]
    type: Literal["tool_calls"]
    calls: list[Call]


class _DeviceKeys(TypedDict):
    backend: Backend
    index: int
    name: str
    memory_total_bytes: int
    memory_free_bytes: int | None
    unified_memory: bool
    seen_by: list[str]


class Device(_DeviceKeys, total=False):
    """A GPU, and the ways it was seen by."""

    busy_percent: int
    driver: str
    compute_capability: str
    pci_bus_id: str
    uuid: str


class EngineDevice(TypedDict):
    """A device as an engine names it."""

    id: str
    name: str
    memory_total_bytes: int | None
    memory_free_bytes: int | None


class _EngineDevicesKeys(TypedDict):
    runtime: str
    engine: str
    devices: list[EngineDevice]


class EngineDevices(_EngineDevicesKeys, total=False):
    """What one engine says that it could use."""

    problem: str


class _HardwareKeys(TypedDict):
    cpu_name: str | None
    cpu_count: int
    memory_total_bytes: int
    memory_available_bytes: int
    devices: list[Device]


class Hardware(_HardwareKeys, total=False):
    """What the machine has."""

    engines: list[EngineDevices]


class FinalAnswer(TypedDict):
    """The envelope of an answer in words."""

    v: Literal[1]
    type: Literal["final"]
    content: str


Envelope = ToolCalls | FinalAnswer

Fidelity = Literal["exact"] | Literal["extracted", "repaired", "coerced", "ambiguous"]


class Edit(TypedDict):
    """A change made to a text, and where: offsets in bytes of its UTF-8."""

    kind: str
    start: int
    end: int


class Finding(TypedDict):
    """What is wrong, and where; the offending value is not repeated."""

    pointer: str
    keyword: str
    expected: str


class Verdict(TypedDict):
    """What became of one text. The envelope is there only if it was read with certainty and matches the tools."""

    fidelity: Fidelity
    envelope: Envelope | None
    edits: list[Edit]
    errors: list[Finding]
