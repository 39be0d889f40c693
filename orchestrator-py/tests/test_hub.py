"""The fake hub is one that ``huggingface_hub`` takes for the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HUB
from fake_hub import FakeHub

SIZE = 3_000_000
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = {"path": "sub/weights.gguf", "content": {"seeded": {"seed": 1, "size": SIZE}}}
CONFIG = {"path": "config.json", "content": {"text": "{}\n"}}


def repository(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "revisions": [{"names": ["main"], "commit": COMMIT, "files": [CONFIG, WEIGHTS]}], **more}


@pytest.fixture(params=[False, True], ids=["plain-here", "plain-elsewhere"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeHub]:
    if not HUB:
        pytest.skip("needs the program `fake-hub`: `ORCH_TEST_HUB=target/debug/fake-hub`")
    world = {
        "repositories": [repository("maker/model"), repository("maker/gated", access="gated")],
        "accounts": [{"token": "let-in", "name": "somebody", "repositories": ["maker/gated"]}],
        "plain_files_are_elsewhere": request.param,
    }
    with FakeHub(HUB, world, tmp_path) as hub:
        yield hub


def ask(hub: FakeHub, cache: Path, script: str, **variables: str) -> Any:
    """Runs a program that uses ``huggingface_hub``, and returns what it tells as ``told``."""
    program = f"import json\nfrom huggingface_hub import *\n{script}\nprint(json.dumps(told))"
    result = subprocess.run(
        [sys.executable, "-c", program], env=hub.environment(cache, **variables), capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_file_and_a_snapshot_are_downloaded(hub: FakeHub, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = Path(ask(hub, cache, 'told = hf_hub_download("maker/model", "sub/weights.gguf")'))
    assert path.stat().st_size == SIZE
    assert path == cache / "hub/models--maker--model/snapshots" / COMMIT / "sub/weights.gguf"
    folder = Path(ask(hub, cache, 'told = snapshot_download("maker/model")'))
    assert (folder / "config.json").read_text() == "{}\n"
    weights = [seen for seen in hub.seen() if seen["path"].endswith("weights.gguf") and seen["method"] == "GET"]
    assert [seen["origin"] for seen in weights] == ["cdn"], "what is in the cache is not fetched again"


def test_listings_are_understood(hub: FakeHub, tmp_path: Path) -> None:
    script = """
api = HfApi()
info = api.model_info("maker/model", files_metadata=True)
told = [
    [model.id for model in api.list_models(search="maker", limit=5)],
    [(file.rfilename, file.size, file.lfs and file.lfs.size) for file in info.siblings],
    [file.path for file in api.list_repo_tree("maker/model", recursive=True)],
]
"""
    found, files, tree = ask(hub, tmp_path / "cache", script)
    assert found == ["maker/model", "maker/gated"]
    assert files == [["config.json", 3, None], ["sub/weights.gguf", SIZE, SIZE]]
    assert tree == ["config.json", "sub", "sub/weights.gguf"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ('"maker/missing", "config.json"', "RepositoryNotFoundError"),
        ('"maker/model", "missing.json"', "RemoteEntryNotFoundError"),
        ('"maker/model", "config.json", revision="missing"', "RevisionNotFoundError"),
        ('"maker/gated", "config.json"', "GatedRepoError"),
    ],
)
def test_errors_are_understood(hub: FakeHub, tmp_path: Path, call: str, error: str) -> None:
    script = f"try:\n    told = hf_hub_download({call})\nexcept Exception as error:\n    told = type(error).__name__"
    assert ask(hub, tmp_path / "cache", script) == error


def test_a_token_opens_a_gated_repository_and_is_told_to_nobody_else(hub: FakeHub, tmp_path: Path) -> None:
    script = 'told = [whoami()["name"], hf_hub_download("maker/gated", "sub/weights.gguf")]'
    name, path = ask(hub, tmp_path / "cache", script, HF_TOKEN="let-in")
    assert (name, Path(path).stat().st_size) == ("somebody", SIZE)
    told = {seen["origin"] for seen in hub.seen() for name, _ in seen["headers"] if name == "authorization"}
    assert told == {"hugging_face"}


def test_a_bad_file_is_taken_for_a_good_one_there(hub: FakeHub, tmp_path: Path) -> None:
    """Why we fetch by ourselves: a wrong bit is not seen."""
    hub.rule({"flipped_bit": 1_000_000}, path="weights.gguf")
    path = ask(hub, tmp_path / "cache", 'told = hf_hub_download("maker/model", "sub/weights.gguf")')
    blob = Path(path).resolve()
    script = f'import hashlib\ntold = hashlib.sha256(open({str(blob)!r}, "rb").read()).hexdigest()'
    assert ask(hub, tmp_path / "cache", script) != blob.name
