# ruff: noqa: S608 - statements are put together from quoted names and constants; every value is bound
"""The answer to a typed query. What is neither a declared measure nor plainly a column is refused, never guessed."""

from collections.abc import Sequence
from typing import Any

from extensions.tables.conditions import Rows
from extensions.tables.query import SHOWN, Query
from extensions.tables.relations import Declared, Measure, Relation, Reply, Run, SqlColumn
from foundation.errors import InvalidRequest

AGGREGATES = {"sum": "sum", "average": "avg", "smallest": "min", "largest": "max"}


def ask(relation: Relation, query: Query, declared: Declared, run: Run) -> Reply:
    """Answer a query. Raises InvalidRequest: what it asks for is not in the table, or may not be counted."""
    rows = Rows(relation, run)
    rows.add(query.where)
    if relation.totals and query.total_row == "left out":
        rows.leave_out(relation.totals)
    matched = int(rows.select("count(*)")[0][0])
    if not matched:
        rows.demand_known_values(query.where)
        if query.calculate not in ("value", "count"):
            raise InvalidRequest(
                f"No row of {relation.label} meets these conditions, so there is nothing to calculate."
            )
    reply = (_list if query.calculate == "value" else _calculate)(rows, query, declared)
    reply.matched = matched
    return reply


def _list(rows: Rows, query: Query, declared: Declared) -> Reply:
    relation = rows.relation
    if query.group_by:
        raise InvalidRequest('Rows are grouped to calculate something: say calculate="sum", "count" or another.')
    shown = [relation.field(name) for name in query.columns] or [*relation.fields]
    key = _key(rows, query, declared)
    what = ", ".join(filter(None, [relation.row, *(column.text for column in shown), key]))
    end = f" ORDER BY {key} {'ASC' if query.order == 'smallest first' else 'DESC'}" if key else ""
    if relation.row:
        end = f"{end}, {relation.row}" if end else f" ORDER BY {relation.row}"
    ranked = [f"{key} IS NOT NULL"] if key else []
    found = rows.select(what, *ranked, end=f"{end} LIMIT {SHOWN + 1}")
    within, notes = _within(found, query, ranked=bool(key))
    cut = slice(1 if relation.row else 0, -1 if key else None)
    return Reply(
        columns=[column.name for column in shown],
        rows=[row[cut] for row in within],
        statement=_written(rows, what, ranked, f"{end} LIMIT {query.limit}"),
        values=rows.values,
        notes=notes,
        row_numbers=[int(row[0]) for row in within] if relation.row else [],
    )


def _key(rows: Rows, query: Query, declared: Declared) -> str:
    """Return the SQL of the figure by which rows are ordered; empty: they stay in the order of the table."""
    if query.order == "as it stands":
        return ""
    if not query.measure:
        raise InvalidRequest("By which column shall the rows be ordered? Name it as measure.")
    rows.demand_countable(query.total_row)
    column = _find_column(rows.relation, query.measure, declared)
    rows.demand_numbers(column)
    return column.number


def _within(found: list[tuple[Any, ...]], query: Query, *, ranked: bool) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Return the rows within the limit; behind the last of them, ranked by their last value, all that share its place."""
    rows, notes = found[: query.limit], list[str]()
    tied = [row for row in found[query.limit : SHOWN] if row[-1] == rows[-1][-1]] if ranked and rows else []
    if tied:
        notes.append(f"{len(tied)} more with the same figure as the last one are shown, too.")
    if len(found) > SHOWN and query.limit == SHOWN:
        notes.append(f"There are more rows; {SHOWN} are shown.")
    return rows + tied, notes


def _calculate(rows: Rows, query: Query, declared: Declared) -> Reply:
    rows.demand_countable(query.total_row)
    relation, measure = rows.relation, _measure_of(rows.relation, query, declared)
    unit, notes = _check_figures(rows, measure)
    groups = [relation.field(name) for name in query.group_by]
    keys = ", ".join(column.text for column in groups)
    counted = [] if query.calculate == "count" else ["count(*)"]
    what = ", ".join([*(column.text for column in groups), *counted, measure.sql])
    direction = {"smallest first": "ASC", "largest first": "DESC"}.get(query.order, "")
    order = f"{len(groups) + len(counted) + 1} {direction}, {keys}" if direction else keys
    end = f" GROUP BY {keys} ORDER BY {order}" if keys else ""
    found = rows.select(what, end=f"{end} LIMIT {SHOWN + 1}")
    within, more = _within(found, query, ranked=bool(direction and keys))
    resting_on = rows.select(relation.row, end=f" ORDER BY 1 LIMIT {SHOWN}") if relation.row else []
    return Reply(
        columns=[
            *(column.name for column in groups),
            *(["rows"] if counted else []),
            f"{measure.name} ({unit})" if unit else measure.name,
        ],
        rows=within,
        statement=_written(rows, what, (), end),
        values=rows.values,
        notes=[*notes, *more],
        row_numbers=[int(row[0]) for row in resting_on],
    )


def _check_figures(rows: Rows, measure: Measure) -> tuple[str, list[str]]:
    """Return the unit of the measure, and notes about rows that it leaves out. Raises InvalidRequest."""
    unit, notes = "", list[str]()
    for column in measure.reads:
        unit = rows.demand_numbers(column)
        if missing := rows.select(f"count(*) - count({column.number})")[0][0]:
            notes.append(f'{missing} of the rows have no figure in "{column.name}" and are not counted.')
    return measure.unit or (unit if len(measure.reads) == 1 else ""), notes


def _measure_of(relation: Relation, query: Query, declared: Declared) -> Measure:
    if query.calculate == "count" and not query.measure:
        return Measure(name="number of rows", sql="count(*)")
    if not query.measure:
        raise InvalidRequest(f"Of what shall the {query.calculate} be? Name a column or a declared measure.")
    if query.calculate == "declared":
        if measure := declared(query.measure):
            return measure
        raise InvalidRequest(f'No measure "{query.measure}" is declared for {relation.label}, or not for this person.')
    column = _find_column(relation, query.measure, declared)
    if query.calculate == "count":
        filled = f"nullif({column.text}, '')" if column.unit_sql else column.text
        return Measure(name=f"rows that have {column.name}", sql=f"count({filled})")
    sql = f"{AGGREGATES[query.calculate]}({column.number})"
    return Measure(name=f"{query.calculate} of {column.name}", sql=sql, reads=[column])


def _find_column(relation: Relation, name: str, declared: Declared) -> SqlColumn:
    if declared(name):
        raise InvalidRequest(
            f'"{name}" is a declared measure, which says how it is calculated: say calculate="declared".'
        )
    try:
        return relation.field(name)
    except InvalidRequest as error:
        raise InvalidRequest(
            f'"{name}" is neither a declared measure of {relation.label} nor one of its columns, so nothing is calculated. {error}'
        ) from None


def _written(rows: Rows, what: str, conditions: Sequence[str], end: str) -> str:
    """Return the statement for a reader, with the names of columns where SQL has their places."""
    joined = " AND ".join(conditions)
    where = f"{rows.where}{' AND ' if rows.where else ' WHERE '}{joined}" if joined else rows.where
    return f"SELECT {what} FROM {rows.relation.source}{where}{end}"
