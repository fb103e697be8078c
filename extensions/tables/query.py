"""A typed query over one table: what a model fills in, and none of which becomes SQL."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Compare = Literal["equals", "differs from", "contains", "is above", "is at least", "is below", "is at most"]
Calculate = Literal["value", "declared", "sum", "average", "smallest", "largest", "count"]
# Most rows that one answer shows
SHOWN = 50


class Filter(BaseModel):
    model_config = ConfigDict(extra="forbid")

    column: str = Field(max_length=200)
    compare: Compare = "equals"
    value: str = Field(max_length=200)


class Query(BaseModel):
    """What is asked of one table."""

    model_config = ConfigDict(extra="forbid")

    table: Annotated[str, Field(max_length=500, description="the id of a table, as find_tables gave it")]
    calculate: Annotated[
        Calculate,
        Field(
            description="value: the rows themselves; declared: a declared measure; else of a column, for all or for each group"
        ),
    ] = "value"
    measure: Annotated[
        str, Field(max_length=200, description="a declared measure or a column; for value and count it may be left out")
    ] = ""
    columns: Annotated[list[str], Field(max_length=30, description="for value: the columns to show; none: all")] = []
    where: Annotated[list[Filter], Field(max_length=10, description="conditions that all have to hold")] = []
    group_by: Annotated[list[str], Field(max_length=3)] = []
    order: Annotated[
        Literal["as it stands", "smallest first", "largest first"],
        Field(description="by the measure; with a limit of 1 it finds the cheapest, the longest"),
    ] = "as it stands"
    limit: Annotated[int, Field(ge=1, le=SHOWN)] = SHOWN
    total_row: Annotated[
        Literal["", "left out", "counted"],
        Field(description="for a table that has a row with the sums of others: whether that counts too"),
    ] = ""
