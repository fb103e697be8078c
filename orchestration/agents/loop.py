"""The agent as a loop in plain Python: the same steps as the graph's, one round after another.

The rounds are in `orchestration.flow.rounds`; here is how a question is answered from documents.
"""

from __future__ import annotations

from orchestration.contract import AgentParts
from orchestration.flow.base_agent import Options
from orchestration.flow.rounds import Journal, RoundsAgent
from orchestration.run.run import Run

__all__ = ["LoopAgent", "Options", "build"]


class LoopAgent(RoundsAgent):
    """All questions of a request are searched for together."""

    name = "loop"

    async def _from_documents(self, journal: Journal, run: Run) -> None:
        """Search until the evidence is enough, or nothing more can be done; then say what it says, and check that. Where the
        run was cut off, on from the step that had ended last."""
        while not journal.state["part"]:
            name, step = self._steps.search(journal.state)
            await journal.take(name, step, run, ends={"reached": name})


def build(options: Options, context: AgentParts) -> LoopAgent:
    return LoopAgent(options, context)
