"""[agent_middleware]: what stands around the calls of the agent's model and tools."""

from foundation.settings import NamedPart, Section

# Where extensions bring middleware
SECTION = "orchestration.middleware"


class MiddlewareSettings(Section):
    listed: tuple[NamedPart, ...] = ()
    """Middleware, such as `"langchain.agents.middleware:TodoListMiddleware"`, from the outer to the inner; with options as a table."""
