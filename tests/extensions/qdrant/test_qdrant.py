"""The index in Qdrant has a name and options like any other, and `make doctor` misses no credential where a server asks for none."""

from __future__ import annotations

from foundation.components import available, options_of
from foundation.settings import Part
from serving.cli.doctor import check_part


def test_it_is_named_in_stack_toml_like_any_other_index() -> None:
    assert "qdrant" in available("retrieval.vectors")
    options = options_of("retrieval.vectors", "qdrant")
    assert options is not None
    assert {"url", "api_key", "collection"} <= options.model_fields.keys()


def test_a_server_without_a_key_is_no_mistake() -> None:
    assert check_part("retrieval.vectors", Part(use="qdrant", url="http://127.0.0.1:6333")).ok
