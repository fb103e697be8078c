"""Answers from documents that are given again where nothing they rest on has changed."""

from foundation.extensions import Extension

extension = Extension(
    about="Answers from documents that are given again where nothing they rest on has changed.",
    requires=("planned_agent",),
    settings="extensions.answer_cache.settings:AnswerCacheSettings",
    plug="extensions.answer_cache.plug:plug",
)
