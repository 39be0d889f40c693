"""The same for ``asyncio``: :class:`AsyncOrchestrator` has the methods of ``Orchestrator``, to be awaited.

    async with AsyncOrchestrator() as orchestrator:
        await orchestrator.pull("hf:Qwen/Qwen3-0.6B-GGUF", progress=print)
        async for piece in orchestrator.chat("qwen", "Say hello."):
            print(piece, end="", flush=True)

Each call waits in a thread of its own, so the loop goes on meanwhile. A task that is cancelled while it pulls cancels the
pull; what was fetched is kept for the next one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from typing_extensions import Self

from orchestrator._orchestrator import ChatStream, Orchestrator
from orchestrator._orchestrator import connect as _connect
from orchestrator.types import (
    EnvironmentStatus,
    Event,
    FitReport,
    Hardware,
    InstalledModel,
    InstanceDescription,
    InstanceSummary,
    LogLine,
    LogSource,
    Message,
    ModelSource,
    Operation,
    Problem,
    Progress,
    PruneReport,
    PullPlan,
    SearchResults,
)

_T = TypeVar("_T")
_OnProgress = Callable[[Progress], object]


class AsyncOrchestrator:
    """The instances, models and environments of one home, for ``asyncio``.

    The home is opened at the first call, or at the begin of an ``async with`` block.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self._make: Callable[[], Orchestrator] = partial(Orchestrator, home)
        self._opened: Orchestrator | None = None
        self._opening = asyncio.Lock()

    @classmethod
    def connect(cls, url: str, *, api_key: str | None = None) -> Self:
        """Talks to a daemon at an address such as ``http://127.0.0.1:8484``."""
        made = cls()
        made._make = partial(_connect, url, api_key=api_key)
        return made

    async def _open(self) -> Orchestrator:
        async with self._opening:
            if self._opened is None:
                self._opened = await asyncio.to_thread(self._make)
            return self._opened

    async def _call(self, method: Callable[..., _T], /, *arguments: Any, **options: Any) -> _T:
        opened = await self._open()
        return await asyncio.to_thread(partial(method, opened, *arguments, **options))

    async def _finish(self, begun: Operation, progress: _OnProgress | None, *, cancels: bool) -> Operation:
        opened = await self._open()
        loop = asyncio.get_running_loop()

        def hand_over(update: Progress) -> None:
            # ``progress`` is called in the thread of the loop, as everything else of the caller.
            if progress is not None:
                loop.call_soon_threadsafe(progress, update)

        try:
            return await asyncio.to_thread(partial(opened.finish, begun["id"], progress=hand_over))
        except asyncio.CancelledError:
            if cancels:
                await asyncio.shield(asyncio.to_thread(self._try_cancel, opened, begun["id"]))
            raise

    @staticmethod
    def _try_cancel(opened: Orchestrator, operation: str) -> None:
        try:
            opened.cancel(operation)
        except Exception:  # noqa: BLE001 - whether it could be cancelled is of no interest beside the cancelling
            pass

    async def embedded(self) -> bool:
        """Whether this process owns the home; otherwise a daemon does."""
        return (await self._open()).embedded

    async def up(self, name: str, *, wait: bool = True) -> InstanceSummary:
        return await self._call(Orchestrator.up, name, wait=wait)

    async def down(self, name: str) -> InstanceSummary:
        return await self._call(Orchestrator.down, name)

    async def restart(self, name: str, *, wait: bool = True) -> InstanceSummary:
        return await self._call(Orchestrator.restart, name, wait=wait)

    async def ps(self) -> list[InstanceSummary]:
        return await self._call(Orchestrator.ps)

    async def problems(self) -> list[Problem]:
        return await self._call(Orchestrator.problems)

    async def describe(self, name: str) -> InstanceDescription:
        return await self._call(Orchestrator.describe, name)

    async def logs(self, name: str, *, tail: int = 100, stream: LogSource = "both") -> list[LogLine]:
        return await self._call(Orchestrator.logs, name, tail=tail, stream=stream)

    async def chat(self, model: str, messages: str | Sequence[Message | dict[str, Any]], **options: Any) -> AsyncIterator[str]:
        """Asks a model; its answer comes in pieces of text. Leaving the loop early ends the answer."""
        stream: ChatStream = await self._call(Orchestrator.chat, model, messages, **options)
        try:
            while (piece := await asyncio.to_thread(next, stream, None)) is not None:
                yield piece
        finally:
            stream.close()

    async def complete(self, model: str, messages: str | Sequence[Message | dict[str, Any]], **options: Any) -> dict[str, Any]:
        return await self._call(Orchestrator.complete, model, messages, **options)

    async def models(self) -> list[InstalledModel]:
        return await self._call(Orchestrator.models)

    async def model_info(self, reference: str) -> InstalledModel:
        return await self._call(Orchestrator.model_info, reference)

    async def search(self, query: str = "", *, provider: ModelSource | None = None, limit: int = 20) -> SearchResults:
        return await self._call(Orchestrator.search, query, provider=provider, limit=limit)

    async def plan(self, reference: str) -> PullPlan:
        return await self._call(Orchestrator.plan, reference)

    async def pull(
        self, reference: str, *, confirm: bool = False, progress: _OnProgress | None = None, wait: bool = True
    ) -> Operation:
        """Fetches a model; ``progress`` is called in the loop's own thread. Cancelling the task cancels the pull."""
        begun = await self._call(Orchestrator.pull, reference, confirm=confirm, wait=False)
        return await self._finish(begun, progress, cancels=True) if wait else begun

    async def remove(self, reference: str, *, force: bool = False) -> Operation:
        return await self._call(Orchestrator.remove, reference, force=force)

    async def import_model(self, path: str | os.PathLike[str], *, copy: bool = False) -> Operation:
        return await self._call(Orchestrator.import_model, path, copy=copy)

    async def prune(self, *, dry_run: bool = False, until_bytes: int | None = None, keep: Sequence[str] = ()) -> PruneReport:
        return await self._call(Orchestrator.prune, dry_run=dry_run, until_bytes=until_bytes, keep=list(keep))

    async def fit(self, reference: str, **settings: Any) -> FitReport:
        return await self._call(Orchestrator.fit, reference, **settings)

    async def activate(self, name: str, *, wait: bool = True) -> Operation:
        begun = await self._call(Orchestrator.activate, name, wait=False)
        return await self._finish(begun, None, cancels=False) if wait else begun

    async def hardware(self) -> Hardware:
        return await self._call(Orchestrator.hardware)

    async def envs(self) -> list[EnvironmentStatus]:
        return await self._call(Orchestrator.envs)

    async def create_env(self, key: str, *, wait: bool = True) -> Operation:
        begun = await self._call(Orchestrator.create_env, key, wait=False)
        return await self._finish(begun, None, cancels=True) if wait else begun

    async def events(self, *, after: int | None = None, limit: int = 200) -> list[Event]:
        return await self._call(Orchestrator.events, after=after, limit=limit)

    async def operations(self) -> list[Operation]:
        return await self._call(Orchestrator.operations)

    async def cancel(self, id: str) -> None:
        await self._call(Orchestrator.cancel, id)

    async def close(self, *, stop_instances: bool = False) -> None:
        """Lets the home go. Closing twice is fine, and so is closing what was never opened."""
        if self._opened is not None:
            await asyncio.to_thread(partial(self._opened.close, stop_instances=stop_instances))

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
