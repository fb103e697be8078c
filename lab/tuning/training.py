"""What the trainers of sentence-transformers have in common here: seeds, threads, progress, and nothing written on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import Trainer

Count = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Example:
    """A query, a passage that belongs to it, and passages that only look like it."""

    query: str
    positive: str
    negatives: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how to train. The same plan on the same machine gives the same weights."""

    epochs: int
    seed: int
    threads: int
    batch_size: int
    learning_rate: float
    max_tokens: int = 256
    """Texts are cut here; a query and its passage together, where a model reads both at once."""


def prepare(plan: Plan) -> None:
    """Before a model is loaded: the seed, from which a new head gets its first weights, the threads, and no bars."""
    import torch
    from transformers import set_seed
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(plan.threads)
    set_seed(plan.seed)


@contextmanager
def arguments(plan: Plan, rows: int) -> Iterator[dict[str, Any]]:
    """Keywords for the training arguments of either trainer. The rate rises for a tenth of the steps and then falls to
    nothing; no checkpoint is kept, and nobody is told.
    """
    steps = plan.epochs * ceil(rows / plan.batch_size)
    with tempfile.TemporaryDirectory() as nowhere:
        yield {
            "output_dir": nowhere,
            "num_train_epochs": plan.epochs,
            "per_device_train_batch_size": plan.batch_size,
            "learning_rate": plan.learning_rate,
            "warmup_steps": steps // 10,
            "seed": plan.seed,
            "use_cpu": True,
            "dataloader_pin_memory": False,
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
        }


def run(trainer: Trainer, progress: Count | None) -> None:
    """Train, telling each step of the optimiser; the library's own prints go to nobody."""
    from transformers import PrinterCallback, TrainerCallback

    class Steps(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002  # its signature
            if progress:
                progress("train", state.global_step, state.max_steps)

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Steps())
    trainer.train()
