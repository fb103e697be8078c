"""A cross-encoder out of a BERT: it reads query and passage together and says how well they fit.

Nogueira and Cho, "Passage Re-ranking with BERT", 2019. Trained with sentence-transformers' `CrossEncoderTrainer`, by binary
cross-entropy on a passage that fits and on passages that the search took for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.tuning.training import Count, Example, Plan, arguments, prepare, run

BATCH, LEARNING_RATE = 16, 5e-5


def train(examples: Sequence[Example], *, base: Path, to: Path, plan: Plan, progress: Count | None = None) -> int:
    """Train the model of the folder `base` and save it to `to`, for the adapter `cross_encoder`. Gives the number of pairs.

    A `base` that is no classifier, such as an embedder, gets a new head.
    """
    import torch
    from datasets import Dataset
    from sentence_transformers import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    class Trainer(CrossEncoderTrainer):
        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """None: it would draw examples of the texts for a card that is not written."""

    prepare(plan)
    model = CrossEncoder(
        str(base),
        num_labels=1,
        device="cpu",
        max_length=plan.max_tokens,
        local_files_only=True,
        trust_remote_code=False,
    )
    rows = [
        {"query": example.query, "passage": text, "label": label}
        for example in examples
        for text, label in ((example.positive, 1.0), *((negative, 0.0) for negative in example.negatives))
    ]
    fitting = sum(row["label"] == 1.0 for row in rows)
    # the one that fits weighs as much as all that do not
    balance = torch.tensor((len(rows) - fitting) / fitting)
    with arguments(plan, len(rows)) as options:
        trainer = Trainer(
            model=model,
            args=CrossEncoderTrainingArguments(**options),
            train_dataset=Dataset.from_list(rows),
            loss=BinaryCrossEntropyLoss(model, pos_weight=balance),
        )
        run(trainer, progress)
    model.save_pretrained(str(to), create_model_card=False)  # a card would quote the texts that it was trained on
    return len(rows)
