"""The HTTP server of llama.cpp itself with the bundled model, for `tests.services`: `python -m tests.doubles.llama_server FILE KEY`.

It listens on a loopback port of the kernel's choosing and writes its address to FILE when it answers.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from models import weights

MEAN = 1
"""`LLAMA_POOLING_TYPE_MEAN`: a text's vector is the mean of its tokens' vectors."""


def started(key: str) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights.SMOLLM2.verify())
    params.model_alias = {weights.SMOLLM2.name}
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [key]
    params.embedding, params.pooling_type = True, MEAN
    params.n_ctx, params.n_parallel = 4096, 1  # with two, a text's vector depends on its neighbours (cosine 0.987)
    params.n_batch = params.n_ubatch = 2048  # one text must fit into a batch
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.ui, params.fit_params, params.offline, params.verbosity = False, False, True, -1
    params.cache_ram_mib = 0
    return xllamacpp.Server(params)


if __name__ == "__main__":
    told, key = Path(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server = started(key)
    new = told.with_suffix(".new")
    new.write_text(server.listening_address, encoding="ascii")
    new.replace(told)  # whole or not there
    signal.pause()
