"""What fails raises: the class of its family, the stable code, causes and a hint."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Home

import orchestrator
from orchestrator import (
    ConfigError,
    DaemonError,
    EnvError,
    InstanceError,
    ModelError,
    Orchestrator,
    OrchestratorError,
    UsageError,
)

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.mark.parametrize(
    ("call", "kind", "code", "message", "hint"),
    [
        (lambda orch: orch.up("nobody"), InstanceError, "instance.unknown", "`nobody`", ""),
        (lambda orch: orch.up("No Name"), ConfigError, "config.invalid", "`No Name`", "lowercase letters"),
        (lambda orch: orch.down("demo"), InstanceError, "instance.not_running", "`demo`", ""),
        (lambda orch: orch.chat("dmo", "Hi"), ModelError, "model.unknown", "`dmo`", "`demo`"),
        (lambda orch: orch.up("no-engine"), InstanceError, "engine.not_found", "/nowhere/llama-server", ""),
        (lambda orch: orch.up("no-model"), ModelError, "model.not_found", "/nowhere/model.gguf", ""),
        (lambda orch: orch.logs("demo", stream="all"), UsageError, "usage", "`all`", "`both`"),
        (lambda orch: orch.chat("demo", "Hi", stream=True), UsageError, "usage", "`stream`", "`complete`"),
        (lambda orch: orch.create_env("no-such-stack"), EnvError, "env.unknown", "`no-such-stack`", "llama-cpp-cpu"),
    ],
)
def test_a_failure_has_its_class_code_and_hint(
    home: Home, orch: Orchestrator, call: Callable[[Any], object], kind: type, code: str, message: str, hint: str
) -> None:
    home.add("demo")
    home.add("no-engine", engine={"binary": "/nowhere/llama-server"})
    home.add("no-model", model={"path": "/nowhere/model.gguf"})
    with pytest.raises(OrchestratorError) as caught:
        call(orch)
    error = caught.value
    assert type(error) is kind
    assert error.code == code
    assert message in str(error)
    assert error.hint and hint in error.hint, "every failure says what to do"
    assert f"hint: {error.hint}" in str(error)


def test_a_failed_start_carries_the_engines_last_words(home: Home, orch: Orchestrator) -> None:
    home.add("demo", env={"FAKE_EXIT": "3"})
    with pytest.raises(InstanceError) as caught:
        orch.up("demo")
    error = caught.value
    assert (error.code, error.exit_code) == ("instance.start_failed", 21)
    assert error.stderr_tail[-1] == "the fake engine was told to fail"
    assert any("status 3" in cause for cause in error.causes)
    assert "  the fake engine was told to fail" in str(error)


def test_a_broken_configuration_is_told_and_loses_nothing_else(home: Home, orch: Orchestrator) -> None:
    home.add("demo")
    home.add("broken", contxt=1)
    assert [row["name"] for row in orch.ps()] == ["demo"]
    [problem] = orch.problems()
    assert problem["code"] == "config.invalid"
    with pytest.raises(ConfigError) as caught:
        orch.up("broken")
    assert "contxt" in str(caught.value)


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError) as caught:
        Orchestrator(file)
    assert caught.value.code == "home.unusable"
    assert f"`{file}` is not a directory" in str(caught.value)


def test_a_closed_orchestrator_says_so(home: Home) -> None:
    with Orchestrator(home.path) as orch:
        pass
    with pytest.raises(UsageError, match="closed"):
        orch.ps()


def test_options_that_are_no_json_are_refused_by_python(home: Home, orch: Orchestrator) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        orch.chat("demo", "Hi", stop=object())
    with pytest.raises(ValueError, match="not JSON compliant"):
        orch.chat("demo", "Hi", temperature=float("nan"))


def test_nobody_answers_at_the_address() -> None:
    with pytest.raises(DaemonError) as caught:
        orchestrator.connect("http://127.0.0.1:9")
    assert caught.value.code == "daemon.unreachable"
    with pytest.raises(UsageError, match="ftp"):
        orchestrator.connect("ftp://example.org")


def test_an_exception_crosses_processes() -> None:
    error = InstanceError("x", code="instance.busy", exit_code=34, hint="wait", causes=["full"], retry_after_seconds=2)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is InstanceError and str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_demo_model_is_not_written_into_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        orchestrator.write_demo_model(tmp_path / "missing" / "demo.gguf")
    assert "missing/demo.gguf" in str(caught.value) and caught.value.hint


def test_the_families_are_those_of_the_exit_codes() -> None:
    """Each code of the schema has a class whose documentation names its first part."""
    schema = json.loads((SCHEMAS / "problem.schema.json").read_text())
    codes = [entry["const"] for entry in schema["$defs"]["ErrorCode"]["oneOf"]]
    documented = " ".join(
        kind.__doc__ or "" for kind in vars(orchestrator.errors).values() if isinstance(kind, type)
    )
    missing = {code for code in codes if "." in code and f"{code.partition('.')[0]}.*" not in documented}
    assert not missing
