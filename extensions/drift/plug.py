"""Where drift plugs in: answers are scored as they are given."""

from extensions.drift.scoring import OnlineScorer
from extensions.drift.settings import DriftSettings
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.services.append(OnlineScorer(hooks.section(DriftSettings).scored_share))
