"""Where tokens plug in: what checks them is offered to whatever identifies callers."""

from extensions.tokens.settings import TokenSettings
from extensions.tokens.verifier import TokenVerifier
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    settings, context = hooks.section(TokenSettings), hooks.context
    if settings.jwks_file is not None:
        path, policy = context.data_dir / settings.jwks_file, hooks.settings.orchestration.policy
        hooks.services.append(TokenVerifier(path, settings, policy, context.clock))
