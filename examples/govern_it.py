"""Who may do what, who can stop it, can the record be trusted, and how is a person's data erased?"""

import asyncio
import json
import sqlite3
import tempfile
from contextlib import closing, redirect_stdout
from io import StringIO
from pathlib import Path

from examples.small_system import VISITOR, ask, small_system
from extensions.audit.verification import verify_audit
from extensions.kill_switches.stopping import lift, stop
from extensions.kill_switches.stops import Stops
from foundation.errors import SixplyError
from foundation.types import Principal
from serving.cli.govern.erasure import erase

READER = Principal("jon", tenant=VISITOR.tenant, roles=frozenset({"reader"}))


def forget(person: Principal, folder: Path) -> None:
    """Run the command `sixply erase`, which loads no model and needs the data folder only."""
    with tempfile.TemporaryDirectory() as desk:
        stack, report = Path(desk, "stack.toml"), Path(desk, "report.json")
        stack.write_text(f'extensions = ["audit"]\n[foundation]\ndata_dir = "{folder}"\n', encoding="utf-8")
        with redirect_stdout(StringIO()):  # its tables, which say the same at length
            erase(user=person.subject, tenant=person.tenant, json=report, stack=stack)
        rows = json.loads(report.read_text(encoding="utf-8"))["erased"]
    gone = ", ".join(f"{row['count']} from {row['store']}" for row in rows if row["count"])
    print(f"erasure    of {person.subject}: {gone}")
    print(f"           what stays: {next(row['stays'] for row in rows if row['store'] == 'audit')}")


def tamper(folder: Path) -> None:
    """Delete a record of the audit, as an owner of the machine could."""
    with closing(sqlite3.connect(folder / "audit.sqlite")) as database, database:
        try:
            database.execute("DELETE FROM chain WHERE number = 2")
        except sqlite3.IntegrityError as error:
            print(f"tampered   deleting a record: {error}. So the guard is removed first, then the record")
        for (guard,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {guard}")
        database.execute("DELETE FROM chain WHERE number = 2")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ladder-") as folder:
        with small_system({"foundation": {"data_dir": folder}}) as system:
            for person in (READER, VISITOR):
                ruling = system.policy.data("confidential", person)
                verdict = "allowed" if ruling.allowed else "denied"
                print(
                    f"policy     {person.subject} and confidential documents: {verdict} by {ruling.rule}. {ruling.why}"
                )
            print(f"before     {ask(system, 'What does a bicycle cost?').text}")
            switches, recorders, tenant = system.hooks.service(Stops), system.orchestration.recorders, VISITOR.tenant
            asyncio.run(stop(switches, recorders, "tenant", tenant, by="lena", reason="the fares are being corrected"))
            try:
                ask(system, "What does a bicycle cost?")
            except SixplyError as error:
                print(f"stopped    {error}")
            asyncio.run(lift(switches, recorders, "tenant", tenant, by="lena"))
            print(f"lifted     {ask(system, 'What does a bicycle cost?').text}")
            audit = verify_audit(system.context.data_dir)
            print(f"audit      {audit.records} records, {'whole' if audit.ok else 'NOT whole'}")
        forget(VISITOR, Path(folder))
        tamper(Path(folder))
        for problem in verify_audit(Path(folder)).problems[-2:]:
            print(f"           found: {problem.what}")
    print("One layer up: it is safe, but is it worth its money? python -m examples.prove_value")


if __name__ == "__main__":
    main()
