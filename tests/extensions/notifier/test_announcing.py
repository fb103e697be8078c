"""An approval is announced beside the run: it stands, and the answer comes, whatever becomes of the announcement."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from extensions.notifier.announcing import MOST_WAITING, Announcer, notice_of
from extensions.notifier.notice import ApprovalNotice
from extensions.notifier.settings import NotifierSettings
from extensions.notifier.webhook import WebhookNotifier, open_webhook
from foundation.clock import SystemClock
from foundation.errors import ComponentError, InvalidSetting, UpstreamRejected
from orchestration.actions import Approval, Decision
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks
from tests.doubles.orchestration import LEAD, NORTH, World
from tests.doubles.receiver import Receiver

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
APPROVAL = Approval(
    approval_id="ap-1",
    thread_id="th-1",
    tenant="north",
    requested_by="ada.lovelace",
    tool="send_parcel",
    arguments={"parcel_id": "P-123", "reason": "for Ada, 12 Crescent Road"},
    arguments_hash="h",
    reason="Sends P-123 to Ada.",
    asked="Please send P-123 to Ada, 12 Crescent Road",
    requested_at=AT,
    expires_at=AT + timedelta(days=1),
)
SECRET = "a secret of this test alone"  # it protects nothing
LINK = "https://desk.example.com/approvals/{approval_id}"


class Notes:
    """A notifier, a double: waits where it is held, and fails where it is told to."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails, self.notices = fails, list[ApprovalNotice]()
        self.begun, self.free = threading.Event(), threading.Event()
        self.free.set()

    def announce(self, notice: ApprovalNotice) -> None:
        self.begun.set()
        self.free.wait(60)
        if self.fails:
            raise self.fails
        self.notices.append(notice)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def webhook(receiver: Receiver, **options: Any) -> WebhookNotifier:
    settings = NotifierSettings.model_validate({"url": f"{receiver.url}/hook", "secret": SECRET, **options})
    return open_webhook(settings, SystemClock())


def test_a_notice_holds_neither_arguments_nor_words_nor_who_asked() -> None:
    told = notice_of(APPROVAL, LINK).model_dump_json()
    for private in ("P-123", "Ada", "Crescent", "lovelace"):
        assert private not in told
    assert json.loads(told)["link"] == "https://desk.example.com/approvals/ap-1"


def test_an_announcement_returns_before_anybody_was_told() -> None:
    notes = Notes()
    notes.free.clear()
    announcer = Announcer(notes.announce)
    announcer.announce(APPROVAL)
    assert notes.begun.wait(60)
    assert notes.notices == []
    notes.free.set()
    announcer.close()
    assert [notice.approval_id for notice in notes.notices] == ["ap-1"]


@pytest.mark.parametrize("error", [UpstreamRejected("The webhook said no."), KeyError("secret of a vendor")])
def test_a_failure_is_logged_and_counted_and_the_next_one_is_announced(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes(error)
    announcer = Announcer(notes.announce)
    announcer.announce(APPROVAL)
    announcer.announce(APPROVAL)
    announcer.close()
    assert announcer.failed() == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "'ap-1' waits, and nobody could be told" in warnings[0]
    assert "secret" not in caplog.text


def test_an_address_that_is_down_does_not_fill_the_memory() -> None:
    notes = Notes()
    notes.free.clear()
    announcer = Announcer(notes.announce)
    for _ in range(MOST_WAITING + 20):
        announcer.announce(APPROVAL)
    assert announcer.failed() == 20
    notes.free.set()
    announcer.close()


def test_the_end_announces_what_waits_and_gives_up_at_the_first_failure() -> None:
    for fails, told, failed in ((None, 3, 0), (UpstreamRejected("no"), 0, 3)):
        notes = Notes(fails)
        announcer = Announcer(notes.announce)
        for _ in range(3):
            announcer.announce(APPROVAL)
        announcer.close()
        assert (len(notes.notices), announcer.failed()) == (told, failed)


def test_what_comes_after_the_end_is_counted_and_raises_nothing() -> None:
    announcer = Announcer(Notes().announce)
    announcer.close()
    announcer.announce(APPROVAL)
    assert announcer.failed() == 1


async def test_an_effect_that_waits_is_announced_and_waits_as_before_where_nobody_can_be_told(data_dir: Path) -> None:
    world = World(data_dir)
    announcer = Announcer((notes := Notes(UpstreamRejected("no"))).announce)
    world.announce = announcer.announce
    agent = world.agent()
    waiting = await answer(agent, AnswerRequest(question="Please send parcel P-123 because Ada waits"), NORTH)
    announcer.close()
    assert (waiting.status, announcer.failed()) == ("waiting", 1)
    assert notes.begun.is_set()
    assert waiting.approval is not None
    done = await resume(agent, Decision(approval_id=waiting.approval.approval_id, approve=True), LEAD)
    assert done.status == "answered"
    world.close()


# --- the webhook ------------------------------------------------------------------------------------------------------


def signature(key: bytes, headers: dict[str, str], body: bytes) -> str:
    """As the Standard Webhooks specification has it, written down a second time."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(
    ("secret", "key"),
    [(SECRET, SECRET.encode()), ("whsec_" + base64.b64encode(bytes(range(24))).decode(), bytes(range(24)))],
    ids=["plain", "base64"],
)
def test_a_receiver_can_check_who_posted(receiver: Receiver, secret: str, key: bytes) -> None:
    webhook(receiver, secret=secret).announce(notice_of(APPROVAL, LINK))
    ((headers, body),) = receiver.requests
    assert headers["webhook-signature"] == signature(key, headers, body)
    assert headers["webhook-id"] == "ap-1"
    assert json.loads(body)["tool"] == "send_parcel"


@pytest.mark.parametrize("status", [302, 400, 500])
def test_anything_but_success_is_an_error_and_a_redirect_is_not_followed(status: int) -> None:
    with Receiver() as elsewhere, Receiver(status, {"location": f"{elsewhere.url}/there"}) as receiver:
        with pytest.raises(UpstreamRejected, match=str(status)):
            webhook(receiver).announce(notice_of(APPROVAL, LINK))
        assert (len(receiver.requests), elsewhere.requests) == (1, [])


def test_a_receiver_that_does_not_answer_is_left(receiver: Receiver) -> None:
    receiver.released.clear()
    with pytest.raises(ComponentError):
        webhook(receiver, timeout_s=1).announce(notice_of(APPROVAL, LINK))
    receiver.released.set()


def test_nobody_at_the_address_is_an_error_of_ours() -> None:
    with Receiver() as gone:
        notifier = webhook(gone)
    with pytest.raises(ComponentError):
        notifier.announce(notice_of(APPROVAL, LINK))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": "http://hooks.example.com/x"}, "write https://"),
        ({"url": "ftp://hooks.example.com/x"}, "no address"),
        ({"url": "https://me:pw@hooks.example.com/x"}, "holds a password"),
        ({"secret": "short"}, "fewer than 24"),
        ({"secret": "whsec_????????????????????????"}, "not base64"),
    ],
)
def test_an_address_or_a_secret_that_protects_nothing_is_refused_at_start(
    tmp_path: Path, options: dict[str, str], says: str
) -> None:
    lines = {"url": "https://hooks.example.com/x", "secret": SECRET} | options
    section = "[notifier]\n" + "".join(f'{key} = "{value}"\n' for key, value in lines.items())
    with pytest.raises(InvalidSetting, match=says) as caught:
        load(stacks.stack(tmp_path, section, extensions=["notifier"]))
    assert "pw" not in str(caught.value)


def test_without_a_secret_it_does_not_start(tmp_path: Path) -> None:
    loaded = load(stacks.stack(tmp_path, '[notifier]\nurl = "https://hooks.example.com/x"\n', extensions=["notifier"]))
    with pytest.raises(InvalidSetting, match=r"\[notifier\] has no secret"), open_system(loaded):
        pass


def test_without_an_address_it_says_that_nobody_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_system(load(stacks.stack(tmp_path, extensions=["notifier"]))) as system:
        assert system.hooks.announcers == []
    assert "nobody is told of an approval that waits" in caplog.text


def test_turned_on_it_is_told_of_an_approval_that_waits_and_of_nothing_private(
    receiver: Receiver, tmp_path: Path
) -> None:
    section = f'[notifier]\nurl = "{receiver.url}/hook"\nsecret = "{SECRET}"\nlink = "{LINK}"\n'
    with open_system(load(stacks.stack(tmp_path, section, extensions=["notifier"]))) as system:
        for announce in system.hooks.announcers:
            announce(APPROVAL)
    ((_, body),) = receiver.requests
    assert json.loads(body)["link"] == "https://desk.example.com/approvals/ap-1"
    assert b"Crescent" not in body


def test_names_forge_no_second_notice_and_many_at_once_all_arrive(receiver: Receiver) -> None:
    hook = webhook(receiver)
    odd = ["", "a" * 5000, "北", "nul\x00byte", '{"}', "north\napproval 'ap-2' waits"]
    notices = [notice_of(APPROVAL, LINK).model_copy(update={"tenant": name, "tool": name}) for name in odd]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hook.announce, notices))
    assert sorted(json.loads(body)["tenant"] for _, body in receiver.requests) == sorted(odd)
