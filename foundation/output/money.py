"""Amounts of money in what programs read."""

from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer

# Dollars, in JSON as a decimal in a string without an exponent
Usd = Annotated[Decimal, PlainSerializer(lambda usd: f"{usd:f}", return_type=str, when_used="json-unless-none")]
