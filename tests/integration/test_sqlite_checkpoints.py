"""What readiness says of conversations whose file cannot be read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from foundation.components import Context
from orchestration.checkpoints import sqlite
from serving.runtime import StoreProbe
from serving.settings import Settings


async def test_readiness_knows_what_the_store_of_conversations_itself_raises(tmp_path: Path) -> None:
    checkpoints = sqlite.build(sqlite.Options(), Context(data_dir=tmp_path))
    checkpoints.get_tuple = Mock(side_effect=sqlite3.OperationalError("disk I/O error"))  # type: ignore[method-assign]
    parts: Any = SimpleNamespace(
        hooks=SimpleNamespace(ready={}),
        settings=Settings(),
        observability=SimpleNamespace(costs=Mock()),
        parts=SimpleNamespace(checkpoints=checkpoints),
    )
    try:
        assert StoreProbe(parts).read({})[1] == {"conversations": "store_unavailable"}
    finally:
        checkpoints.close()
