"""Schemathesis invents requests from the OpenAPI document: none may be a 500 or get a reply that is not documented."""

from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from foundation.extensions import installed
from serving.app import create_app
from tests.doubles.serving import World, world

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=tuple(installed()))


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"])
def test_no_invented_request_breaks_the_api(given: World, mode: GenerationMode) -> None:
    app = create_app(given.system)
    document = schemathesis.openapi.from_dict(app.openapi())
    document.app = app
    headers = {"Authorization": f"Bearer {given.all_roles}"}
    statuses: set[int] = set()
    bounded = settings(
        max_examples=15, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    for result in document.get_all_operations():

        @bounded
        @hypothesis.given(case=result.ok().as_strategy(generation_mode=mode))
        def attempt(case: schemathesis.Case) -> None:
            response = case.call_and_validate(base_url="http://127.0.0.1", headers=headers, checks=CHECKS)
            statuses.add(response.status_code)

        with suppress(Unsatisfiable):  # a route without parameters has no request that does not fit
            attempt()
    expected = {200, 201, 404} if mode is GenerationMode.POSITIVE else {422}
    assert expected <= statuses
