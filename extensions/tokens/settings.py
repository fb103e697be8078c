"""The section [tokens]: whose tokens are taken, and what is read from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from foundation.settings import Section, one_of

CLAIMS: Mapping[str, str] = {"subject": "sub", "tenant": "tenant", "roles": "roles", "groups": "groups"}
Claims = Mapping[Annotated[str, one_of(CLAIMS)], Annotated[str, Field(min_length=1)]]


class TokenSettings(Section):
    """Tokens of an identity provider, accepted beside API keys once `jwks_file` is set."""

    jwks_file: Path | None = None
    """The provider's public keys, below the data folder unless absolute. Read again when the file changes."""
    issuer: str = ""
    audience: str = ""
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"], ...
    ] = ("RS256", "ES256")
    claims: Annotated[Claims, AfterValidator(lambda given: {**CLAIMS, **given})] = CLAIMS
    """The claim that holds each part of a caller, by its name or path, such as `realm_access.roles`."""

    @model_validator(mode="after")
    def _whole(self) -> TokenSettings:
        if self.jwks_file is not None and not (self.issuer and self.audience):
            raise ValueError("tokens need an issuer and an audience beside the jwks_file, else any token would do")
        return self
