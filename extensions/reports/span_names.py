"""What reports read of spans, beside what the core writes there."""

from typing import Final

QUESTION_SIGNATURE: Final = "sixply.question.signature"
"""A few numbers by which the questions of different weeks are compared; too few to reveal a question."""
ANSWER_SUPPORT: Final = "sixply.answer.support"
HTTP_METHOD: Final = "http.request.method"
HTTP_STATUS: Final = "http.response.status_code"
