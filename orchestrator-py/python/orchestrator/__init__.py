"""Makes this machine a dependable host for language models.

    from orchestrator import Orchestrator

    with Orchestrator() as orchestrator:
        orchestrator.up("demo")
        for piece in orchestrator.chat("demo", "Say hello."):
            print(piece, end="", flush=True)

``Orchestrator(home)`` owns the home when nobody else does, and talks to the daemon that owns it otherwise; the methods
are the same either way, and ``AsyncOrchestrator`` has them for ``asyncio``. What they return are dictionaries in the shape
of the control API; ``orchestrator.types`` has their types. What fails raises one of the exceptions in
``orchestrator.errors``, with the stable code, a hint and the causes.
"""

from orchestrator import errors, toolcall, types
from orchestrator._orchestrator import (
    ChatStream,
    LogFollower,
    Orchestrator,
    __version__,
    connect,
    write_demo_model,
)
from orchestrator.aio import AsyncOrchestrator
from orchestrator.errors import (
    CancelledError,
    ConfigError,
    DaemonError,
    EnvError,
    InstanceError,
    InternalError,
    ModelError,
    OrchestratorError,
    ToolCallError,
    UsageError,
)

__all__ = [
    "AsyncOrchestrator",
    "CancelledError",
    "ChatStream",
    "ConfigError",
    "DaemonError",
    "EnvError",
    "InstanceError",
    "InternalError",
    "LogFollower",
    "ModelError",
    "Orchestrator",
    "OrchestratorError",
    "ToolCallError",
    "UsageError",
    "__version__",
    "connect",
    "errors",
    "toolcall",
    "types",
    "write_demo_model",
]
