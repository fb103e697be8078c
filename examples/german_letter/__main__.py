"""How is a photographed German letter answered in English?

The bundled system finds the place and quotes it in German, since it quotes and does not write. A model that writes says it in
English, on the same passage: here a double of one plays it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.german_letter import double
from examples.german_letter.letter import photograph
from examples.small_system import VISITOR, ask, small_system
from foundation.extensions import read_names
from foundation.text.lexical import is_foreign
from orchestration.events import Answer
from retrieval.documents import Citation, Source
from retrieval.ingest.preparation import Item
from serving.wiring import System

QUESTIONS = (
    "What is the total of the bill?",
    "How long does the warranty of the pumps last?",
    "When does the technician come?",
    "Wann kommt der Monteur?",
    "Which insurance covers the office?",
)
NAME = "letter.jpg"
STACK: dict[str, Any] = {
    "extensions": [],
    "models": {"embedder": {"use": "e5"}},
    # from where on an answer is told as one is as it ships, and not as for the small system's four documents
    "retrieval": {"multilingual": True, "grounding": {}},
}
WRITES = {"chat": {"use": f"{double.__name__}:build"}}


@contextmanager
def letter_system(models: Mapping[str, Any] | None = None) -> Iterator[System]:
    """Open the system with the extensions ocr and languages, and the photographed letter in it."""
    names = sorted({*read_names(Path("stack.toml")), "ocr", "languages"})
    stack = {**STACK, "extensions": names, "models": {**STACK["models"], **(models or {})}}
    with small_system(stack, documents={}) as system:
        report = system.retrieval.ingestor.ingest([Item(Source(NAME, VISITOR.tenant), photograph(), NAME)])
        if report.refused:
            raise SystemExit(f"The letter was refused: {report.refused[0]}. Run `make setup WITH=ocr` first.")
        yield system


def boxes_of(system: System, citation: Citation) -> list[tuple[int, int, int, int]]:
    """Return left, top, right and bottom of each cited word, in thousandths of the picture."""
    entry = system.retrieval.ledger.entry(citation.document_id)
    boxes = entry.parsed.boxes if entry else ()
    return [
        (box.left, box.top, box.right, box.bottom)
        for box in boxes
        if box.end > citation.start and box.start < citation.end
    ]


def show(system: System, answer: Answer) -> None:
    print(f"  {answer.band or answer.status}: {' '.join(answer.text.split())}")
    for citation in answer.citations:
        boxes = boxes_of(system, citation)
        left, top, _, _ = map(min, zip(*boxes, strict=True))
        _, _, right, bottom = map(max, zip(*boxes, strict=True))
        print(f"    [{citation.marker}] {citation.uri}: “{' '.join(citation.quote.split())}”")
        print(
            f"        {len(boxes)} words, {left} to {right} across and {top} to {bottom} down, in thousandths of the picture"
        )


def main() -> None:
    for title, models in (
        ("The bundled system, which quotes", None),
        ("With a model that writes (a double of one, whose sentences are scripted)", WRITES),
    ):
        print(title)
        # the double speaks English alone
        questions = [question for question in QUESTIONS if models is None or not is_foreign(question)]
        with letter_system(models) as system:
            for question in questions:
                print(f"“{question}”")
                show(system, ask(system, question))


if __name__ == "__main__":
    main()
