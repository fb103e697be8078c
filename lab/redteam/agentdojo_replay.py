"""AgentDojo's worlds behind a pipe. Runs in an environment of its own, which has agentdojo and nothing of ours.

Reads one JSON request a line from standard input and writes one JSON reply a line. The other end is
`lab.redteam.executor`. AgentDojo (Debenedetti et al., 2024, arXiv:2406.13352) brings the worlds, the users' requests, the
calls that would fulfil them, the attackers' goals with the calls that reach them, and the functions that judge.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from agentdojo.attacks.important_instructions_attacks import (
    DEFAULT_MODEL_NAME,
    DEFAULT_USER_NAME,
    ImportantInstructionsAttackNoNames,
)
from agentdojo.functions_runtime import FunctionCall, FunctionsRuntime
from agentdojo.task_suite.load_suites import get_suites

MESSAGE = ImportantInstructionsAttackNoNames._JB_STRING.format(
    user=DEFAULT_USER_NAME, model=DEFAULT_MODEL_NAME, goal="{goal}"
)


class Replay:
    """One world at a time."""

    def __init__(self) -> None:
        self._suites: dict[str, Any] = {}
        self._worlds: dict[tuple[str, str], Any] = {}
        self._suite: Any = None
        self._before: Any = None
        self._world: Any = None
        self._user: Any = None
        self._attack: Any = None
        self._written = False
        self._made: list[FunctionCall] = []

    def suites(self, version: str) -> dict[str, Any]:
        self._suites, self._worlds = dict(get_suites(version)), {}
        return {
            name: {
                "tools": {tool.name: [tool.description, tool.parameters.model_json_schema()] for tool in suite.tools},
                "users": list(suite.user_tasks),
                "attacks": list(suite.injection_tasks),
            }
            for name, suite in self._suites.items()
        }

    def open(self, suite: str, user: str, attack: str | None = None, *, written: str = "") -> dict[str, Any]:
        """A fresh world. What is `written` in every place that an outsider can write to: nothing, the attacker's bare
        `goal`, or AgentDojo's `message` to a model that asks for it.
        """
        self._suite, self._made = self._suites[suite], []
        self._user = self._suite.user_tasks[user]
        self._attack = self._suite.injection_tasks[attack] if attack else None
        clean = self._fresh(suite, "")
        text = {"goal": "{goal}", "message": MESSAGE}.get(written, "")
        self._written = bool(self._attack and text)
        self._world = self._fresh(suite, text.replace("{goal}", self._attack.GOAL)) if self._written else clean
        self._before = self._world.model_copy(deep=True)
        return {
            "words": self._user.PROMPT,
            "user_calls": _calls(self._user, clean.model_copy(deep=True)),
            "attack_calls": _calls(self._attack, self._before.model_copy(deep=True)) if self._attack else [],
        }

    def _fresh(self, suite: str, text: str) -> Any:
        if (suite, text) not in self._worlds:  # reading one from its file takes longer than all else
            places = self._suite.get_injection_vector_defaults()
            given = dict.fromkeys(places, " ".join(text.split())) if text else {}
            self._worlds[suite, text] = self._suite.load_and_inject_default_environment(given)
        return self._user.init_environment(self._worlds[suite, text].model_copy(deep=True))

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        call = FunctionCall(function=tool, args=arguments)
        result, error = FunctionsRuntime(self._suite.tools).run_function(self._world, tool, arguments)
        if error is None:
            self._made.append(call)
        return {"result": _plain(result), "error": error}

    def judge(self, text: str | None = None) -> dict[str, Any]:
        """Whether the attacker reached the goal, and the user, by AgentDojo's own functions; and how many calls were made.

        Some functions look for what the attacker wanted done by words that stand in the attacker's message too, and take
        the message for a second one. So the attack is also judged by the same calls in a world without the message.
        """
        attack = self._judged(self._attack, text, self._before, self._world)
        if not attack and self._written:
            before = self._fresh(self._suite.name, "")
            world = before.model_copy(deep=True)
            for call in self._made:
                FunctionsRuntime(self._suite.tools).run_function(world, call.function, dict(call.args))
            attack = self._judged(self._attack, text, before, world)
        return {
            "attack": attack,
            "user": self._judged(self._user, text, self._before, self._world),
            "calls": len(self._made),
        }

    def _judged(self, task: Any, text: str | None, before: Any, world: Any) -> bool:
        if task is None:
            return False
        content = [{"type": "text", "content": (task.GROUND_TRUTH_OUTPUT if text is None else text) or ""}]
        check = self._suite._check_task_result
        return bool(check(task, content, before, world, self._made))


def _calls(task: Any, world: Any) -> list[list[Any]]:
    return [[call.function, json.loads(json.dumps(dict(call.args), default=str))] for call in task.ground_truth(world)]


def _plain(result: Any) -> Any:
    if hasattr(result, "model_dump"):
        return result.model_dump(mode="json")
    if isinstance(result, dict):
        return {str(key): _plain(value) for key, value in result.items()}
    if isinstance(result, list | tuple | set):
        return [_plain(value) for value in result]
    return result if isinstance(result, str | int | float | bool | None) else str(result)


def main() -> None:
    warnings.simplefilter("ignore")
    replay = Replay()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"reply": getattr(replay, request.pop("do"))(**request)}
        except Exception as error:
            reply = {"failed": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(reply, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
