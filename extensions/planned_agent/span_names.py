"""What the spans of a planned turn say."""

from typing import Final

PLAN_ROUTE: Final = "sixply.plan.route"
PLAN_MADE_BY: Final = "sixply.plan.made_by"
PLAN_STEPS: Final = "sixply.plan.steps"
"""Kinds, tools and order of the plan's steps, without anybody's words."""
PLAN_CHANGES: Final = "sixply.plan.changes"
EVIDENCE_WITH_ORDERS: Final = "sixply.evidence.with_orders"
"""Number of evidence sentences that read like instructions to a model."""
