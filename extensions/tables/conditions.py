# ruff: noqa: S608 - statements are put together from quoted names and constants; every value is bound
"""The conditions of a typed query as SQL, and what has to be true of rows before they are compared or counted."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from extensions.tables.figures import is_same_unit, read_figure
from extensions.tables.query import Filter
from extensions.tables.relations import Relation, Run, SqlColumn
from foundation.errors import InvalidRequest

SIGNS = {"is above": ">", "is at least": ">=", "is below": "<", "is at most": "<="}
# Most values of a column that an error names
NAMED = 12


class Rows:
    """The rows of a relation that meet conditions, and that the caller may see."""

    def __init__(self, relation: Relation, run: Run) -> None:
        self.relation, self.run = relation, run
        self.values: list[Any] = [*relation.rights_values]
        self._conditions = [relation.rights] if relation.rights else []

    @property
    def where(self) -> str:
        return f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""

    def select(self, what: str, *conditions: str, values: Sequence[Any] = (), end: str = "") -> list[tuple[Any, ...]]:
        """Return `what` of the rows that meet these conditions, too."""
        found = [*self._conditions, *conditions]
        where = f" WHERE {' AND '.join(found)}" if found else ""
        return self.run(f"SELECT {what} FROM {self.relation.source}{where}{end}", [*self.values, *values])

    def add(self, filters: Sequence[Filter]) -> None:
        """Raises InvalidRequest: a column is not there, or cannot be compared so."""
        for condition in sorted(
            filters, key=lambda each: each.compare in SIGNS
        ):  # these look at the rows that are left
            sql, bound = self._translate(condition)
            self._conditions.append(sql)
            self.values += bound

    def leave_out(self, places: Sequence[int]) -> None:
        self._conditions.append(f"{self.relation.row} NOT IN ({', '.join(str(int(place) + 1) for place in places)})")

    def demand_known_values(self, filters: Sequence[Filter]) -> None:
        """Raises InvalidRequest: a value does not occur at all, so that no row would be no answer."""
        for condition in filters:
            column = self.relation.field(condition.column)
            everything = Rows(self.relation, self.run)
            sql, bound = everything._translate(condition)
            if condition.compare not in ("equals", "contains") or everything.select(
                "1", sql, values=bound, end=" LIMIT 1"
            ):
                continue
            found = everything.select(f"DISTINCT {column.text}", end=" ORDER BY 1 LIMIT 200")
            known = [str(row[0]) for row in found if row[0] not in (None, "")]
            more = ", ..." if len(known) > NAMED else ""
            raise InvalidRequest(
                f'No row of {self.relation.label} has "{condition.value}" in the column "{column.name}". '
                f"It has: {', '.join(value[:60] for value in known[:NAMED])}{more}."
            )

    def demand_numbers(self, column: SqlColumn) -> str:
        """Return the unit of the rows. Raises InvalidRequest: one of them has no number there, or they have several units."""
        self._demand_clear(column)
        label = self.relation.label
        if not column.number:
            raise InvalidRequest(f'The column "{column.name}" of {label} has no numbers, so nothing can be calculated.')
        if not column.unit_sql:
            return column.unit or ""
        words = self.select(column.text, f"{column.number} IS NULL", f"NOT blank({column.text})", end=" LIMIT 1")
        if words:
            raise InvalidRequest(
                f'The column "{column.name}" of {label} also has "{str(words[0][0])[:100]}", which is no number, so nothing is '
                "calculated over these rows. Leave out such rows by a condition, or list them."
            )
        found = self.select(f"DISTINCT {column.unit_sql}", f"{column.number} IS NOT NULL", end=" LIMIT 9")
        units = sorted({str(row[0]) for row in found}, key=len)
        if any(not is_same_unit(units[0], unit) for unit in units):
            raise InvalidRequest(
                f'The column "{column.name}" of {label} has several units ({", ".join(unit or "none" for unit in units)}), so '
                "its figures cannot be compared or added. Leave out rows by a condition, or list them."
            )
        return units[0] if units else ""

    def demand_countable(self, total_row: str) -> None:
        """Raises InvalidRequest: rows of the table may be missing or be the sums of others."""
        relation = self.relation
        if relation.trouble:
            raise InvalidRequest(
                f"Nothing is calculated in {relation.label}: {relation.trouble}. Its rows can be listed."
            )
        if not relation.totals or total_row:
            return
        among = ", ".join(str(place + 1) for place in relation.totals)
        if found := self.select(relation.row, f"{relation.row} IN ({among})", end=" LIMIT 1"):
            raise InvalidRequest(
                f'Row {found[0][0]} of {relation.label} has the sums of rows above it. Say total_row="left out" where it is '
                'their total, "counted" where it is a row like the others.'
            )

    def _translate(self, condition: Filter) -> tuple[str, list[Any]]:
        column, value = self.relation.field(condition.column), condition.value.strip()
        if condition.compare in SIGNS:
            return self._compare(column, condition.compare, value)
        folded = f"fold({column.text})" if column.unit_sql else f"lower(cast({column.text} AS text))"
        words = " ".join(value.casefold().split()) if column.unit_sql else value.lower()
        if condition.compare == "contains":
            return f"{folded} LIKE ? ESCAPE '!'", [f"%{_escape(words)}%"]
        sql, bound = f"{folded} = ?", list[Any]([words])
        figure = read_figure(value)
        number = figure.value(".") if figure is not None and column.number and not column.unclear else None
        if figure is not None and number is not None:
            _demand_unit(column, figure.unit)
            sql, bound = f"({sql} OR coalesce({column.number} = ?, 1 = 0))", [words, float(number)]
        return (f"NOT ({sql})" if condition.compare == "differs from" else sql), bound

    def _compare(self, column: SqlColumn, compare: str, value: str) -> tuple[str, list[Any]]:
        figure = read_figure(value)
        number = figure.value(".") if figure is not None else None
        if figure is not None and number is not None and column.number:
            _demand_unit(column, figure.unit)
            self.demand_numbers(column)
            return f"{column.number} {SIGNS[compare]} ?", [float(number)]
        text = f"cast({column.text} AS text)"
        if _is_day(value) and not self.select("1", f"{text} <> ''", f"NOT {text} LIKE '____-__-__'", end=" LIMIT 1"):
            return f"{text} {SIGNS[compare]} ?", [value]
        raise InvalidRequest(
            f'Whether "{column.name}" {compare} "{value}" cannot be told: both have to be numbers such as 1234.5, or days such '
            "as 2026-01-31."
        )

    def _demand_clear(self, column: SqlColumn) -> None:
        if column.unclear:
            raise InvalidRequest(
                f'"{column.unclear}" in the column "{column.name}" of {self.relation.label} is one number with a decimal point and '
                "another with a decimal comma, and nothing in the document tells which. Whoever runs the system can say it: "
                'decimal_mark = "." or "," of the tables.'
            )


def _is_day(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _escape(value: str) -> str:
    return value.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _demand_unit(column: SqlColumn, unit: str) -> None:
    if not unit or (column.unit and is_same_unit(unit, column.unit)) or unit.casefold() in column.name.casefold():
        return
    says = f"is in {column.unit}" if column.unit else "does not say its unit"
    raise InvalidRequest(
        f'The column "{column.name}" {says}, and the query says {unit}. Ask without it, or in its own unit.'
    )
