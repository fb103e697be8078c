"""How does an answer stand on documents, and how does it refuse without them?

The same small language model twice: alone, and as a part of a system that quotes documents and first checks whether
they answer. The last question is not answered by any document.
"""

from examples.small_system import ask, small_system

QUESTIONS = (
    "How much is a single adult ticket to Graynes?",
    "How long does the crossing take?",
    "Which band plays on board on Saturdays?",
)


def shorten(text: str, characters: int = 110) -> str:
    line = " ".join(text.split())
    return line if len(line) <= characters else f"{line[:characters]}..."


def main() -> None:
    with small_system() as system:
        for question in QUESTIONS:
            alone = system.models.chat.bind(max_tokens=40).invoke(question)
            answer = ask(system, question)
            print(f"“{question}”")
            print(f"  the model alone  {shorten(alone.text)}")
            print(f"  the system       {answer.text}")
            for citation in answer.citations:
                print(
                    f"                   [{citation.marker}] {citation.uri}, characters {citation.start}–{citation.end}"
                )
    print("The model sounds sure of everything. The system names the place, or says that there is none.")
    print("One layer up: how do others get such answers? python -m examples.deploy_it")


if __name__ == "__main__":
    main()
