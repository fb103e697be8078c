"""What the pages that are made from the code have in common."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap

from pydantic import BaseModel


def first_sentence(text: str | None) -> str:
    """Of a docstring, as it can stand in a table."""
    plain = re.sub(r"\s+", " ", text or "").strip()
    return re.split(r"(?<=[.?!])\s+(?=[A-Z`])", plain)[0]


def attribute_docs(kind: type) -> dict[str, str]:
    """The docstring below each field of a class and of the classes that it is made of."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not issubclass(base, BaseModel) or base.__module__.startswith("pydantic"):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            says = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(says, str):
                found[field.target.id] = says
    return found
