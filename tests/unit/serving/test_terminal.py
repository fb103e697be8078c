"""What is printed and written, whatever a model or a document tries."""

import json
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from foundation.errors import InvalidSetting, NotFound
from orchestration import events
from orchestration.events import Event, NearDocument, Step
from serving.cli import terminal
from tests.doubles.serving import answer, approval


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("[red]no[/red] markup [1]", "[red]no[/red] markup [1]"),
        ("a\x1b[2Jb\x1b]0;title\x07c", "a[2Jb]0;titlec"),
        ("admin\u202etxt.exe", "admintxt.exe"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_text_is_shown_as_text(given: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    Console(highlight=False, width=200).print(terminal.plain(given))
    assert capsys.readouterr().out == shown.expandtabs() + "\n"


def test_a_plan_is_shown_with_what_any_of_its_steps_says(capsys: pytest.CaptureFixture[str]) -> None:
    step = {"step_id": "1", "kind": "act", "tool": "refund", "arguments": {"order": "QM-1"}, "after": [], "detail": ""}
    told = {"reason": "it asks for a [red]refund[/]", "steps": [step, {**step, "step_id": "2", "after": ["1"]}]}
    terminal.show_answer(answer("When?", plan=told), plan=True)
    title, head, first, second = capsys.readouterr().out.strip().splitlines()[:4]
    assert title.rstrip() == "it asks for a [red]refund[/]"
    assert head.split() == ["step_id", "kind", "tool", "arguments", "after"]
    assert (first.split(), second.split()) == (
        ["1", "act", "refund", "order=QM-1"],
        ["2", "act", "refund", "order=QM-1", "1"],
    )
    terminal.show_answer(answer("When?", plan=told))
    assert "refund" not in capsys.readouterr().out


def test_an_answer_shows_its_sources_what_it_took_and_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show_answer(answer("When?", degraded=("a fallback model answered",)), plan=True)
    out = capsys.readouterr().out
    for part in (
        "Tuesdays [1]",
        "[1] The double · double.md, characters 0 to 29",
        "$0.000012",
        "0.10 s",
        "quoted from the documents",
        "fallback",
        "make trace ID=000",
    ):
        assert part in out


def test_an_answer_without_a_price_says_so_and_a_waiting_one_says_how_to_approve(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.show_answer(answer("q", status="waiting", approval=approval(), cost_usd=None))
    out = capsys.readouterr().out
    assert "unpriced" in out
    assert "make approve ID=ap-1 TENANT=north" in out
    assert "refund(order=o-1)" in out


def test_an_answer_that_was_not_given_says_where_to_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    near = [NearDocument(document_id=title, uri=f"{title}.md", title=title) for title in ("Warranty", "Price list")]
    refusal = answer("q", status="abstained", text="Not found.", citations=(), nearest=tuple(near))
    terminal.show_answer(refusal)
    assert "Nearest: Warranty, Price list" in capsys.readouterr().out


def test_the_way_of_every_answer_has_words_for_people() -> None:
    assert terminal.HOW.keys() == set(get_args(events.Path))


def test_who_watches_sees_each_step_when_it_is_done_and_first_how_to_go_on_after_a_kill(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = terminal.make_step_printer()
    show(Event(kind="step", thread_id="t-1", step=Step(name="plan", detail="1 look_up find_order", ms=12)))
    before = capsys.readouterr().out
    assert before.index("THREAD=t-1") < before.index("12 ms  plan done  1 look_up find_order")
    show(Event(kind="step", thread_id="t-1", step=Step(name="tool", outcome="failed")))
    show(Event(kind="token", token="words"))
    assert capsys.readouterr().out.split() == ["0", "ms", "tool", "failed"]


def test_an_error_goes_to_standard_error_in_one_piece(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show_error(NotFound("x" * 300 + " [bold]"))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "x" * 300 + " [bold]\n")


def test_progress_is_told_in_lines_where_nobody_sees_a_bar_and_seldom(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal.progress() as progress:
        progress("ask", 1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 0.0)
    with terminal.progress() as progress:
        progress("ask", 1, 2)
    assert capsys.readouterr() == ("", "ask: 1 of 2\n")


def test_json_goes_to_a_file_or_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert terminal.write_json(None, {}) is False
    assert terminal.write_json(tmp_path / "new" / "out.json", {"a": "é\ud800"}) is False
    assert json.loads((tmp_path / "new" / "out.json").read_text(encoding="utf-8")) == {"a": "é?"}
    assert terminal.write_json(Path("-"), {"a": 1}) is True
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    with pytest.raises(InvalidSetting, match="Cannot write"):
        terminal.write_json(tmp_path, {})


def test_the_formats_that_messages_of_refused_files_list_are_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    odd = [
        {"uri": name, "reason": "unsupported", "message": f'"{name}" is of no format. Supported: .md, .txt.'}
        for name in ("a.xyz", "b.xyz")
    ]
    terminal.show_refused([*odd, {"uri": "c.pdf", "reason": "encrypted", "message": '"c.pdf" is encrypted.'}])
    table, note = capsys.readouterr()
    assert '"b.xyz" is of no format.' in table
    assert '"c.pdf" is encrypted.' in table
    assert (table.count("Supported"), note.count("Supported: .md, .txt.")) == (0, 1)
