"""Agents as tools: each has its own model, prompt, tools and budget, in one section of stack.toml."""

from foundation.extensions import Extension

extension = Extension(
    about="Agents as tools: each has its own model, prompt, tools and budget, in one section of stack.toml.",
    requires=("agent_middleware",),
    parts=(("orchestration.middleware/subagent", "extensions.subagents.subagent"),),
)
