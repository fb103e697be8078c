"""OpenAI's APIs, so that their clients can talk to this system: Chat Completions and Responses."""

from foundation.extensions import Extension

extension = Extension(
    about="OpenAI's APIs, so that their clients can talk to this system: Chat Completions and Responses.",
    requires=("forks", "jobs", "structured"),
    parts=(("orchestration.prompts/openai_api", "extensions.openai_api.prompts"),),
    plug="extensions.openai_api.plug:plug",
)
