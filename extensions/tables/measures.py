"""Declared measures: measures.toml says by which formula a figure of a table is calculated, in which unit, and who may see it.

    [margin]
    table = "sales.csv"                                    # the document, or the table of a database, as find_tables names it
    formula = "(sum(revenue) - sum(cost)) / sum(revenue)"  # a column with blanks in its name in quotes: sum('net price')
    unit = "share"
    roles = ["finance"]                                    # none: everybody who may read the table

A formula has sum, average, smallest, largest and count of columns, figures, and + - * /.
"""

import ast
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from extensions.tables.asking import AGGREGATES
from extensions.tables.relations import Measure, Relation, SqlColumn
from foundation.errors import InvalidRequest, InvalidSetting
from foundation.settings import Section, find_mistake
from foundation.types import Principal

_SIGNS: Mapping[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_DEEPEST = 50


class DeclaredMeasure(Section):
    table: str
    formula: str
    unit: str = ""
    roles: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    about: str = ""
    """For the model: what it says, in a sentence."""


class Measures:
    def __init__(self, declared: Mapping[str, DeclaredMeasure]) -> None:
        self._declared = declared

    def of(self, relation: Relation, principal: Principal) -> dict[str, DeclaredMeasure]:
        """Return the measures of a table that the caller may see, by name."""
        return {
            name: measure
            for name, measure in self._declared.items()
            if measure.table == relation.origin
            and (not measure.roles or principal.roles & {*measure.roles})
            and (not measure.tenants or principal.tenant in measure.tenants)
        }

    def find(self, name: str, relation: Relation, principal: Principal) -> Measure | None:
        """Return a measure of the table as SQL; `None`: none of that name is declared, or not for the caller.

        Raises InvalidRequest: its formula names a column that the table does not have.
        """
        seen = {key.casefold(): (key, measure) for key, measure in self.of(relation, principal).items()}
        if name.casefold() not in seen:
            return None
        key, measure = seen[name.casefold()]
        reads: list[SqlColumn] = []
        return Measure(
            name=key, sql=_sql(_parse(key, measure.formula), relation, reads), unit=measure.unit, reads=reads
        )


def read_measures(file: Path | None) -> Measures:
    """Raises InvalidSetting: the file is missing or malformed, or a formula is none."""
    if file is None:
        return Measures({})
    try:
        declared = TypeAdapter(dict[str, DeclaredMeasure]).validate_python(tomllib.loads(file.read_text("utf-8")))
    except ValidationError as error:
        key, why, hint = find_mistake(error, DeclaredMeasure)
        raise InvalidSetting(f"{file} does not fit: {key}: {why}. {hint or ''}") from error
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"The measures cannot be read from {file}: {error}.") from error
    for name, measure in declared.items():
        _demand_formula(name, _parse(name, measure.formula))
    return Measures(declared)


def _parse(name: str, formula: str) -> ast.expr:
    try:
        return ast.parse(formula, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidSetting(f'The formula of the measure "{name}" cannot be read: {formula!r}.') from error


def _demand_formula(name: str, node: ast.expr, depth: int = 0) -> None:
    match node:
        case _ if depth > _DEEPEST:
            pass
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SIGNS:
            _demand_formula(name, left, depth + 1)
            return _demand_formula(name, right, depth + 1)
        case ast.Constant(value=int() | float()):
            return None
        case ast.Call(func=ast.Name(id=called), args=[argument], keywords=[]) if called in (*AGGREGATES, "count"):
            if _is_row_formula(argument, depth + 1):
                return None
    raise InvalidSetting(
        f'The formula of the measure "{name}" may have {", ".join((*AGGREGATES, "count"))} of columns, figures and + - * /, and '
        f"nothing else. Found: {ast.unparse(node)[:100]}"
    )


def _is_row_formula(node: ast.expr, depth: int) -> bool:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SIGNS and depth < _DEEPEST:
            return _is_row_formula(left, depth + 1) and _is_row_formula(right, depth + 1)
        case ast.Name() | ast.Constant(value=str() | int() | float()):
            return True
    return False


def _sql(node: ast.expr, relation: Relation, reads: list[SqlColumn]) -> str:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            over = _sql(right, relation, reads)
            over = f"nullif(1.0 * ({over}), 0)" if isinstance(op, ast.Div) else over
            return f"({_sql(left, relation, reads)} {_SIGNS[type(op)]} {over})"
        case ast.Call(func=ast.Name(id=called), args=[argument]):
            return f"{AGGREGATES.get(called, 'count')}({_sql(argument, relation, reads)})"
        case ast.Constant(value=int() | float() as number):
            return repr(float(number))
        case ast.Name(id=name) | ast.Constant(value=str(name)):
            column = relation.field(name)
            if not column.number:
                raise InvalidRequest(f'The column "{name}" of {relation.label} has no numbers to calculate with.')
            reads.append(column)
            return column.number
    raise AssertionError("A formula is checked when it is read.")
