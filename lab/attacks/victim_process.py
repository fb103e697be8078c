"""The process of the server that is attacked.

    python -m lab.attacks.victim_process ORDER       ORDER is JSON: stack, and the attack whose defence is left out

It prints its address on one line and serves until SIGTERM.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Serve, with one defence taken out where an attack is named."""
    from lab.attacks.suite import find_attack
    from serving.server import base_url, bind, serve
    from serving.settings import load
    from serving.wiring import open_system

    order = json.loads(sys.argv[1])
    loaded = load(Path(order["stack"]))
    if order["reopen"]:
        find_attack(order["reopen"]).reopen()
    with bind(loaded.settings.serving.http) as listening, open_system(loaded) as system:
        print(base_url(loaded.settings.serving.http, listening), flush=True)
        serve(system, listening)


if __name__ == "__main__":
    main()
