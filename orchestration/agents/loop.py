"""The agent as a loop in plain Python: the same steps as the graph's, one round after another.

The rounds are in `orchestration.rounds`; here is how a question is answered from documents.
"""

from __future__ import annotations

from orchestration.contract import AgentParts
from orchestration.durable import Options
from orchestration.rounds import Journal, RoundsAgent
from orchestration.run import Run

__all__ = ["LoopAgent", "Options", "build"]


class LoopAgent(RoundsAgent):
    """All questions of a request are searched for together."""

    name = "loop"

    async def _from_documents(self, journal: Journal, run: Run) -> None:
        """Search until the evidence is enough, or nothing more can be done; then say what it says, and check that."""
        do = self._steps
        if do.recalls(journal.state):
            await journal.take("recall", do.recall, run)
        while not journal.state["part"]:
            await journal.take("retrieve", do.retrieve, run)
            if not journal.state["part"]:
                await journal.take("grade", do.grade, run)
            if journal.state["part"] or not do.thin(journal.state):
                break
            await journal.take("rewrite", do.rewrite, run)
        while not journal.state["part"]:  # a draft that does not hold is made once more, of quotes
            await journal.take("compose", do.compose, run)
            await journal.take("verify", do.verify, run)


def build(options: Options, context: AgentParts) -> LoopAgent:
    return LoopAgent(options, context)
