"""The exceptions: one class for each family of codes, all of them ``OrchestratorError``.

``code`` is the stable name of the failure, such as ``instance.start_failed``: test it where a family is too coarse.
``exit_code`` is what the command ``orch`` ends with for the same failure.
"""

from __future__ import annotations

from collections.abc import Iterable


class OrchestratorError(Exception):
    """Something that could not be done: what, why, and what to do about it."""

    #: What was tried on what.
    message: str
    #: The stable name of the failure, such as ``instance.start_failed``.
    code: str
    #: What the command ``orch`` ends with for this failure.
    exit_code: int
    #: What to do about it.
    hint: str | None
    #: Why it failed, from the nearest cause to the farthest.
    causes: tuple[str, ...]
    #: The last lines the engine wrote to its error output, where an engine failed.
    stderr_tail: tuple[str, ...]
    #: After how many seconds a retry makes sense, where it does.
    retry_after_seconds: int | None

    def __init__(
        self,
        message: str,
        *,
        code: str = "internal",
        exit_code: int = 1,
        hint: str | None = None,
        causes: Iterable[str] = (),
        stderr_tail: Iterable[str] = (),
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.exit_code = exit_code
        self.hint = hint
        self.causes = tuple(causes)
        self.stderr_tail = tuple(stderr_tail)
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        lines = [": ".join((self.message, *self.causes))]
        if self.stderr_tail:
            lines += ["the last lines of its error output:", *(f"  {line}" for line in self.stderr_tail)]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # The arguments of the constructor go by keyword: processes that hand exceptions to each other need the rest.
        return (type(self), (self.message,), self.__dict__)


class InternalError(OrchestratorError):
    """A bug in Orchestrator itself."""


class UsageError(OrchestratorError):
    """An argument that makes no sense, or a call at the wrong time."""


class ConfigError(OrchestratorError):
    """A configuration, or the home directory, cannot be used (``config.*``, ``home.*``)."""


class InstanceError(OrchestratorError):
    """An instance, its engine or its server failed (``instance.*``, ``engine.*``)."""


class ModelError(OrchestratorError):
    """A model is not there or not what it should be (``model.*``, ``provider.*``)."""


class EnvError(OrchestratorError):
    """An environment cannot be built or used (``env.*``)."""


class CancelledError(OrchestratorError):
    """The work was cancelled (``cancelled``)."""


class DaemonError(OrchestratorError):
    """The daemon, its state or a request to it failed (``daemon.*``, ``store.*``, ``request.*``)."""


class ToolCallError(OrchestratorError):
    """A model's answer is not what was asked for (``answer.*``, ``toolcall.*``), or cannot be judged (``tools.*``)."""
