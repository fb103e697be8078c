"""Ledger, vectors, checkpoints and records in PostgreSQL, which several processes and machines share."""

from foundation.extensions import Extension

extension = Extension(
    about="Ledger, vectors, checkpoints and records in PostgreSQL, which several processes and machines share.",
    extra="postgres",
    parts=(
        ("foundation.records/postgres", "extensions.postgres.records"),
        ("retrieval.ledger/postgres", "extensions.postgres.ledger"),
        ("retrieval.vectors/pgvector", "extensions.postgres.vectors"),
        ("orchestration.checkpoints/postgres", "extensions.postgres.checkpoints"),
    ),
    plug="extensions.postgres.plug:plug",
)
