"""The types a checker sees are those of the schemas, and of what calls really return."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from conftest import Home

from orchestrator import Orchestrator, types

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.mark.parametrize(
    ("kind", "file", "name"),
    [
        (types.ModelFile, "model", "ModelFile"),
        (types.ModelDefaults, "model", "ModelDefaults"),
        (types.FoundModel, "search-results", "FoundModel"),
        (types.PlannedFile, "pull-plan", "PlannedFile"),
        (types.PrunedModel, "prune-report", "PrunedModel"),
        (types.FitNumbers, "fit-report", "FitNumbers"),
        (types.Progress, "operation", "ProgressUpdate"),
        (types.FileProgress, "operation", "FileProgress"),
    ],
)
def test_a_part_has_the_keys_of_its_schema(kind: Any, file: str, name: str) -> None:
    schema = json.loads((SCHEMAS / f"{file}.schema.json").read_text())["$defs"][name]
    assert set(get_type_hints(kind)) == set(schema["properties"])
    assert set(schema.get("required", [])) <= kind.__required_keys__


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        (types.InstanceSummary, "instance-summary"),
        (types.Problem, "problem"),
        (types.Event, "event"),
        (types.InstalledModel, "model"),
        (types.EnvironmentStatus, "environment"),
        (types.Operation, "operation"),
        (types.PullPlan, "pull-plan"),
        (types.SearchResults, "search-results"),
        (types.PruneReport, "prune-report"),
        (types.FitReport, "fit-report"),
        (types.Hardware, "hardware"),
    ],
)
def test_a_type_has_the_keys_of_its_schema(kind: Any, file: str) -> None:
    schema = json.loads((SCHEMAS / f"{file}.schema.json").read_text())
    assert set(get_type_hints(kind)) == set(schema["properties"])
    for key in kind.__required_keys__ - set(schema["required"]):
        # A key that may be absent from what is read is still always written, as `null`.
        assert "null" in json.dumps(schema["properties"][key]), key
    assert set(schema["required"]) <= kind.__required_keys__


def test_what_is_returned_has_the_keys_of_its_type(home: Home, orch: Orchestrator) -> None:
    home.add("demo")
    row = orch.up("demo")
    description = orch.describe("demo")
    pairs: list[tuple[Any, Any]] = [
        (row, types.InstanceSummary),
        (description, types.InstanceDescription),
        (description["model"], types.InstalledModel),
        (orch.logs("demo")[0], types.LogLine),
        (orch.envs()[0], types.EnvironmentStatus),
        (orch.hardware(), types.Hardware),
    ]
    for value, kind in pairs:
        assert kind.__required_keys__ <= set(value) <= set(get_type_hints(kind)), kind
    assert set(description["state"]) <= set(get_type_hints(types.InstanceState))
    for event in orch.events():
        assert types.Event.__required_keys__ <= set(event) <= set(get_type_hints(types.Event))
