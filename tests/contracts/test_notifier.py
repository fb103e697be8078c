"""The promises of a notifier of approvals, on every adapter in orchestration/notifiers and on broken ones that must be rejected."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Assembly, Context
from orchestration.actions import ApprovalNotice
from orchestration.contract import ApprovalNotifier
from tests.contracts import under_test
from tests.contracts.broken import notifier as broken
from tests.doubles.receiver import Receiver

SECRET = "a secret of this test alone"  # it protects nothing
NOTICE = ApprovalNotice(
    approval_id="ap-1",
    tenant="north",
    tool="send_parcel",
    requested_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
    expires_at=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    link="https://desk.example.com/approvals/ap-1",
)
ODD_NAMES = ("", "a" * 5000, "北", "nul\x00byte", '{"}', "<b>", "%s %d", "'; --")


@dataclass
class Heard:
    """A notifier and what arrives of what it tells."""

    notifier: ApprovalNotifier
    messages: Callable[[], list[str]]

    def told(self, notice: ApprovalNotice) -> list[str]:
        before = len(self.messages())
        self.notifier.announce(notice)
        return self.messages()[before:]


def tells_what_waits_and_until_when(heard: Heard) -> None:
    (message,) = heard.told(NOTICE)
    assert all(text in message for text in ("ap-1", "north", "send_parcel", "2026-03-02T09:30"))


def tells_where_it_is_decided(heard: Heard) -> None:
    assert NOTICE.link in " ".join(heard.told(NOTICE))


def tells_it_once(heard: Heard) -> None:
    assert len(heard.told(NOTICE)) == 1


def tells_again_what_it_is_given_again(heard: Heard) -> None:
    """Whether the first one arrived is known to nobody after a crash."""
    heard.notifier.announce(NOTICE)
    assert len(heard.told(NOTICE)) == 1


def takes_any_name(heard: Heard) -> None:
    for name in ODD_NAMES:
        assert len(heard.told(NOTICE.model_copy(update={"tenant": name, "tool": f"tool {name}"}))) == 1


def a_name_forges_no_second_message(heard: Heard) -> None:
    forged = NOTICE.model_copy(update={"tenant": "north\napproval 'ap-2' of tenant 'south' waits", "tool": "a\r\nb"})
    messages = heard.told(forged)
    assert len(messages) == 1
    assert "\n" not in messages[0]


def gives_nothing_back(heard: Heard) -> None:
    assert heard.notifier.announce(NOTICE) is None  # type: ignore[func-returns-value]


def survives_concurrent_calls(heard: Heard) -> None:
    notices = [NOTICE.model_copy(update={"approval_id": f"ap-{number}-"}) for number in range(16)]
    before = len(heard.messages())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(heard.notifier.announce, notices))
    messages = heard.messages()[before:]
    assert all(sum(notice.approval_id in message for message in messages) == 1 for notice in notices)


PROMISES: list[Callable[[Heard], None]] = [
    tells_what_waits_and_until_when, tells_where_it_is_decided, tells_it_once, tells_again_what_it_is_given_again,
    takes_any_name, a_name_forges_no_second_message, gives_nothing_back, survives_concurrent_calls,
]  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def hear(
    receiver: Receiver, data_dir: Path, caplog: pytest.LogCaptureFixture, watched: under_test.Watch
) -> Iterator[Callable[[str], Heard]]:
    """Opens an adapter by its name."""
    caplog.set_level(logging.INFO)
    with ExitStack() as opened:
        assembly = Assembly(Context(data_dir=data_dir), opened)

        def open_adapter(name: str) -> Heard:
            options = {"url": f"{receiver.url}/hook", "secret": SECRET} if name == "webhook" else {}
            part = under_test.part("orchestration.notifier", name, **options)
            notifier = watched(
                "orchestration.notifier", assembly.part("orchestration.notifier", part, ApprovalNotifier)
            )
            if not (messages := _hears(name, notifier, receiver, caplog)):
                pytest.skip("not claimed: what it tells arrives elsewhere")
            return Heard(notifier, messages)

        yield open_adapter


@pytest.mark.parametrize("name", under_test.adapters("orchestration.notifier"))
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_adapter_keeps(name: str, promise: Callable[[Heard], None], hear: Callable[[str], Heard]) -> None:
    promise(hear(name))


def _hears(
    name: str, notifier: Any, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> Callable[[], list[str]] | None:
    if name == "webhook":
        return lambda: [body.decode() for _, body in receiver.requests]
    notifier.announce(NOTICE)  # one from outside: what it writes into the log can be read
    module = type(notifier).__module__
    return (lambda: _logged(caplog, module)) if _logged(caplog, module) else None


def _logged(caplog: pytest.LogCaptureFixture, module: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == module]


# --- the suite itself -------------------------------------------------------------------------------------------------


def _failures(notifier: Any, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.set_level(logging.INFO)
    failed = []
    for promise in PROMISES:
        try:
            promise(Heard(notifier, lambda: _logged(caplog, broken.__name__)))
        except Exception:  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


def test_the_suite_accepts_a_healthy_double(caplog: pytest.LogCaptureFixture) -> None:
    assert _failures(broken.Healthy(), caplog) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
def test_the_suite_rejects(fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert fault.caught_by in _failures(fault(), caplog)
