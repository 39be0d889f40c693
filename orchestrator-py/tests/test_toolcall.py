"""Tool calls: verdicts are those of the command line, what is accepted is valid, long texts leave the lock alone."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import BINARY, wait_until

from orchestrator import ToolCallError, UsageError, toolcall
from orchestrator.toolcall import ToolSet
from orchestrator.types import Verdict

SCHEMA = Path(__file__).parents[2] / "schemas" / "envelope.schema.json"
CALLS = '{"v":1,"type":"tool_calls","calls":[{"name":"add","arguments":{"a":1,"b":[2.5,"ü"]}}]}'

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1},
        "days": {"type": "integer", "minimum": 0, "maximum": 14},
        "unit": {"enum": ["°C", "°F", None]},
        "at": {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "string"}}]},
        "exact": {"type": "boolean"},
    },
    "required": ["city"],
    "additionalProperties": False,
}
NOTE: dict[str, Any] = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
OPENAI = [
    {"type": "function", "function": {"name": "weather", "description": "Says how it will be.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "note", "parameters": NOTE}},
]
ANTHROPIC = [{"name": "weather", "input_schema": WEATHER}, {"name": "note", "input_schema": NOTE}]
MCP = {"tools": [{"name": "weather", "inputSchema": WEATHER}, {"name": "note", "inputSchema": NOTE}]}


@pytest.fixture(scope="module")
def tools() -> ToolSet:
    return ToolSet.from_openai(OPENAI)


def damaged(seed: int) -> Iterator[str]:
    """Texts as models write them: envelopes that match the tools or nearly do, damaged in one of many ways."""
    chance = random.Random(seed)
    texts = ["Paris", "New York, NY", "it's", 'say "hi"', "Łódź\n{x: [1]}", "", "C:\\temp", "日本"]
    while True:
        arguments: dict[str, Any] = {"city": chance.choice(texts)}
        if chance.random() < 0.7:
            arguments["days"] = chance.choice([0, 3, 14, 15, 2.0, "3"])
        if chance.random() < 0.5:
            arguments["unit"] = chance.choice(["°C", None, "K"])
        if chance.random() < 0.5:
            arguments["at"] = chance.choice([1e-7, -0.5, 9007199254740993, ["a", "b"], []])
        if chance.random() < 0.5:
            arguments["exact"] = chance.random() < 0.5
        calls = [{"name": "weather", "arguments": arguments}]
        if chance.random() < 0.3:
            calls.append({"name": chance.choice(["note", "note", "nte"]), "arguments": {"text": chance.choice(texts)}})
        envelope = {"v": 1, "type": "tool_calls", "calls": calls}
        text = json.dumps(envelope, ensure_ascii=chance.random() < 0.3, indent=chance.choice([None, 2]))
        match chance.randrange(11):
            case 0:
                text = f"```json\n{text}\n```"
            case 1:
                text = f"Sure, here it is: {text} Is that {{fine}}?"
            case 2:
                text = str(envelope)
            case 3:
                text = text.replace("}", ",}")
            case 4:
                text = text.replace('"v"', "v").replace('"city"', "city").replace('"calls"', "'calls'")
            case 5:
                text = text.rstrip("}] \n")
            case 6:
                text = text[: chance.randrange(len(text))]
            case 7:
                text = f"<think>Maybe {text}</think>{text}"
            case 8:
                text = text + chance.choice(["}", text, " // done", "\n\n"])
            case 9:
                text = text.replace('"city"', '"city": "x", "city"')
            case _:
                pass
        yield text


def of_command_line(texts: list[str], finish: str, folder: Path) -> list[Verdict]:
    file = folder / "tools.json"
    file.write_text(json.dumps(OPENAI))
    done = subprocess.run(
        [BINARY, "tools", "parse", "--tools", file, "--jsonl", "--finish", finish],
        input="".join(json.dumps({"text": text}) + "\n" for text in texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_verdicts_are_those_of_the_command_line(tools: ToolSet, finish: Any, tmp_path: Path) -> None:
    if not BINARY:
        pytest.skip("needs the program `orch`: `ORCH_TEST_BINARY=target/debug/orch`")
    seed = int(os.environ.get("TOOLCALL_SEED", time.time_ns() % 1_000_000))
    texts = [text for text, _ in zip(damaged(seed), range(400), strict=False)]
    theirs = of_command_line(texts, finish, tmp_path)
    assert len(theirs) == len(texts)
    for text, verdict in zip(texts, theirs, strict=True):
        assert tools.parse(text, finish) == verdict == tools.parse(text.encode(), finish), f"seed {seed}: {text}"


def test_whatever_validates_validates_again_with_another_validator(tools: ToolSet) -> None:
    seed = int(os.environ.get("TOOLCALL_SEED", time.time_ns() % 1_000_000))
    whole = jsonschema.Draft202012Validator(tools.schema())
    of_tool = {"weather": jsonschema.Draft202012Validator(WEATHER), "note": jsonschema.Draft202012Validator(NOTE)}
    fidelities = set()
    refused = 0
    for text, _ in zip(damaged(seed), range(1_000), strict=False):
        verdict = tools.parse(text)
        fidelities.add(verdict["fidelity"])
        envelope = verdict["envelope"]
        if envelope is None:
            assert verdict["errors"], f"seed {seed}: {text}"
            refused += 1
            continue
        assert verdict["errors"] == [] and verdict["fidelity"] != "ambiguous"
        whole.validate(envelope)
        assert envelope["type"] == "tool_calls"
        for call in envelope["calls"]:
            of_tool[call["name"]].validate(call["arguments"])
    assert fidelities == {"exact", "extracted", "repaired", "ambiguous"} and 100 < refused < 900, (seed, fidelities, refused)


@pytest.mark.parametrize(
    ("schema", "value", "keyword"),
    [
        (WEATHER, {"city": "Paris", "days": 3}, None),
        (WEATHER, {"city": "Paris", "days": 2.0}, None),
        (WEATHER, {"days": 3}, "required"),
        (WEATHER, {"city": "Paris", "days": 15}, "maximum"),
        (WEATHER, {"city": "Paris", "unit": "K"}, "enum"),
        (True, [1], None),
    ],
)
def test_validation_says_what_another_validator_says(schema: Any, value: Any, keyword: str | None) -> None:
    findings = toolcall.validate(schema, value)
    assert [finding["keyword"] for finding in findings] == ([keyword] if keyword else [])
    assert jsonschema.Draft202012Validator(schema).is_valid(value) == (not findings)


@pytest.mark.parametrize(
    "tools",
    [ToolSet.from_openai(OPENAI), ToolSet.from_anthropic(ANTHROPIC), ToolSet.from_mcp(MCP), ToolSet.from_json(ANTHROPIC)],
)
def test_tools_are_read_in_the_shapes_of_three_protocols(tools: ToolSet) -> None:
    assert (tools.names, len(tools)) == (["weather", "note"], 2)
    text = '{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{"city":"Paris"}}]}'
    assert tools.parse(text)["fidelity"] == "exact"
    assert toolcall.parse(OPENAI, f"Here: {text}")["fidelity"] == "extracted"
    assert tools.parse_call("weather", "{city: 'Paris'}")["fidelity"] == "repaired"


def test_what_was_repaired_may_run_only_if_it_changes_nothing(tools: ToolSet) -> None:
    exact = '{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{"city":"Paris"}}]}'
    repaired = tools.parse(exact[:-2] + "],}")
    assert [edit["kind"] for edit in repaired["edits"]] and repaired["envelope"] == json.loads(exact)
    assert tools.may_run(tools.parse(exact)) and not tools.may_run(repaired)
    assert tools.with_options(read_only=["weather"]).may_run(repaired)
    assert not tools.may_run(tools.parse(exact[:70]))


def test_choices_and_bounds_are_heeded(tools: ToolSet) -> None:
    call = '{"name":"weather","arguments":{"city":"Paris"}}'
    one, two = (f'{{"v":1,"type":"tool_calls","calls":[{calls}]}}' for calls in (call, f"{call},{call}"))
    final = '{"v":1,"type":"final","content":"done"}'

    def accepted(options: dict[str, Any]) -> list[bool]:
        narrowed = tools.with_options(**options)
        return [narrowed.parse(text)["envelope"] is not None for text in (one, two, final)]

    assert accepted({}) == [True, True, True]
    assert accepted({"choice": "none"}) == [False, False, True]
    assert accepted({"choice": "required", "max_calls": 1}) == [True, False, False]
    assert accepted({"choice": "note"}) == [False, False, False]


def test_schemas_and_prompts_describe_the_tools(tools: ToolSet) -> None:
    envelope = {"v": 1, "type": "tool_calls", "calls": [{"name": "weather", "arguments": {"city": ""}}]}
    for kind in ("full", "portable"):
        jsonschema.Draft202012Validator.check_schema(tools.schema(kind))
    assert not jsonschema.Draft202012Validator(toolcall.schema(tools)).is_valid(envelope), "an empty name of a city"
    assert toolcall.prompt(OPENAI) == tools.prompt() and '"minLength":1' in tools.prompt()
    assert "[TOOL_CALLS]" in tools.prompt("mistral") and tools.prompt("Mistral-7B-Instruct") == tools.prompt("mistral")


@pytest.mark.parametrize(
    ("make", "kind", "code"),
    [
        (lambda: ToolSet.from_openai([{"description": "no name"}]), ToolCallError, "toolcall."),
        (lambda: ToolSet.from_openai(OPENAI + OPENAI), ToolCallError, "toolcall."),
        (lambda: ToolSet.from_json([{"name": "x", "input_schema": {"type": "nothing"}}]), ToolCallError, "toolcall."),
        (lambda: ToolSet.from_json([{"name": "x", "input_schema": {"$ref": "http://a/b"}}]), ToolCallError, "toolcall."),
        (lambda: ToolSet.from_openai(OPENAI).with_options(choice="nothing"), ToolCallError, "toolcall."),
        (lambda: toolcall.validate({"type": 1}, 1), ToolCallError, "toolcall."),
        (lambda: toolcall.parse(OPENAI, "", "end"), UsageError, "usage"),  # type: ignore[arg-type]
        (lambda: toolcall.schema(OPENAI, "small"), UsageError, "usage"),  # type: ignore[arg-type]
        (lambda: ToolSet.from_openai(OPENAI).may_run({}), UsageError, "usage"),  # type: ignore[typeddict-item]
    ],
)
def test_what_cannot_be_used_is_named_with_a_way_out(make: Any, kind: type[ToolCallError], code: str) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert caught.value.code.startswith(code) and str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '"' * 1_000_000, b"\xff\xfe", "\ud800", "\0", "x" * 10_000_000, b""])
def test_hostile_texts_get_a_verdict(tools: ToolSet, text: str | bytes) -> None:
    verdict = tools.parse(text)
    assert verdict["envelope"] is None and verdict["errors"]


def test_another_thread_gets_on_while_a_long_text_is_read(tools: ToolSet) -> None:
    text = "{a: [" + "{'b': True, c: 'x' /* y */}," * 7_000 + "]} no envelope"
    assert 190_000 < len(text) < 250_000
    steps = 0
    done = threading.Event()

    def count() -> None:
        nonlocal steps
        while not done.is_set():
            steps += 1
            time.sleep(0)

    def got_on() -> bool:
        before = steps
        assert tools.parse(text)["envelope"] is None
        return steps > before

    usual = sys.getswitchinterval()
    # Nobody is made to let go of the lock: only who gives it away does.
    sys.setswitchinterval(1_000)
    thread = threading.Thread(target=count)
    thread.start()
    try:
        wait_until(got_on)
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(usual)


@pytest.mark.parametrize("text", [CALLS, CALLS.encode(), '{"v":1,"type":"final","content":"done"}'])
def test_an_envelope_is_read(text: str | bytes) -> None:
    envelope = toolcall.parse_envelope(text)
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
def test_anything_but_an_envelope_is_refused_by_the_strict_reader(text: str | bytes, code: str) -> None:
    with pytest.raises(ToolCallError) as caught:
        toolcall.parse_envelope(text)
    assert caught.value.code == code
    assert caught.value.hint


def test_the_schema_is_the_one_that_is_checked_in() -> None:
    assert toolcall.schema() == json.loads(SCHEMA.read_text())
