"""The button under an answer by which its conversation goes on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.hooks import AnswerAction

if TYPE_CHECKING:  # a command plugs this in, too, and needs neither the agents nor the server
    from foundation.types import Principal
    from orchestration.events import Conversation
    from serving.runtime import Runtime
    from serving.wiring import System


def can_go_on(system: System, principal: Principal) -> bool:
    """Whether the caller's agent keeps messages; others copy whole conversations only."""
    from orchestration.flow.message_agent import MessageAgent
    from orchestration.run.wrapping import innermost

    return isinstance(innermost(system.agent, principal), MessageAgent)


async def _go_on(thread_id: str, answer_id: str, principal: Principal, runtime: Runtime) -> Conversation:
    from extensions.forks.routes import copy_conversation

    return await copy_conversation(thread_id, answer_id, principal, runtime)


GO_ON = AnswerAction(label="Go on from here", icon="alt_route", is_offered=can_go_on, run=_go_on)
