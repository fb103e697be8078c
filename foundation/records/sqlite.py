"""Records in SQLite, a file for each in the data folder. For one replica."""

from foundation.components import Context
from foundation.settings import Section as Options  # it takes none
from foundation.stores.sqlite_file import Open, SqliteFile


def build(options: Options, context: Context) -> Open:  # noqa: ARG001  # every adapter has this signature
    return SqliteFile
