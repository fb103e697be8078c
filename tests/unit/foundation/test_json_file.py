"""One small file that several processes read and rewrite."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from foundation.stores.json_file import TICK_NS, JsonFile


@pytest.fixture
def parsed() -> list[Any]:
    """What was read from the disk, each time."""
    return []


@pytest.fixture
def file(tmp_path: Path, parsed: list[Any]) -> JsonFile[Any]:
    def parse(content: Any) -> Any:
        parsed.append(content)
        return content

    return JsonFile(tmp_path / "file.json", parse)


def changed(file: JsonFile[Any], content: Any, changed_ns: int) -> None:
    """As another process would, in place and at a time of its choice."""
    file.path.write_text(json.dumps(content), encoding="utf-8")
    os.utime(file.path, ns=(changed_ns, changed_ns))


def test_a_second_change_within_one_tick_of_the_file_systems_clock_is_seen(file: JsonFile[Any]) -> None:
    now = time.time_ns()
    for content in (["on_"], ["off"], ["on_"]):
        changed(file, content, now)
        assert file.load() == content


def test_a_file_that_has_not_changed_for_a_while_is_read_once(file: JsonFile[Any], parsed: list[Any]) -> None:
    changed(file, ["on"], time.time_ns() - 10 * TICK_NS)
    assert [file.load() for _ in range(3)] == [["on"]] * 3
    assert parsed == [["on"]]
