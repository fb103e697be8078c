"""Documents that are replaced, deleted or superseded by people who may not read them."""

from __future__ import annotations

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

SECRET = "The severance canarysev of Mr Quill is 250000 USD."


def replace_unseen(victim: Victim) -> Tried:
    """Replace a document of another group with one for everybody that only comes into force in 2099: the old text then
    stays in force."""
    tried = Tried()
    member, outsider = victim.person("hanna", "agent", groups=("hr",)), victim.person("adam", "agent")
    victim.upload(member, "pay.md", SECRET, groups="hr")
    victim.upload(outsider, "pay.md", "Nothing", effective_from="2099-01-01")
    for name, person in {"adam": outsider, "nora": victim.person("nora")}.items():
        answer = victim.ask(person, "How much is the severance of Mr Quill?")
        tried.check(held="canarysev" not in str(answer), otherwise=f"{name} was told: {answer.get('text')}")
    return tried


def reopen_replacing() -> None:
    """Nothing to take out yet: the hole is open."""


ATTACKS = (
    Attack(
        name="replace-unseen",
        title="an agent reads a document of another group by replacing it",
        run=replace_unseen,
        reopen=reopen_replacing,
    ),
)
