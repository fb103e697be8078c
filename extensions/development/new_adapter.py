"""`sixply adapter`: write the file of a new adapter, with everything to be filled in."""

import ast
import builtins
import importlib.util
import inspect
import keyword
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from extensions.development import ports
from extensions.development.ports import CONTRACTS, Port
from foundation.components import available
from foundation.errors import InvalidRequest
from serving.cli import terminal

# Second argument of `build`, where it is not the plain `Context`
CONTEXTS = {
    "models.reranker": "models.contract:ScoringParts",
    "models.entailment": "models.contract:ScoringParts",
    "retrieval.parsers": "retrieval.documents:ParseLimits",
    "orchestration.agent": "orchestration.contract:AgentParts",
}
# Optional methods of contracts from the ecosystem: write them if the part has the ability
UNASKED = {
    "bind_tools", "copy_thread", "acopy_thread", "delete_for_runs", "adelete_for_runs", "prune", "aprune",
}  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


def adapter(
    port: Annotated[str, typer.Argument(help="A port, such as retrieval/vectors.")],
    name: Annotated[str, typer.Argument(help="Its name in stack.toml: lower-case letters, digits and _.")],
) -> None:
    """Write the file of a new adapter, ready to fill in."""
    found = ports.port(port)
    path = write(found, name)
    terminal.console().print(terminal.plain(next_steps(found, name, path)))


def write(port: Port, name: str, *, root: Path = Path()) -> Path:
    """Write the file. Raises InvalidRequest: the name is no module name, or is taken; no file is overwritten."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InvalidRequest(f'"{name}" cannot name an adapter. Use small letters, digits and _, such as NAME=acme.')
    path = root / port.folder / f"{name}.py"
    if path.exists() or name in available(port.name):
        raise InvalidRequest(f"{path} is there already and was left alone. Choose another name.")
    if not path.parent.is_dir():
        raise InvalidRequest(f"There is no folder {path.parent} here. Run from the repository's root.")
    path.write_text(source(port, name), encoding="utf-8")
    return path


def next_steps(port: Port, name: str, path: Path) -> str:
    chosen = f'[{port.name}]\nuse = "{name}"'
    if port.name in ("orchestration.tools", "observability.exporters"):
        chosen = f"[{chosen.replace(']', ']]', 1)}"
    if port.name == "retrieval.parsers":
        chosen = "nothing: the suffixes in the file choose it"
    return (
        f"{path} is written. Now:\n"
        f"  1. Write its methods; import its vendor inside them, and name the vendor in pyproject.toml's import-linter.\n"
        f"  2. See which promises hold:  make contracts PORT={port.folder} NAME={name}\n"
        f"  3. Choose it in stack.toml:\n\n{textwrap.indent(chosen, '         ')}\n\n"
        f"  4. See what it changes:      make gate"
    )


def source(port: Port, name: str) -> str:
    """Return the text of the file. It passes ruff and mypy, and fails the contract suite until it is filled in."""
    return _Template(port, name).text()


class _Template:
    def __init__(self, port: Port, name: str) -> None:
        self.port, self.name, self.contract = port, name, port.contract
        self.protocol = bool(getattr(self.contract, "_is_protocol", False))
        self.fields = issubclass(self.contract, BaseModel)
        self.title = "".join(word.capitalize() for word in name.split("_")) + self.contract.__name__.removeprefix(
            "Base"
        )
        self.imports: set[str] = set()

    def text(self) -> str:
        body = [*self._options(), *self._class(), *self._build()]
        what = f"{self.name}: one sentence on what it is, and when to choose it."
        shadows = any(
            hasattr(builtins, arg.arg)
            for method in _methods(self.contract)
            for arg in ast.walk(method.args)
            if isinstance(arg, ast.arg)
        )
        lead = f'"""{what[:1].upper()}{what[1:]}"""\n\nfrom __future__ import annotations\n'
        lead = f"# ruff: noqa: A002 - the names of arguments are the contract's\n{lead}" if shadows else lead
        found = _imports_of(self.contract, {line.rpartition(" ")[2] for line in self.imports})
        return _tidy(f"{lead}\n" + "\n".join([*found, *sorted(self.imports), *body]))

    def _options(self) -> list[str]:
        if self.port.name == "retrieval.parsers":
            return []
        self.imports.add("from foundation.settings import Section")
        says = '    """What `stack.toml` may say under `use`; anything else there is refused."""'
        return ["class Options(Section):", says]

    def _class(self) -> list[str]:
        base = "" if self.protocol else f"({self._import_name(CONTRACTS[self.port.name])}{self._parameters()})"
        promise = f"See `{self.contract.__module__}.{self.contract.__name__}` for the contract."
        lines = [f"class {self.title}{base}:", f'    """{promise}"""', "", *self._attributes(), *self._init()]
        return [*lines, *(f"{self._method(method)}\n" for method in _methods(self.contract))]

    def _parameters(self) -> str:
        if not getattr(self.contract, "__parameters__", ()):
            return ""
        self.imports.add("from typing import Any")
        return "[Any]"

    def _attributes(self) -> list[str]:
        if self.fields:
            needed = [name for name, field in self.contract.model_fields.items() if field.is_required()]  # type: ignore[attr-defined]
            return [*(f'    {name}: str = "{self.name}"' for name in needed), "    options: Options", ""]
        first_values = {
            "bool": "False",
            "float": "0.5",
            "str": f'"{self.name} 1"',
            "tuple[str, ...]": f'(".{self.name}",)',
        }
        lines = []
        body = _body(self.contract) if self.protocol else []
        for node, following in zip(body, [*body[1:], ast.Pass()], strict=False):
            if isinstance(node, ast.AnnAssign):
                kind = ast.unparse(node.annotation)
                lines.append(f"    {ast.unparse(node.target)}: {kind} = {first_values[kind]}")
                if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                    lines.append(f'    """{following.value.value!s}"""')
        return [*lines, ""]

    def _init(self) -> list[str]:
        if self.fields:
            return []
        opened = [] if self.protocol else ["        super().__init__()"]
        kept = [f"        self._{given} = {given}" for given in self._given_names()]
        signature = ", ".join(f"{given}: {kind}" for given, kind in self._given_names().items())
        return [f"    def __init__(self, {signature}) -> None:", *opened, *kept, ""]

    def _given_names(self) -> dict[str, str]:
        context = self._import_name(CONTEXTS.get(self.port.name, "foundation.components:Context"))
        is_parser = self.port.name == "retrieval.parsers"
        return {"limits": context} if is_parser else {"options": "Options", "context": context}

    def _method(self, node: Function) -> str:
        # a method that yields is no coroutine for its caller
        kind = ast.FunctionDef if any(isinstance(each, ast.Yield) for each in ast.walk(node)) else type(node)
        unwritten = ast.parse(f'raise NotImplementedError("{self.title}.{node.name} is not written yet")').body
        promise = [each for each in node.body[:1] if isinstance(each, ast.Expr) and ast.get_docstring(node)]
        decorators = [each for each in node.decorator_list if ast.unparse(each) != "abstractmethod"]
        fields = {name: getattr(node, name) for name in node._fields}
        method = kind(**fields | {"body": [*promise, *unwritten], "decorator_list": decorators})
        return textwrap.indent(ast.unparse(ast.fix_missing_locations(method)), "    ")

    def _build(self) -> list[str]:
        given = self._given_names()
        result = self._import_name(CONTRACTS[self.port.name]) + self._parameters()
        made = f"{self.title}({'options=options' if self.fields else ', '.join(given)})"
        if self.port.name == "orchestration.tools":
            result, made = f"list[{result}]", f"[{made}]"
        unused = "  # noqa: ARG001 - every adapter is given its context" if self.fields else ""
        signature = ", ".join(f"{name}: {kind}" for name, kind in given.items())
        return [f"def build({signature}) -> {result}:{unused}", f"    return {made}"]

    def _import_name(self, place: str) -> str:
        module, _, name = place.partition(":")
        self.imports.add(f"from {module} import {name}")
        return name


def _methods(contract: type) -> list[Function]:
    """Return the required methods of the contract: abstract ones, and public ones without a body."""
    methods = []
    for node in _body(contract):
        if isinstance(node, Function) and node.name not in UNASKED:
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            public = not node.name.startswith("_") and "overload" not in decorators
            if "abstractmethod" in decorators or (public and all(map(_says_nothing, node.body))):
                methods.append(node)
    return methods


def _says_nothing(statement: ast.stmt) -> bool:
    text = ast.unparse(statement)
    return (
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant | ast.Yield))
        or text.startswith("raise NotImplementedError")
    )


def _body(contract: type) -> list[ast.stmt]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(contract))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return tree.body


def _imports_of(contract: type, taken: set[str]) -> Iterator[str]:
    # all imports and definitions of the contract's module: ruff removes those that are not used
    module = importlib.import_module(contract.__module__)
    tree = ast.parse(inspect.getsource(module))
    for node in (it for it in ast.walk(tree) if isinstance(it, ast.ImportFrom) and it.module != "__future__"):
        for alias in (it for it in node.names if (it.asname or it.name) not in taken):
            again = alias.asname in (None, alias.name)  # an alias of the same name would be a re-export
            yield f"from {node.module} import {alias.name if again else ast.unparse(alias)}"
    yield from (ast.unparse(it) for it in ast.walk(tree) if isinstance(it, ast.Import))
    targets = [target for it in tree.body if isinstance(it, ast.Assign) for target in it.targets]
    defined = {it.name for it in tree.body if isinstance(it, ast.ClassDef)} | {ast.unparse(it) for it in targets}
    yield from (f"from {module.__name__} import {name}" for name in sorted(defined - taken) if name.isidentifier())


def _tidy(text: str) -> str:
    # by this tree's rules; ruff is for developers only
    if importlib.util.find_spec("ruff") is None:
        return text
    for order in (["check", "--select=F401,F811,I", "--fix"], ["format"]):
        command = [sys.executable, "-m", "ruff", *order, "--quiet", "--stdin-filename=serving/new.py", "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text
