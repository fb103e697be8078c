"""`sixply facts` and `make facts` take what they were promised to, and refuse an option that would not be seen."""

from collections.abc import Callable

from tests.make_rules import RULES
from tests.unit.serving.test_cli import Done, cli

__all__ = ["cli"]


def test_make_takes_the_values_that_were_promised():
    assert {"STACK", "TENANT", "USER_ID"} <= RULES["facts"]


def test_an_option_before_the_command_that_would_not_see_it_is_refused(cli: Callable[..., Done]) -> None:
    done = cli("facts", "--user", "ada", "erase", "--all")
    assert (done.returncode, "Write --user behind erase, not before it." in done.stderr) == (2, True), done
