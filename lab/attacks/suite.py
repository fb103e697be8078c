"""Find the attacks of this folder and try them."""

from __future__ import annotations

import importlib
import json
import pkgutil
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from foundation.errors import InvalidRequest, did_you_mean
from lab import attacks
from lab.attacks import victim
from lab.attacks.contract import Attack, GotThrough, stopping_at_first
from lab.attacks.victim import Victim

Progress = Callable[[str, int, int], None]
LOGS = Path("var", "attacks")
"""Where a server's log stays after an attack that broke something, made a request fail inside, or got through."""


@dataclass(frozen=True)
class Outcome:
    """How one attack ended."""

    name: str
    title: str
    tried: int
    through: tuple[str, ...]
    """What got through, a sentence each."""
    seconds: float


def all_attacks() -> tuple[Attack, ...]:
    """Every attack of every module here, in the order of their names."""
    modules = [importlib.import_module(f"{attacks.__name__}.{module.name}") for module in _modules()]
    found = [attack for module in modules for attack in getattr(module, "ATTACKS", ())]
    return tuple(sorted(found, key=lambda attack: attack.name))


def find_attack(name: str) -> Attack:
    """Raises:
    InvalidRequest: no attack has that name.
    """
    known = {attack.name: attack for attack in all_attacks()}
    if name not in known:
        raise InvalidRequest(f'No attack "{name}". {did_you_mean(name, known)}')
    return known[name]


def choose(names: Sequence[str]) -> tuple[Attack, ...]:
    """The attacks of those names, or all of them where none is given.

    Raises:
        InvalidRequest: as `find_attack`.
    """
    return tuple(find_attack(name) for name in names) or all_attacks()


def try_all(chosen: Iterable[Attack], *, progress: Progress) -> Iterator[Outcome]:
    """Try them one after the other. Those that harm nobody else share a server."""
    waiting = sorted(chosen, key=lambda attack: attack.needs_own_server)
    with ExitStack() as opened:
        shared: Victim | None = None
        for number, attack in enumerate(waiting):
            progress("attacks", number, len(waiting))
            if attack.needs_own_server:
                with _server(attack) as own:
                    yield try_and_keep_log(attack, own)
            else:
                shared = shared or opened.enter_context(_server(attack))
                yield try_and_keep_log(attack, shared)


def try_reopened(attack: Attack) -> Outcome:
    """Try it on a server without the defence, until something gets through."""
    with _server(attack, reopen=attack.name) as own, stopping_at_first():
        return _try(attack, own)


def report(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The same as JSON."""
    return {
        "tried": sum(outcome.tried for outcome in outcomes),
        "through": sum(len(outcome.through) for outcome in outcomes),
        "attacks": [asdict(outcome) for outcome in outcomes],
    }


def _try(attack: Attack, server: Victim) -> Outcome:
    started = time.perf_counter()
    try:
        tried = attack.run(server)
    except GotThrough as ended:
        tried = ended.tried
    return Outcome(attack.name, attack.title, tried.count, tuple(tried.through), time.perf_counter() - started)


def try_and_keep_log(attack: Attack, server: Victim) -> Outcome:
    """Try it. A request that failed inside got through, too, and the server's log stays."""
    kept, begins_at = LOGS / f"{attack.name}.log", server.log.stat().st_size
    kept.unlink(missing_ok=True)
    try:
        outcome = _try(attack, server)
    except BaseException:
        _copy_log(server, kept)
        raise
    failed = _count_failed_inside(server, begins_at)
    if failed:
        sentence = f"{failed} requests failed inside; the server's log is {kept}"
        outcome = replace(outcome, through=(*outcome.through, sentence))
    if outcome.through:
        _copy_log(server, kept)
    return outcome


def _count_failed_inside(server: Victim, begins_at: int) -> int:
    """Requests with a status of 500 and above that no error of ours has: 503 and 504 say what is down, busy or late."""
    lines = server.log.read_bytes()[begins_at:].rpartition(b"\n")[0].splitlines()  # the last may be half written
    statuses = [json.loads(line).get("status") or 0 for line in lines if line.startswith(b'{"at"')]
    return sum(status >= 500 and status not in {503, 504} for status in statuses)


def _copy_log(server: Victim, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(server.log, kept)


@contextmanager
def _server(attack: Attack, *, reopen: str | None = None) -> Iterator[Victim]:
    with (
        tempfile.TemporaryDirectory(prefix="attack-") as folder,
        victim.start(Path(folder), stack=attack.stack, reopen=reopen) as server,
    ):
        yield server


def _modules() -> list[pkgutil.ModuleInfo]:
    return list(pkgutil.iter_modules(attacks.__path__))
