"""The envelope: read strictly, described by the schema that is checked in."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from orchestrator import ToolCallError, toolcall

SCHEMA = Path(__file__).parents[2] / "schemas" / "envelope.schema.json"
CALLS = '{"v":1,"type":"tool_calls","calls":[{"name":"add","arguments":{"a":1,"b":[2.5,"ü"]}}]}'


@pytest.mark.parametrize("text", [CALLS, CALLS.encode(), '{"v":1,"type":"final","content":"done"}'])
def test_an_envelope_is_read(text: str | bytes) -> None:
    envelope = toolcall.parse(text)
    assert envelope == json.loads(text)
    jsonschema.validate(envelope, toolcall.schema())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "toolcall.cut_off"),
        ("I will call add.", "toolcall.syntax"),
        (f"```json\n{CALLS}\n```", "toolcall.syntax"),
        (CALLS[:-1], "toolcall.cut_off"),
        (CALLS.replace('"v":1', '"v":1,"v":1'), "toolcall.duplicate_key"),
        (CALLS.replace('"v":1', '"v":2'), "toolcall.not_an_envelope"),
        ("[" * 100_000, "toolcall.too_deep"),
        (b"\xff", "toolcall.not_utf8"),
        (" " * 300_000, "toolcall.too_large"),
    ],
)
def test_anything_else_is_refused_and_never_guessed(text: str | bytes, code: str) -> None:
    with pytest.raises(ToolCallError) as caught:
        toolcall.parse(text)
    assert caught.value.code == code
    assert caught.value.hint


def test_the_schema_is_the_one_that_is_checked_in() -> None:
    assert toolcall.schema() == json.loads(SCHEMA.read_text())
