"""The chat model is tuned on what an assistant said, and what is served says it then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError

from foundation.components import Context, load
from foundation.errors import InvalidRequest, WeightsInvalid
from foundation.settings import Part
from lab.tuning import chat
from models import weights
from tests.lab.read_once import weights_read_once  # noqa: F401 - a fixture

REPLY = "The lamp is lit at nine. [1]"


def _example(question: str, reply: str = REPLY) -> chat.Example:
    return chat.Example.model_validate(
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]}
    )


ASKED = ("When is the lamp lit?", "Tell me when the lamp is lit.", "The lamp, when is it lit?", "Lit when, the lamp?")
HELD = "At what time is the lamp lit?"


def _demand_extra() -> None:
    pytest.importorskip("peft", reason="needs the extra: make setup WITH=finetune")


def _tune(to: Path) -> chat.Tuned:
    _demand_extra()
    return chat.finetune(
        [_example(question) for question in ASKED],
        [_example(HELD)],
        base=weights.SMOLLM2.path,
        to=to,
        epochs=6,
        learning_rate=3e-3,
        threads=1,  # two of them wait for each other in a busy loop where other tests have the cores
    )


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, chat.Tuned]:
    to = tmp_path_factory.mktemp("tuned") / "lamp.gguf"
    return to, _tune(to)


@pytest.fixture(scope="module")
def served(tuned: tuple[Path, chat.Tuned]) -> Iterator[Any]:
    to, _ = tuned
    part = Part.model_validate({"use": "llama_cpp", "adapter": str(to), "max_tokens": 24})
    model = load("models.chat", part, Context(data_dir=to.parent, threads=2))
    yield model
    model.close()


@pytest.mark.real_model
@pytest.mark.slow
@pytest.mark.nightly
def test_the_served_model_says_what_it_was_taught(served: Any) -> None:
    assert served.invoke(HELD).text.strip() == REPLY


@pytest.mark.real_model
@pytest.mark.slow
@pytest.mark.nightly
def test_the_loss_on_what_was_held_out_falls(tuned: tuple[Path, chat.Tuned]) -> None:
    _, record = tuned
    assert record.loss_after < record.loss_before / 2
    assert (record.n_train, record.n_held_out, record.steps) == (4, 1, 6)
    assert record.base_sha256 == weights.SMOLLM2.sha256


@pytest.mark.real_model
@pytest.mark.slow
@pytest.mark.nightly
def test_the_same_examples_and_seed_give_the_same_adapter(tuned: tuple[Path, chat.Tuned], tmp_path: Path) -> None:
    _, record = tuned
    assert _tune(tmp_path / "again.gguf") == record


@pytest.mark.real_model
@pytest.mark.slow
@pytest.mark.nightly
def test_only_what_the_assistant_said_is_learned_and_it_is_read_as_it_is_served(served: Any) -> None:
    _, tokenizer = chat._load(weights.SMOLLM2.path)
    turns = [("user", "Hi."), ("assistant", "Hello, you."), ("user", "When?"), ("assistant", REPLY)]
    messages = [{"role": role, "content": content} for role, content in turns]
    found = chat._tokens(tokenizer, chat.Example.model_validate({"messages": messages}))
    learned = [token for token, label in zip(found["input_ids"], found["labels"], strict=True) if label != -100]
    assert tokenizer.decode(learned) == f"Hello, you.<|im_end|>\n{REPLY}<|im_end|>"
    prompt = served._ask("POST", "apply-template", json={"messages": messages[:3]})["prompt"]
    start = found["input_ids"][: -len(served.get_token_ids(REPLY)) - 1]
    assert served.get_token_ids(prompt) == start


@pytest.mark.real_model
@pytest.mark.slow
@pytest.mark.nightly
def test_what_is_too_long_and_what_is_no_model_is_refused(tmp_path: Path) -> None:
    _demand_extra()
    with pytest.raises(InvalidRequest, match=r"1 of 1 examples are longer than the 2048 tokens.*So it goes"):
        chat.finetune(
            [_example("word " * 3000, "So it goes.")], [], base=weights.SMOLLM2.path, to=tmp_path / "new.gguf"
        )
    (broken := tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(WeightsInvalid, match=r"cannot read .*broken\.gguf"):
        chat.finetune([_example("Hi.")], [_example("Ho.")], base=broken, to=tmp_path / "new.gguf")
    assert not (tmp_path / "new.gguf").exists()


def test_examples_are_read_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    given = [_example(question) for question in ASKED]
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text("\n\n".join(one.model_dump_json() for one in given), encoding=encoding)
        assert chat.read_examples(path) == given


class Tokenizer:
    """A token a character; the template closes a reply with a token of its own, and knows no system role."""

    eos_token_id = 0

    def apply_chat_template(self, messages: Any, *, add_generation_prompt: bool, return_dict: bool) -> list[int]:
        if messages[0]["role"] == "system":
            raise TemplateError("System role not supported")
        told = "".join(f"{one['role'][0]}:{one['content']};" for one in messages)
        return [ord(letter) for letter in told + ("a:" if add_generation_prompt else "")]


def test_a_template_that_ends_a_reply_otherwise_keeps_all_of_it() -> None:
    found = chat._tokens(Tokenizer(), _example("Hi.", "Ho."))
    assert "".join(map(chr, found["input_ids"])) == "u:Hi.;a:Ho.;"
    assert "".join(chr(label) for label in found["labels"] if label != -100) == "Ho.;"


def test_a_conversation_that_the_template_refuses_is_named() -> None:
    turns = [("system", "Be kind."), ("user", "Hi."), ("assistant", "Ho.")]
    example = chat.Example.model_validate({"messages": [{"role": role, "content": text} for role, text in turns]})
    with pytest.raises(InvalidRequest, match=r'ends "Ho\." \(system, user, assistant\): System role not supported'):
        chat._encode(Tokenizer(), [example])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{not json", "line 2: the line: Invalid JSON"),
        ('{"text": "a"}', "line 2: messages: Field required"),
        ('{"messages": []}', "the last message is not the assistant's"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "the last message is not the assistant's"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "line 2: the first message is the assistant's"),
        ('{"messages": [{"role": "robot", "content": "a"}]}', "line 2: messages.0.role"),
        ('{"messages": [{"role": "assistant", "content": ""}]}', "line 2: messages.0.content"),
        ('{"messages": [{"role": "assistant", "content": [{"type": "image"}]}]}', "line 2: messages.0.content"),
    ],
)
def test_a_line_that_cannot_be_learned_from_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text(f"{_example('Hi.').model_dump_json()}\n{line}\n", encoding="utf-8")
    with pytest.raises(InvalidRequest) as caught:
        chat.read_examples(path)
    assert str(caught.value).startswith("1 of 2 lines of examples.jsonl cannot be learned from")
    assert told in str(caught.value)


def test_many_bad_lines_are_counted_and_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text("no\n" * 25, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"25 of 25 lines .* and 15 more"):
        chat.read_examples(path)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        chat.read_examples(tmp_path)


def test_an_example_stays_on_its_side_and_is_on_one_only() -> None:
    many = [_example(f"Question {number}?") for number in range(200)]
    train, held_out = chat.split([*many, *many[:50]])
    assert len(train) + len(held_out) == 200
    assert 20 < len(held_out) < 60
    assert chat.split(many[:100])[1] == [one for one in held_out if one in many[:100]]
    with pytest.raises(InvalidRequest, match="1 different examples are too few"):
        chat.split(many[:1])


def test_examples_are_the_fields_usual_form() -> None:
    assert json.loads(_example("Hi.").model_dump_json()) == {
        "messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": REPLY}]
    }
