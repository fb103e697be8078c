"""What happens at scale, when 1, 4 and then 16 callers ask at once?

A server that accepts everybody makes everybody wait. This one accepts as many as it can serve, and tells the others at
once when to come back (503 and Retry-After), so that accepted callers still get their answers soon.
"""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np

from examples.small_system import VISITOR, small_system
from serving.access.admission import answers_at_once
from serving.access.identity import KeyStore
from serving.server import running

QUESTIONS = ("How much is a single adult ticket to Graynes?", "How long does the crossing take?")
EACH = 3


def call(http: httpx2.Client, caller: int) -> list[tuple[int, float]]:
    """Return status and seconds of each question of one caller."""
    results = []
    for number in range(EACH):
        begun = time.perf_counter()
        question = QUESTIONS[(caller + number) % len(QUESTIONS)]
        results.append((http.post("/v1/answers", json={"question": question}).status_code, time.perf_counter() - begun))
    return results


def measure(http: httpx2.Client, callers: int) -> str:
    begun = time.perf_counter()
    with ThreadPoolExecutor(callers) as threads:
        results = [result for some in threads.map(lambda caller: call(http, caller), range(callers)) for result in some]
    seconds = time.perf_counter() - begun
    statuses = Counter(status for status, _ in results)
    p50, p95 = np.percentile([taken for status, taken in results if status == 200], [50, 95])
    rate = statuses[200] / seconds
    return f"{callers:7} {len(results):9} {rate:17.1f} {p50:6.2f} s {p95:6.2f} s {statuses[503]:9}"


def main() -> None:
    with small_system() as system:
        keys = KeyStore.of(system.settings, system.context.clock)
        key = keys.create(subject=VISITOR.subject, tenant=VISITOR.tenant, roles=sorted(VISITOR.roles))
        bearer = {"Authorization": f"Bearer {key}"}
        places = answers_at_once(system.settings.serving.http.concurrent_answers, system.models.chat)
        print(f"places: {places} at work, half as many that wait ([serving.http] concurrent_answers)")
        print("callers questions  answers a second    p50      p95  refused (503)")
        with running(system) as url, httpx2.Client(base_url=url, headers=bearer, timeout=60, trust_env=False) as client:
            call(client, 0)  # the first question loads models and is not measured
            for callers in (1, 4, 16):
                print(measure(client, callers))
    print("More callers do not make the machine faster; they wait longer, or are asked to come back.")
    print("One layer up: it is fast enough, but is it right? python -m examples.evaluate_it")


if __name__ == "__main__":
    main()
