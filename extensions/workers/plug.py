"""Where the workers plug in: `make doctor` says which store only one process can hold."""

from extensions.workers.settings import WorkersSettings
from serving.hooks import Check, Hooks


def plug(hooks: Hooks) -> None:
    def check() -> Check:
        from extensions.workers.supervisor import demand_shared  # it brings the server along, which no question needs

        processes = hooks.section(WorkersSettings).processes
        demand_shared(hooks.settings, processes)
        return Check("workers", ok=True, found=f"{processes} on one socket" if processes > 1 else "one process serves")

    hooks.checks.append(check)
