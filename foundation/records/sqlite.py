"""Records in SQLite, a file for each in the data folder. For one replica."""

from foundation.components import Context
from foundation.settings import Section
from foundation.stores.sqlite_file import Open, SqliteFile


class Options(Section):
    pass


def build(options: Options, context: Context) -> Open:
    del options, context
    return SqliteFile
