"""The approvals view: pending actions, the decision, and its result."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from nicegui import html, ui

from extensions.page.session import WORDS, Visitor, act, alert, every, refill, show_errors, trace
from extensions.page.views.arguments import Arguments, display, label_of
from extensions.page.views.how_it_was_made import Making
from orchestration.actions import Approval, Decision
from orchestration.calls import schema_of
from orchestration.effects.approvals import find_duplicates
from orchestration.events import Answer
from serving.api.approvals import DecisionRequest, carry_out
from serving.http.errors import validate
from serving.http.streams import explain

LOOK_AGAIN_S = 3.0
DECIDED = 20


class ApprovalsView:
    """Pending actions of the visitor's tenant. Cards are added and removed, never rebuilt while somebody reads them."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._cards: dict[str, Card] = {}
        self._known: list[str] = []

    def build(self) -> None:
        with html.div().classes("sheet"):
            html.h1("Approvals")
            html.p(
                "What the assistant may not do on its own waits here. Nothing happens before somebody decides."
            ).classes("lead")
            if refusal := self._visitor.refusal("decide"):
                alert(refusal, kind="note")
                return
            self._waiting = html.div().classes("cards").props('role=group aria-live=polite aria-label="Waiting"')
            self._none = html.p("Nothing waits.").classes("nothing")
            self._decided = html.div()
        self._again = every(LOOK_AGAIN_S, self.refresh, while_at=(self._visitor, self))

    async def refresh(self) -> None:
        if not self._visitor.may("decide"):
            return
        self._again.activate()
        caller = await self._visitor.caller("decide")
        store = self._visitor.system.orchestration.approvals
        waiting = {approval.approval_id: approval for approval in await store.pending(caller.tenant)}
        for approval_id, card in [*self._cards.items()]:
            if approval_id not in waiting and card.open:  # somebody else decided it, or it has expired
                self._cards.pop(approval_id).element.delete()
        decided = await store.decided(caller.tenant, limit=DECIDED)
        same = find_duplicates(list(waiting.values()), decided)
        with self._waiting:
            for approval_id, approval in waiting.items():
                if approval_id not in self._cards:
                    self._cards[approval_id] = Card(approval, self._visitor, self.refresh)
                self._cards[approval_id].warn(same.get(approval_id))
        self._none.set_visibility(not self._cards)
        if [approval.approval_id for approval in decided] != self._known:
            self._known = [approval.approval_id for approval in decided]
            with refill(self._decided):
                self._history(decided)

    def _history(self, decided: list[Approval]) -> None:
        if not decided:
            return
        html.h2("Decided lately").classes("section")
        with html.ul().classes("rows"):
            for approval in decided:
                with html.li():
                    how = "answered" if approval.status == "approved" else "bad"
                    html.b(approval.status.capitalize()).classes(f"status {how}")
                    with html.div().classes("grow"):
                        html.div(approval.reason)
                        changed = " · with other values" if approval.edited is not None else ""
                        html.div(f"by {approval.decided_by} for {approval.requested_by}{changed}").classes("dim")
                        if approval.decision_reason:
                            html.q(approval.decision_reason).classes("dim")
                    html.span(self._visitor.when(approval.decided_at) if approval.decided_at else "").classes("dim")


class Card:
    """One pending action, and the result after the decision."""

    def __init__(self, approval: Approval, visitor: Visitor, decided: Callable[[], Awaitable[None]]) -> None:
        self._approval = approval
        self._visitor = visitor
        self._decided = decided
        self.open = True
        """Whether it is undecided. An open card is removed when its action no longer waits."""
        self._warned = ""
        tool = next((tool for tool in visitor.system.orchestration.tools if tool.name == approval.tool), None)
        self._schema: Mapping[str, Any] = schema_of(tool) if tool else {}
        with html.article().classes("card") as self.element:
            self.element.props["aria-label"] = f"{label_of(approval.tool)}, asked for by {approval.requested_by}"
            self._status = ui.label("Waits for a decision").classes("status waiting").props("role=status")
            html.h2(approval.reason)
            if approval.asked:
                with html.p().classes("said"):
                    html.span("asked for: ")
                    html.q(approval.asked)
            self._warning = html.div()
            self._facts()
            self._body = html.div()
            with self._body:
                self._choice()

    def warn(self, double: Approval | None) -> None:
        """Warn that the same action was requested before; `None` removes the warning."""
        text = self._double(double) if double else ""
        if text != self._warned:
            self._warned = text
            with refill(self._warning):
                if text:
                    alert(text, kind="note")

    def _double(self, earlier: Approval) -> str:
        if earlier.status == "approved" and earlier.decided_at:
            return f"The same was approved by {earlier.decided_by} on {self._visitor.when(earlier.decided_at)}. To approve this does it again."
        return f"The same as above, asked for by {earlier.requested_by}. To approve both does it twice."

    def _facts(self) -> None:
        approval = self._approval
        with html.dl().classes("facts"):
            for name, value in approval.arguments.items():
                if value is not None:
                    _fact(label_of(name), display(value, name))
            _fact("Asked by", f"{approval.requested_by} on {self._visitor.when(approval.requested_at)}")
            listed = self._visitor.system.settings.orchestration.policy.effects_without_approval
            doubt = "Not everything in it can be traced to what the person said."
            always = "Every action of this kind needs a person's yes."
            _fact("Why it waits", doubt if approval.tool in listed else always)
            if (needs := approval.needs) and needs.people > 1:
                so_far = f", so far {', '.join(approval.approved_by)}" if approval.approved_by else ""
                _fact("Approved by", f"{needs.people} people{so_far}")
            _fact("Open until", self._visitor.when(approval.expires_at))

    def _choice(self) -> None:
        own = self._visitor.system.orchestration.executor.is_own(self._approval, self._visitor.seen.subject)
        if own:
            alert("You asked for this yourself, so somebody else has to approve it.", kind="note")
        with html.div().classes("acts"):
            if not own:
                act("Approve", partial(self._decide, approve=True), "unelevated", icon="check")
                act("Change and approve", self._edit, "outline", icon="edit")
            act("Reject", self._ask_why, "outline color=negative", icon="close")

    def _edit(self) -> None:
        with self._anew("Approve with these values instead"):
            form = Arguments(self._schema, self._approval.arguments)
            with html.div().classes("acts"):

                async def approve() -> None:
                    await self._decide(approve=True, arguments=form.values())

                act("Approve this", approve, "unelevated", icon="check")
                act("Back", self._begin_again)

    def _ask_why(self) -> None:
        with self._anew("Why not?"):
            note = ui.textarea(label="Reason, kept with the decision")
            note.props("outlined dense autogrow autofocus maxlength=2000")
            with html.div().classes("acts"):

                async def reject() -> None:
                    if not (note.value or "").strip():
                        note.props["error-message"] = "Say why: whoever asked will want to know."
                        note.props["error"] = True
                        return
                    await self._decide(approve=False, reason=note.value.strip())

                act("Reject", reject, "unelevated color=negative", icon="close")
                act("Back", self._begin_again)

    def _anew(self, title: str) -> html.div:
        with refill(self._body):
            form = html.div().classes("form")
        with form:
            html.h3(title)
        return form

    def _begin_again(self) -> None:
        with refill(self._body):
            self._choice()

    async def _decide(self, *, approve: bool, reason: str = "", arguments: Mapping[str, Any] | None = None) -> None:
        with self._body, show_errors():
            caller = await self._visitor.caller("decide")
            body = validate(DecisionRequest, approve=approve, reason=reason, arguments=arguments)
            runtime = self._visitor.runtime
            decision = Decision(approval_id=self._approval.approval_id, **body.model_dump())
            self._body.clear()
            self.open = False
            self._status.text = "Being carried out" if approve else "Being recorded"
            self._status.classes(replace="status working")
            try:
                with trace("decide", caller.tenant):
                    answer = await carry_out(decision, caller, runtime)
            except Exception as error:
                self.open = True
                self._status.text = "Not decided"
                self._status.classes(replace="status bad")
                with self._body:
                    alert(explain(error).public)
                    self._choice()
                return
            self._show(answer, approve=approve)
        await self._decided()

    def _show(self, answer: Answer, *, approve: bool) -> None:
        done = {"answered": "Done", "abstained": "Not done"}.get(answer.status) or WORDS[answer.status]
        self._status.text = done if approve else "Rejected"
        self._status.classes(replace=f"status {answer.status if approve else 'abstained'}")
        with refill(self._body):
            for paragraph in answer.text.split("\n"):
                html.p(paragraph).classes("outcome")
            Making.of(answer, self._visitor).build()


def _fact(name: str, value: str) -> None:
    with html.div():
        html.dt(name)
        html.dd(value)
