"""An embedder whose queries come nearer to the passages that answer them.

Each query must find its own passage among those of the whole batch and one that the search took for it: Henderson et al.,
"Efficient Natural Language Response Suggestion for Smart Reply", 2017; hard negatives as in Karpukhin et al., "Dense Passage
Retrieval for Open-Domain Question Answering", EMNLP 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.tuning.training import Count, Example, Plan, arguments, prepare, run

BATCH, LEARNING_RATE = 32, 2e-5


def train(examples: Sequence[Example], *, base: Path, to: Path, plan: Plan, progress: Count | None = None) -> int:
    """Train the model of the folder `base` and save it to `to`, for the adapters `openvino` and `sentence_transformers`.
    Gives the number of triples.
    """
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.base.sampler import BatchSamplers
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    class Trainer(SentenceTransformerTrainer):
        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """None: it would draw examples of the texts for a card that is not written."""

    prepare(plan)
    model = SentenceTransformer(str(base), device="cpu", local_files_only=True, trust_remote_code=False)
    limit, model.max_seq_length = model.max_seq_length, plan.max_tokens
    rows = [
        {"anchor": example.query, "positive": example.positive, "negative": example.negatives[0]}
        for example in examples
    ]
    with arguments(plan, len(rows)) as options:
        trainer = Trainer(
            model=model,
            # the same passage twice in a batch would be its own wrong answer
            args=SentenceTransformerTrainingArguments(**options, batch_sampler=BatchSamplers.NO_DUPLICATES),
            train_dataset=Dataset.from_list(rows),
            loss=MultipleNegativesRankingLoss(model),
        )
        run(trainer, progress)
    model.max_seq_length = limit
    model.save_pretrained(str(to), create_model_card=False)  # a card would quote the texts that it was trained on
    return len(rows)
