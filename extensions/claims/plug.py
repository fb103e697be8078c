"""Where the check of meaning plugs in."""

from functools import partial

from extensions.claims.checking import find_unsupported
from extensions.claims.settings import ClaimsSettings
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.answer_checks.append(partial(find_unsupported, hooks.section(ClaimsSettings)))
