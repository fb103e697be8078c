"""What tests of the planned agent share."""

from types import SimpleNamespace

from extensions.planned_agent.prompts import FOLDER
from orchestration.prompts.files import read_prompt

PROMPTING = SimpleNamespace(prompt=lambda name: read_prompt(name, FOLDER), note=lambda _: None)
"""What a planner that asks no model needs of a run."""
