"""Chat models, one file each. Any LangChain chat model can be named by its dotted path."""

from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from foundation.settings import Part


def adopt(model: Any, part: "Part") -> Any:
    """Return a model of one of LangChain's classes without the sampling that nobody set, and with its usage asked for."""
    from models.resilience.bindings import SAMPLING

    fields = getattr(type(model), "model_fields", {})
    unset = {
        name: None
        for name in SAMPLING & fields.keys() - part.options.keys()
        # one that takes no `None` is left, but for Mistral's, which leaves a `None` out of the request
        if type(None) in get_args(fields[name].annotation) or type(model).__module__.startswith("langchain_mistralai")
    }
    asked = {"stream_usage": True} if "stream_usage" in fields.keys() - part.options.keys() else {}
    return model.model_copy(update=unset | asked) if unset or asked else model
