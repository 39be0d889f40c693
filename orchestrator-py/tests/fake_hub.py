"""The fake hub that the tests in Rust use, as a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any


class FakeHub:
    """A hub that runs until the end of a ``with`` block."""

    def __init__(self, program: str, world: dict[str, Any], folder: Path) -> None:
        description = folder / "world.json"
        description.write_text(json.dumps(world))
        self._process = subprocess.Popen([program, description, "--lifetime", "300"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.hosts: dict[str, str] = json.loads(self._process.stdout.readline())

    def __enter__(self) -> FakeHub:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate(timeout=30)

    def environment(self, cache: Path, **more: str) -> dict[str, str]:
        """The variables that lead ``huggingface_hub`` to this hub, and to a cache of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {**kept, "HF_HOME": str(cache), "HF_ENDPOINT": self.hosts["huggingface"], **quiet, **more}

    def seen(self) -> list[dict[str, Any]]:
        """All that was asked."""
        seen: list[dict[str, Any]] = json.loads(self._call("GET", "seen"))
        return seen

    def rule(self, how: Any, **more: Any) -> None:
        """Lets the hub be bad."""
        self._call("POST", "rules", {"how": how, **more})

    def _call(self, method: str, path: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.hosts['huggingface']}/fake/{path}", data, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content
