"""A connection to the tables of a ledger: one spelling of statements and values, whichever database keeps them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from retrieval.contract import Chunk
from retrieval.filters import Leaf, Stored
from retrieval.tables.scope import Conditions

Values = Mapping[str, Any]


class TablesConnection(ABC):
    """What is bound in a statement is spelled `:name`; its values are lists, days and times as Python has them."""

    conditions: ClassVar[Conditions]
    """Who is shown which document."""
    JOIN: ClassVar[str]
    """Joins tables in the order in which they are written."""
    BY_CHUNK_ID: ClassVar[str] = ""
    """Behind a table of passages that are looked up by their ids."""
    READ_FINGERPRINT: ClassVar[str]
    WRITE_FINGERPRINT: ClassVar[str]
    """`:text` is put in place of what stands there."""

    @abstractmethod
    def execute(self, query: str, values: Values | None = None) -> Any:
        """Gives a cursor, as databases do."""

    @abstractmethod
    def execute_many(self, query: str, rows: Sequence[Values]) -> None: ...

    @abstractmethod
    def stream(self, query: str, values: Values | None = None) -> Iterator[Any]:
        """Rows that are not held in memory together."""

    @staticmethod
    @abstractmethod
    def unnest(name: str) -> str:
        """The bound list of that name as a table `wanted`, with a `value` and its place as `key`."""

    @staticmethod
    @abstractmethod
    def filter_leaf(leaf: Leaf, bind: Callable[[Any], str]) -> str:
        """A single condition of a filter on a document `d`."""

    @abstractmethod
    def insert_filterable(self, document_id: str, attributes: Mapping[str, Stored]) -> None: ...

    @abstractmethod
    def insert_chunks(self, rows: Sequence[dict[str, Any]], chunks: Sequence[Chunk]) -> None:
        """Store passages and index their words; `rows` have the columns that both databases share."""

    @abstractmethod
    def delete_chunks(self, document_id: str) -> list[str]:
        """Delete a document's passages with their words. Their ids, in the order of their numbers."""

    @abstractmethod
    def delete_documents(self) -> None:
        """All of them, with their passages, their words and the history of changes. Refusals stay."""
