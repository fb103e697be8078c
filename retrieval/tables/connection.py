"""A connection to the tables of a ledger, with one spelling of statements and values for all databases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from retrieval.documents import Chunk
from retrieval.filters import Leaf, Stored
from retrieval.tables.scope import Conditions

Values = Mapping[str, Any]


class TablesConnection(ABC):
    """A connection of one database. Bound values are spelled `:name`; they are Python's lists, dates and times."""

    conditions: ClassVar[Conditions]
    """The SQL conditions of who may see a document."""
    JOIN: ClassVar[str]
    """The join that keeps tables in the written order."""
    BY_CHUNK_ID: ClassVar[str] = ""
    """An index hint after a table of passages that is looked up by ids."""
    READ_FINGERPRINT: ClassVar[str]
    WRITE_FINGERPRINT: ClassVar[str]
    """The statement that stores the fingerprint `:text` in place of the old one."""

    @abstractmethod
    def execute(self, query: str, values: Values | None = None) -> Any:
        """Execute a statement and return a cursor."""

    @abstractmethod
    def execute_many(self, query: str, rows: Sequence[Values]) -> None: ...

    @abstractmethod
    def stream(self, query: str, values: Values | None = None) -> Iterator[Any]:
        """Yield rows without holding all in memory."""

    @staticmethod
    @abstractmethod
    def unnest(name: str) -> str:
        """Return SQL for the bound list `name` as a table `wanted` with columns `value` and `key` (its index)."""

    @staticmethod
    @abstractmethod
    def filter_leaf(leaf: Leaf, bind: Callable[[Any], str]) -> str:
        """Return the SQL of a single filter condition on a document `d`."""

    @abstractmethod
    def insert_filterable(self, document_id: str, attributes: Mapping[str, Stored]) -> None: ...

    @abstractmethod
    def insert_chunks(self, rows: Sequence[dict[str, Any]], chunks: Sequence[Chunk]) -> None:
        """Store passages and index their words. `rows` have the columns that all databases share."""

    @abstractmethod
    def delete_chunks(self, document_id: str) -> list[str]:
        """Delete a document's passages and their words; return their ids in the order of their sequence numbers."""

    @abstractmethod
    def delete_documents(self) -> None:
        """Delete all documents with passages, words and the history of changes. Refusals stay."""
