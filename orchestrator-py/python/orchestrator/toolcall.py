"""Strict tool calls: what is read from a model's answer parsed as JSON, matches the tools, and was not guessed.

    from orchestrator.toolcall import ToolSet

    tools = ToolSet.from_openai([{"type": "function", "function": {"name": "weather", "parameters": {...}}}])
    verdict = tools.parse(text)
    if tools.may_run(verdict):
        for call in verdict["envelope"]["calls"]:
            ...

A verdict is a dictionary, the JSON that ``orch tools parse`` prints. Its ``envelope`` is ``None`` unless the text was
read with certainty and matches the schemas of the tools; ``errors`` says why. A ``ToolSet`` is compiled once and can be
shared between threads; long texts are read without the interpreter's lock.

The envelope is the one form in which a model calls tools or answers:

    {"v": 1, "type": "tool_calls", "calls": [{"name": "…", "arguments": {…}}]}
    {"v": 1, "type": "final", "content": "…"}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from orchestrator._orchestrator import ToolSet, envelope_schema, parse_envelope, validate
from orchestrator.types import Verdict

__all__ = ["ToolSet", "parse", "parse_envelope", "prompt", "schema", "validate"]

#: A set, or descriptions of tools in the shape of OpenAI, Anthropic or MCP.
Tools = ToolSet | Sequence[Any]


def parse(tools: Tools, text: str | bytes, finish: Literal["stop", "length"] = "stop") -> Verdict:
    """Judges what a model wrote. ``finish`` is ``length`` where generation was cut off."""
    return _set_of(tools).parse(text, finish)


def prompt(tools: Tools, family: str = "generic") -> str:
    """Writes the instructions for a model. ``family`` is the name of a model or of a family such as ``llama``."""
    return _set_of(tools).prompt(family)


def schema(tools: Tools | None = None, kind: Literal["full", "portable"] = "full") -> dict[str, Any]:
    """Returns the JSON Schema of envelopes: of any, or of those that call these tools.

    ``full`` is what every accepted text matches; ``portable`` is what engines take as a constraint.
    """
    return envelope_schema() if tools is None else _set_of(tools).schema(kind)


def _set_of(tools: Tools) -> ToolSet:
    return tools if isinstance(tools, ToolSet) else ToolSet.from_json(tools)
