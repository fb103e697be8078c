"""Questions to tables: a typed, read-only query over the tables of documents and of databases of one's own."""

from foundation.extensions import Extension

extension = Extension(
    about="Questions to the tables of documents and of your own databases, answered by a typed query with its rows.",
    parts=(("orchestration.tools/tables", "extensions.tables.tools"),),
    plug="extensions.tables.plug:plug",
)
