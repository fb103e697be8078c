"""Feedback under an answer, recorded like `POST /v1/answers/{answer_id}/feedback`."""

import asyncio
from functools import partial
from typing import Any

from nicegui import html, ui

from extensions.feedback import routes
from extensions.feedback.routes import Feedback
from extensions.feedback.store import Outcome
from extensions.page.session import Visitor, act, alert, refill, show_errors
from serving.http.errors import validate
from serving.http.streams import explain

CHOICES = {
    "accepted": ("Yes", "thumb_up"),
    "edited": ("With changes", "edit"),
    "rejected": ("No", "thumb_down"),
    "escalated": ("Passed on", "forward"),
}
TEXTS = {
    "edited": ("edit", "The text that was used instead"),
    "rejected": ("reason", "What was wrong with it?"),
    "escalated": ("reason", "Why, or to whom? (optional)"),
}


class FeedbackBar:
    """Four buttons, then the form of the chosen one, then the saved feedback."""

    def __init__(self, answer_id: str, text: str, visitor: Visitor) -> None:
        self._answer_id, self._text = answer_id, text
        self._visitor = visitor

    def build(self, feedback: Outcome | None = None) -> None:
        """Show the buttons, or the earlier `feedback`."""
        self._place = html.div().classes("feedback").props('role=group aria-label="Was this answer useful?"')
        if feedback is None:
            self._offer()
        else:
            self._show_saved(feedback)

    def _offer(self) -> None:
        with refill(self._place), html.div().classes("choices"):
            html.span("Was this answer useful?").classes("dim")
            for verdict, (words, icon) in CHOICES.items():
                act(words, partial(self._form, verdict), icon=icon)

    def _form(self, verdict: str) -> None:
        with refill(self._place), html.div().classes("form"):
            html.h3(CHOICES[verdict][0])
            name, label = TEXTS.get(verdict, ("", ""))
            text = None
            if name:
                draft = self._text if verdict == "edited" else ""
                text = ui.textarea(label, value=draft).props("outlined dense autogrow autofocus")
            with html.div().classes("acts"):
                minutes = ui.number("Minutes spent", min=0, step=1).props("outlined dense").classes("short")

                async def save() -> None:
                    values: dict[str, Any] = {"verdict": verdict, "minutes": minutes.value}
                    if text is not None and ((text.value or "").strip() or verdict != "escalated"):
                        values[name] = text.value or ""
                    await self._save(values)

                act("Save", save, "unelevated")
                act("Back", self._offer)
            self._wrong = html.div()

    async def _save(self, values: dict[str, Any]) -> None:
        with self._place, show_errors():
            self._wrong.clear()
            try:
                body = validate(Feedback, **values)
                async with self._visitor.acts() as caller:
                    runtime = self._visitor.runtime
                    saved = await asyncio.to_thread(routes.give, self._answer_id, body, caller, runtime)
            except Exception as error:
                with self._wrong:
                    alert(explain(error).public)
                return
            self._show_saved(saved)

    def _show_saved(self, feedback: Outcome) -> None:
        with refill(self._place), html.div().classes("choices saved").props("role=status"):
            ui.icon("check").props("aria-hidden=true")
            minutes = "" if feedback.minutes is None else f", {feedback.minutes:g} minutes"
            html.span(f"Saved: {CHOICES[feedback.verdict][0].lower()}{minutes}")
            if feedback.note:
                html.q(feedback.note).classes("dim")
            act("Change", self._offer)
