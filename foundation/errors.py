"""Every error that Sixply raises on purpose, in families by who must act.

SixplyError
├── ConfigurationError                 the operator, before the system starts
│   ├── UnknownSetting                 a key that no layer knows
│   ├── InvalidSetting                 a value that does not fit
│   ├── UnknownPart                    no adapter of that name in the port's folder
│   ├── MissingDependency              an adapter whose package is not installed
│   ├── MissingCredential              a part that needs a key and has none
│   ├── WeightsInvalid                 a weight file missing, altered or of a forbidden format
│   ├── FingerprintMismatch            the ledger was written with another embedder or chunker
│   ├── StoreInUse                     another process owns the store
│   └── AddressInUse                   the port to listen on is taken
├── RequestError                       the caller (4xx)
│   ├── InvalidRequest                 422
│   │   └── DocumentRefused            422: empty, binary, encrypted, malformed, too large to parse
│   ├── Unauthenticated                401
│   ├── Forbidden                      403
│   │   └── PolicyDenied               403: the executor or a policy said no
│   ├── NotFound                       404: absent, or not yours
│   ├── Conflict                       409
│   ├── Gone                           410: an approval that has expired
│   │   └── PersonErased               410: the caller was erased while this was at work
│   ├── TooLarge                       413
│   └── BudgetExceeded                 429: money, tokens, steps or seconds are used up
└── ComponentError                     a vendor or a store (503/504), `retryable` says whether to try again
    ├── UpstreamLimited                503: the provider asks us to slow down
    ├── UpstreamDown                   503: refused, reset, 5xx
    ├── UpstreamRejected               503: the provider refused our key or our request
    │   └── ContextTooLong             503: the prompt and the reply do not fit into the model's window
    ├── UpstreamTimeout                504
    ├── UpstreamMalformed              503: an answer that we cannot use
    ├── StoreUnavailable               503: locked, read-only, unreachable
    │   └── StorageFull                503
    ├── IndexRebuilding                503
    ├── Overloaded                     503
    ├── Stopped                        503: an operator has stopped it
    ├── ModelForbidden                 503: the policy lets this tenant use none of the chat models
    └── ShuttingDown                   503

A message says what happened, what was found and what to do.
"""

import copyreg
import difflib
import math
import re
from collections.abc import Iterable
from typing import Any, ClassVar

from foundation.output.credentials import mask_text

# Most characters of a message, which may quote a megabyte from a caller
LONGEST_MESSAGE = 20_000
# Most seconds of a wait; no quota has a longer window, and a provider may send any number
LONGEST_WAIT_S = 31 * 86_400.0


def sensible_wait_s(seconds: float | None) -> float | None:
    """Return a wait that can be printed, compared and slept: 0 to 31 days, `None` where it is not finite.

    >>> [sensible_wait_s(wait) for wait in (2.5, -5, float("nan"), float("inf"), 1e300)]
    [2.5, 0.0, None, None, 2678400.0]
    """
    if seconds is None or not math.isfinite(seconds):
        return None
    return min(max(0.0, float(seconds)), LONGEST_WAIT_S)


class SixplyError(Exception):
    """The base class of all errors. `str(error)` is for people; `code` and `retryable` are for programs."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    retry_after_s: float | None = None
    thread_id: str | None = None
    """The conversation in which it came, whose work so far is kept: the same question asked there goes on with it."""

    def __init_subclass__(cls) -> None:
        """Set `code` to the class's name in snake case, unless the class defines it."""
        super().__init_subclass__()
        if "code" not in vars(cls):
            cls.code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower().removesuffix("_error")

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        # it may quote an address, a setting or what a vendor said
        super().__init__(mask_text(message[:LONGEST_MESSAGE]))
        self.retry_after_s = sensible_wait_s(retry_after_s)

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]  # as for other objects

    @property
    def public(self) -> str:
        """The text for callers of the API; it differs from `str(error)` where that names files or quotes a store."""
        return str(self)


class ConfigurationError(SixplyError): ...


class UnknownSetting(ConfigurationError): ...


class InvalidSetting(ConfigurationError): ...


class UnknownPart(ConfigurationError): ...


class MissingDependency(ConfigurationError): ...


class MissingCredential(ConfigurationError): ...


class WeightsInvalid(ConfigurationError): ...


class FingerprintMismatch(ConfigurationError): ...


class StoreInUse(ConfigurationError): ...


class AddressInUse(ConfigurationError): ...


class RequestError(SixplyError):
    status = 400


class InvalidRequest(RequestError):
    status = 422


class DocumentRefused(InvalidRequest):
    """A document is refused. `reason` is a stable word: empty, encrypted, malformed, unsupported, too_large, timeout ..."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Unauthenticated(RequestError):
    status = 401


class Forbidden(RequestError):
    status = 403


class PolicyDenied(Forbidden): ...


class NotFound(RequestError):
    status = 404


class Conflict(RequestError):
    status = 409


class Gone(RequestError):
    status = 410


class PersonErased(Gone):
    code = "erased"


class TooLarge(RequestError):
    status = 413


class BudgetExceeded(RequestError):
    """A budget is used up. `limit` names it: steps, tokens, usd, seconds, tokens_per_day or usd_per_day."""

    status = 429

    def __init__(self, message: str, *, limit: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.limit = limit


class ComponentError(SixplyError):
    """A vendor or a store failed. The text is for the operator and may name addresses and paths; callers get `public`."""

    status = 503

    def __init__(self, message: str, *, public: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self._public = public

    @property
    def public(self) -> str:
        return self._public or str(self)


class UpstreamLimited(ComponentError):
    retryable = True


class UpstreamDown(ComponentError):
    retryable = True
    reply: Any = None  # the message that says so, where one came: it may have been billed


class UpstreamRejected(ComponentError): ...


class ContextTooLong(UpstreamRejected): ...


class UpstreamTimeout(ComponentError):
    status = 504
    retryable = True


class UpstreamMalformed(ComponentError):
    retryable = True


class StoreUnavailable(ComponentError):
    """A store cannot be used. The text quotes the store."""

    retryable = True
    said_to_callers: ClassVar[str] = (
        "A store of the server cannot be used now. Try again later; the server's log says which one and why."
    )

    @property
    def public(self) -> str:
        return self._public or self.said_to_callers


class StorageFull(StoreUnavailable):
    said_to_callers = (
        "The server has no room left on its disk. What was sent is not stored; try again when there is room."
    )


class IndexRebuilding(ComponentError):
    retryable = True


class Overloaded(ComponentError):
    retryable = True


class Stopped(ComponentError): ...


class ModelForbidden(ComponentError): ...


class ShuttingDown(ComponentError):
    retryable = True


LISTED = 20


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return the end of an error text: the existing names, at most twenty, and the nearest one if one is near.

    >>> did_you_mean("chorma", ["chroma", "memory"])
    'Found: chroma, memory. Did you mean "chroma"?'
    """
    names = sorted(choices)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    listed = f"Found: {', '.join(names[:LISTED]) or 'nothing'}{more}."
    return f"{listed} {suggest(name, names)}".rstrip()


def suggest(name: str, *groups: Iterable[str]) -> str:
    """Return the question whether the nearest name was meant: one of each group, in the groups' order; empty where none is near.

    >>> suggest("aks", ["ask", "serve"], ["leaks"])
    'Did you mean "ask" or "leaks"?'
    """
    near = [found for group in groups for found in difflib.get_close_matches(name, sorted(group), n=1)]
    return f"""Did you mean {" or ".join(f'"{found}"' for found in near)}?""" if near else ""
