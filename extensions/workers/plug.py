"""Where the workers plug in: `make doctor` says which store only one process can hold."""

from extensions.workers.settings import WorkersSettings
from extensions.workers.supervisor import demand_shared
from serving.hooks import Check, Hooks


def plug(hooks: Hooks) -> None:
    def check() -> Check:
        processes = hooks.section(WorkersSettings).processes
        demand_shared(hooks.settings, processes)
        return Check("workers", ok=True, found=f"{processes} on one socket" if processes > 1 else "one process serves")

    hooks.checks.append(check)
