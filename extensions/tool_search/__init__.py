"""A search over tools, for a model that would otherwise be shown hundreds of them in each round."""

from foundation.extensions import Extension

extension = Extension(
    about="A search over tools, for a model that would otherwise be shown hundreds of them in each round.",
    requires=("agent_middleware",),
    parts=(("orchestration.middleware/tool_search", "extensions.tool_search.search"),),
)
