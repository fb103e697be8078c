"""A world in which the agent knows what people asked to be remembered."""

from extensions.facts.store import FILE, SqliteFacts
from tests.doubles.orchestration import World


class Persons(World):
    """The world, with their facts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.facts = SqliteFacts(self.folder / FILE, self.clock)
        self.services = (self.facts,)

    def close(self) -> None:
        self.facts.close()
        super().close()
