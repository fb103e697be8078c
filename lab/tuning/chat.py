"""Fine-tuning of the chat model on a CPU: a LoRA adapter, trained on the very weights that llama.cpp serves.

transformers reads the GGUF and undoes its quantisation, peft puts the adapter beside it (Hu et al. 2021), and the adapter
is served over the quantised file. Only what the assistant says is learned; the rest of a conversation is read.

The matrices of queries and keys get none: the rows of theirs are in another order in a GGUF of the llama family.
"""

from __future__ import annotations

import hashlib
import io
import math
import random
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from foundation.errors import InvalidRequest, WeightsInvalid
from lab.tuning import lora_file
from models import weights

TARGETS = ("v_proj", "o_proj", "down_proj")
RANK, ALPHA = 16, 32
LEARNING_RATE = 5e-4
AT_ONCE = 4
"""Examples a step: read one at a time, so that memory does not grow with it."""
MAX_TOKENS = 2048
"""Of one example. What a step keeps in memory grows with the longest: about 3 GB at this length with 135 M parameters."""
HELD_OUT = 5
"""One example in so many is not trained on."""
_SHOWN = 10

Progress = Callable[[str, int, int], None]
Tokens = dict[str, list[int]]
"""`input_ids` of a conversation, and `labels` as long: the same ids where they are learned, -100 elsewhere."""


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str = Field(pattern="^(system|user|assistant)$")
    content: str = Field(min_length=1)


class Example(BaseModel):
    """One conversation as it should have gone: `{"messages": [{"role": "user", "content": "..."}, ...]}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: tuple[Message, ...]

    @property
    def key(self) -> str:
        """SHA-256 of what was said."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def held_out(self) -> bool:
        """By its content alone, so that an example stays on its side when others come or go."""
        return held_out(self.key)


def held_out(text: str) -> bool:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % HELD_OUT == 0


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What was made of what. Losses are in nats a token of the held-out replies."""

    base: str
    base_sha256: str
    adapter_sha256: str
    n_train: int
    n_held_out: int
    tokens_held_out: int
    epochs: int
    steps: int
    seed: int
    rank: int
    alpha: int
    learning_rate: float
    loss_before: float
    loss_after: float
    perplexity_before: float
    perplexity_after: float
    held_out: tuple[tuple[float, float, int], ...]
    """Loss before, loss after and tokens of each."""


def read_examples(path: Path) -> list[Example]:
    """One conversation a line, in the order of the file.

    Raises:
        InvalidRequest: the file cannot be read, or lines are no conversations that an assistant ends and does not begin; it
            names them.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # a text may hold other ends of a line
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The examples {path} cannot be read: {error}. Give a file in JSON Lines.") from error
    examples: list[Example] = []
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                example = Example.model_validate_json(line)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                wrong.append((number, f"{'.'.join(map(str, first['loc'])) or 'the line'}: {first['msg']}"))
                continue
            if not example.messages or example.messages[-1].role != "assistant":
                wrong.append((number, "the last message is not the assistant's, so there is nothing to learn"))
                continue
            if example.messages[0].role == "assistant":
                wrong.append((number, "the first message is the assistant's, so there is nothing that it replies to"))
                continue
            examples.append(example)
    if wrong:
        raise InvalidRequest(_list_wrong_lines(path.name, wrong, len(wrong) + len(examples)))
    return examples


def _list_wrong_lines(name: str, wrong: Sequence[tuple[int, str]], of: int) -> str:
    listed = "; ".join(f"line {number}: {why}" for number, why in wrong[:_SHOWN])
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return (
        f"{len(wrong)} of {of} lines of {name} cannot be learned from: {listed}{more}. Each is to be one JSON object with "
        f'"messages", each of them with "role" (system, user or assistant) and "content", the last by the assistant.'
    )


def split(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """What is trained on and what is held out, each conversation once. Raises InvalidRequest where one of them is empty."""
    once = list({example.key: example for example in examples}.values())
    train = [example for example in once if not example.held_out]
    held_out = [example for example in once if example.held_out]
    demand_both(train, held_out)
    return train, held_out


def demand_both(train: Sequence[Example], held_out: Sequence[Example]) -> None:
    """Raises InvalidRequest where there is nothing to train on, or nothing to measure on."""
    if not train or not held_out:
        raise InvalidRequest(
            f"{len(train) + len(held_out)} different examples are too few: {len(train)} to train on and {len(held_out)} held out. "
            f"One in {HELD_OUT} is held out, chosen by its content. Give at least some dozens."
        )


def finetune(
    train: Sequence[Example],
    held_out: Sequence[Example],
    *,
    base: Path,
    to: Path,
    name: str = "",
    epochs: int = 3,
    seed: int = 7,
    learning_rate: float = LEARNING_RATE,
    threads: int = 2,
    progress: Progress | None = None,
) -> Tuned:
    """Train an adapter for the GGUF chat model at `base`, and write it to `to`.

    The same examples, seed, threads and versions give the same adapter.

    Raises:
        InvalidRequest: an example is longer than can be trained on, or the model's chat template does not take it.
        WeightsInvalid: `base` is no GGUF that transformers can read.
    """
    tell = progress or (lambda what, done, total: None)  # noqa: ARG005 - nobody looks on
    import transformers

    with _quiet(threads):
        transformers.set_seed(seed)
        model, tokenizer = _load(base)
        learned, measured = (_encode(tokenizer, part) for part in (train, held_out))
        before = _losses(model, measured, lambda done: tell("before", done, len(measured)))
        tuned = _with_adapter(model)
        steps = _train(tuned, learned, epochs=epochs, seed=seed, learning_rate=learning_rate, tell=tell)
        after = _losses(tuned, measured, lambda done: tell("after", done, len(measured)))
        architecture, matrices = _matrices(tuned, base)
    base_name = name or base.stem
    lora_file.write(
        lora_file.Lora(
            architecture=architecture,
            base_name=base_name,
            base_sha256=weights.digest(base),
            alpha=ALPHA,
            matrices=matrices,
        ),
        to,
    )
    tokens = [_learned_tokens(example) for example in measured]
    loss_before, loss_after = (sum(losses) / sum(tokens) for losses in (before, after))
    return Tuned(
        base=base_name,
        base_sha256=weights.digest(base),
        adapter_sha256=weights.digest(to),
        n_train=len(train),
        n_held_out=len(held_out),
        tokens_held_out=sum(tokens),
        epochs=epochs,
        steps=steps,
        seed=seed,
        rank=RANK,
        alpha=ALPHA,
        learning_rate=learning_rate,
        loss_before=loss_before,
        loss_after=loss_after,
        perplexity_before=math.exp(loss_before),
        perplexity_after=math.exp(loss_after),
        held_out=tuple(
            (nats_before / count, nats_after / count, count)
            for nats_before, nats_after, count in zip(before, after, tokens, strict=True)
        ),
    )


@contextmanager
def _quiet(threads: int) -> Any:
    """The libraries' own bars are off, and torch has as many threads as it was given."""
    import torch
    from transformers.utils import logging

    had = torch.get_num_threads()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)  # peft's use
            yield
    finally:
        torch.set_num_threads(had)
        logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _load(base: Path) -> tuple[Any, Any]:
    """The model in float32 and its tokenizer with the chat template of the file."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"gguf_file": base.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(base.parent), **source)
        with redirect_stderr(io.StringIO()):  # a bar that nothing else turns off
            model = AutoModelForCausalLM.from_pretrained(str(base.parent), dtype=torch.float32, **source)
    except (ValueError, KeyError, OSError, NotImplementedError) as error:
        raise WeightsInvalid(
            f"transformers cannot read {base}: {error}. It reads the GGUF files of the usual architectures (llama, qwen, "
            f"gemma, phi ...); train elsewhere for another one, and name the adapter in [models.chat]."
        ) from error
    if not tokenizer.chat_template:
        raise WeightsInvalid(
            f"{base} has no chat template, so nobody knows how its model is spoken to. Take a chat model."
        )
    return model, tokenizer


def _encode(tokenizer: Any, examples: Sequence[Example]) -> list[Tokens]:
    """Token ids, and as labels those that an assistant wrote, each reply with the token that ends it; -100 elsewhere.

    Raises InvalidRequest where some are too long, or the chat template refuses one.
    """
    encoded = [_tokens(tokenizer, example) for example in examples]
    if long := [tokens for tokens in encoded if len(tokens["input_ids"]) > MAX_TOKENS]:
        raise InvalidRequest(
            f"{len(long)} of {len(encoded)} examples are longer than the {MAX_TOKENS} tokens that can be trained on, the "
            f"longest has {max(len(tokens['input_ids']) for tokens in long)}. Shorten or leave out: "
            + "; ".join(
                f'"{example.messages[-1].content[:60]}"'
                for example, tokens in zip(examples, encoded, strict=True)
                if tokens in long[:_SHOWN]
            )
        )
    return encoded


def _tokens(tokenizer: Any, example: Example) -> Tokens:
    from jinja2 import TemplateError

    messages = [message.model_dump() for message in example.messages]

    def ids(upto: int, *, reply_follows: bool) -> list[int]:
        options = {"add_generation_prompt": reply_follows, "return_dict": False}
        try:
            return list(tokenizer.apply_chat_template(messages[:upto], **options))
        except (TemplateError, ValueError, TypeError) as error:
            roles = ", ".join(message.role for message in example.messages)
            raise InvalidRequest(
                f'The model\'s chat template does not take the conversation that ends "{messages[-1]["content"][:60]}" '
                f"({roles}): {error}. Change it, or leave it out."
            ) from error

    whole = ids(len(messages), reply_follows=False)
    labels = [-100] * len(whole)
    for place, message in enumerate(messages):
        if message["role"] == "assistant":
            start, end = len(ids(place, reply_follows=True)), len(ids(place + 1, reply_follows=False))
            labels[start:end] = whole[start:end]
    ends = (place for place, token in enumerate(whole) if token == tokenizer.eos_token_id)
    last = max(ends, default=len(whole) - 1)  # some templates end a reply with a token of their own
    return {"input_ids": whole[: last + 1], "labels": labels[: last + 1]}


def _with_adapter(model: Any) -> Any:
    import peft

    chosen = peft.LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=list(TARGETS), task_type="CAUSAL_LM"
    )
    return peft.get_peft_model(model, chosen)


def _losses(model: Any, examples: Sequence[Tokens], tell: Callable[[int], None]) -> list[float]:
    """Of each example's replies, in nats, summed over their tokens."""
    import torch

    model.eval()
    losses = []
    with torch.inference_mode():
        for done, example in enumerate(examples, 1):
            losses.append(float(_loss(model, example)))
            tell(done)
    return losses


def _learned_tokens(tokens: Tokens) -> int:
    """How many tokens of it are learned."""
    return sum(label != -100 for label in tokens["labels"])


def _loss(model: Any, tokens: Tokens) -> Any:
    """The negative log-likelihood of the replies, in nats, summed. What a prompt makes likely is not computed: with 49,000
    words to choose from, that would be a good part of the work.
    """
    import torch

    following = torch.tensor(tokens["labels"][1:])
    places = (following != -100).nonzero().flatten()
    logits = model(input_ids=torch.tensor([tokens["input_ids"]]), logits_to_keep=places).logits[0]
    return torch.nn.functional.cross_entropy(logits, following[places], reduction="sum")


def _train(
    model: Any,
    examples: Sequence[Tokens],
    *,
    epochs: int,
    seed: int,
    learning_rate: float,
    tell: Progress,
) -> int:
    """Steps that were made. AdamW; the learning rate rises over a tenth of the steps, if there are ten, and falls in a line."""
    import torch
    import transformers

    trained = [weight for weight in model.parameters() if weight.requires_grad]
    steps = epochs * math.ceil(len(examples) / AT_ONCE)
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
    rate = transformers.get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call]
        optimizer, steps // 10, steps
    )
    order, done = random.Random(seed), 0
    model.train()
    for _ in range(epochs):
        shuffled = order.sample(examples, len(examples))
        for batch in (shuffled[start : start + AT_ONCE] for start in range(0, len(shuffled), AT_ONCE)):
            for example in batch:
                (_loss(model, example) / (_learned_tokens(example) * len(batch))).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
            done += 1
            tell("train", done, steps)
    return done


def _matrices(model: Any, base: Path) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """The architecture as llama.cpp calls it, and the trained matrices by its names."""
    import gguf
    import peft

    architecture = str(gguf.GGUFReader(base).fields["general.architecture"].contents())
    which = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture)
    names = gguf.get_tensor_name_map(which, model.config.num_hidden_layers)
    state = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    matrices = {}
    for key, a in state.items():
        if key.endswith(".lora_A.weight"):
            place = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            b = state[key.replace(".lora_A.", ".lora_B.")]
            matrices[f"{names.get_name(place)}.weight"] = (a.numpy(), b.numpy())
    return architecture, matrices
