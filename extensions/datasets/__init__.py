"""For commands that ask folders in the forms of public data sets: BEIR's layout, and qa.jsonl."""

from foundation.extensions import Extension

extension = Extension(
    about="For commands that ask folders in the forms of public data sets: BEIR's layout, and qa.jsonl.",
)
