"""The section [synonyms]."""

from pathlib import Path

from pydantic import Field

from foundation.settings import BESIDE_STACK, Section

DEFAULT = Path("synonyms.toml")


class SynonymsSettings(Section):
    """Words of the house."""

    file: Path = Field(default=DEFAULT, json_schema_extra=BESIDE_STACK)
    """Words that mean the same, as `make synonyms` writes them; where it is not there, there are none."""
    periods: bool = True
    """Whether FY2023, FY23 and fiscal 2023 mean the same, and Q3 and third quarter."""

    def place(self, stack_dir: Path) -> Path:
        """Return where the file is: one that stack.toml names is relative to it already."""
        return stack_dir / self.file if self.file == DEFAULT else self.file
