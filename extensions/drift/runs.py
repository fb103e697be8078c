"""What differs between two runs, by the manifests that the data folder keeps (`foundation/machine/manifest.py`)."""

import json
from pathlib import Path

from foundation.settings import flatten


def changes(folder: Path, before: str, now: str) -> list[str]:
    """Return the differences of two runs, one line each. Where a manifest cannot be read, the only line says which and why."""
    runs = []
    try:
        for file in (folder / f"{before}.json", folder / f"{now}.json"):
            runs.append(dict(flatten(json.loads(file.read_text(encoding="utf-8")))))
    except FileNotFoundError:
        return [f"unknown: {file} is not there, because that run was made elsewhere or make retention deleted it"]
    except (OSError, ValueError, AttributeError) as error:
        return [f"unknown: {file} is damaged: {error}. Delete it; the next start with these settings writes it again"]
    ours, theirs = runs
    return [
        f"{key}: {theirs.get(key, 'none')}, was {ours.get(key, 'none')}"
        for key in sorted((ours.keys() | theirs.keys()) - {"manifest_id", "created_at"})
        if ours.get(key) != theirs.get(key)
    ]
