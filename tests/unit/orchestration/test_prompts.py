"""What is put before a model begins with what stays, so that caches of prompts find it."""

from orchestration.prompts.frames import answer_from, object_from, plan_for

PASSAGES = ("The parcel weighs at most 30 kilograms.", "Parcels are kept for a week.")


def written(messages: list) -> str:
    return "\n".join(message.text for message in messages)


def test_two_questions_over_the_same_passages_differ_only_at_the_end() -> None:
    one, other = (written(answer_from(question, PASSAGES)) for question in ("How heavy?", "Until when?"))
    assert one.removesuffix("How heavy?") == other.removesuffix("Until when?")
    assert all(passage in one for passage in PASSAGES)


def test_every_prompt_begins_with_words_that_never_change_and_ends_with_the_question() -> None:
    tools = [("find_parcel", "Finds a parcel.")]
    for one, other in (
        (answer_from("q?", ["a"]), answer_from("r?", ["b", "c"])),
        (plan_for("q?", tools), plan_for("r?", tools)),
        (object_from("q?", "text", {}), object_from("r?", "other", {})),
    ):
        assert one[0] == other[0]
        assert one[-1].text.endswith("q?")
