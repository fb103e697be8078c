"""Middleware of LangChain or your own around the calls of the agent's model and tools, within the policy."""

from foundation.extensions import Extension

extension = Extension(
    about="Middleware of LangChain or your own around the calls of the agent's model and tools, within the policy.",
    settings="extensions.agent_middleware.settings:MiddlewareSettings",
    plug="extensions.agent_middleware.plug:plug",
)
