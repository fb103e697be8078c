"""The version that runs."""

from importlib import metadata

from foundation import names


def version() -> str:
    try:
        return metadata.version(names.SERVICE)
    except metadata.PackageNotFoundError:
        return "0+unknown"  # not installed; the manifest carries the commit
