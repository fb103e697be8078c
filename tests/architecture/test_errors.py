"""The tree drawn at the top of foundation/errors.py is the tree."""

from __future__ import annotations

import pickle
import re

import pytest

from foundation import errors
from foundation.errors import (
    BudgetExceeded,
    ComponentError,
    ConfigurationError,
    DocumentRefused,
    RequestError,
    SixplyError,
)

DRAWN = re.compile(r"^(?P<rails>[│ ├└─]*)(?P<name>[A-Z]\w+)(?:\s+(?P<says>.*))?$")


def descendants(root: type[SixplyError]) -> list[type[SixplyError]]:
    below = [deeper for child in root.__subclasses__() for deeper in descendants(child)]
    return [root, *below]


OURS = [error for error in descendants(SixplyError) if error.__module__ == errors.__name__]


def drawn() -> dict[str, tuple[str | None, str]]:
    """Name -> (parent's name, remark), read from the drawing."""
    found: dict[str, tuple[str | None, str]] = {}
    way: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = DRAWN.match(line)
        if match and (match["rails"] or match["name"] == "SixplyError"):
            depth = len(match["rails"]) // 4
            way = [*way[:depth], match["name"]]
            found[match["name"]] = (way[-2] if depth else None, match["says"] or "")
    return found


def test_the_drawn_tree_is_the_real_tree():
    real = {error.__name__: error.__base__.__name__ if error is not SixplyError else None for error in OURS}
    assert {name: parent for name, (parent, _) in drawn().items()} == real


def test_every_error_has_a_code_of_its_own():
    codes = [vars(error).get("code") for error in OURS]
    assert None not in codes
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", OURS, ids=lambda error: error.__name__)
def test_the_status_fits_the_family_and_the_drawing(error):
    if issubclass(error, RequestError):
        assert 400 <= error.status < 500
        assert not error.retryable, "the same request would be refused again"
    elif issubclass(error, ComponentError):
        assert error.status in {503, 504}
    else:
        assert error.status == 500, "an operator's error never reaches a caller by another status"
        assert not error.retryable
    remarked = re.match(r"\d{3}", drawn()[error.__name__][1])
    assert remarked is None or int(remarked[0]) == error.status


def test_every_family_is_one_that_somebody_can_act_on():
    assert set(SixplyError.__subclasses__()) >= {ConfigurationError, RequestError, ComponentError}
    assert all(
        issubclass(error, (ConfigurationError, RequestError, ComponentError))
        for error in OURS
        if error is not SixplyError
    )


def test_extra_facts_are_attributes_and_not_only_text():
    assert DocumentRefused("x", reason="encrypted").reason == "encrypted"
    assert BudgetExceeded("x", limit="usd").limit == "usd"
    assert errors.UpstreamLimited("x", retry_after_s=3).retry_after_s == 3


@pytest.mark.parametrize(
    "error",
    [
        DocumentRefused("It is a scan.", reason="empty"),
        BudgetExceeded("No step is left.", limit="steps", retry_after_s=2.0),
        errors.StoreUnavailable("It is locked.", public="Try again."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_reaches_another_process_with_all_that_it_says(error: SixplyError) -> None:
    sent = pickle.loads(pickle.dumps(error))
    assert (type(sent), str(sent), vars(sent)) == (type(error), str(error), vars(error))
