"""A search of the conversation itself, word for word, once earlier turns are summed up or left out."""

from foundation.extensions import Extension

extension = Extension(
    about="A search of the conversation itself, word for word, once earlier turns are summed up or left out.",
    requires=("agent_middleware",),
    parts=(("orchestration.middleware/conversation_search", "extensions.conversation_search.search"),),
)
