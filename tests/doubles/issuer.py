"""A double of an identity provider: it signs whatever it is asked to, and writes its public keys to a file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example/double"
AUDIENCE = "sixply"


class Issuer:
    """One key of each kind, made once; `publish` writes those that are named."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.private: dict[str, Any] = {"ec": ec.generate_private_key(ec.SECP256R1())}
        self.algorithms = {"ec": "ES256"}

    def add_rsa(self, key_id: str, bits: int = 2048) -> None:
        self.private[key_id] = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        self.algorithms[key_id] = "RS256"

    def add_ec(self, key_id: str) -> None:
        self.private[key_id] = ec.generate_private_key(ec.SECP256R1())
        self.algorithms[key_id] = "ES256"

    def public(self, key_id: str) -> dict[str, Any]:
        algorithm = RSAAlgorithm if self.algorithms[key_id] == "RS256" else ECAlgorithm
        known: dict[str, Any] = algorithm.to_jwk(self.private[key_id].public_key(), as_dict=True)
        return known | {"kid": key_id, "use": "sig", "alg": self.algorithms[key_id]}

    def publish(self, *key_ids: str) -> None:
        self.write({"keys": [self.public(key_id) for key_id in key_ids]})

    def write(self, document: Any) -> None:
        """In one step, as whoever saves the real one should."""
        new = self.path.with_suffix(".fetched")
        new.write_text(json.dumps(document), encoding="utf-8")
        new.replace(self.path)

    def token(self, key_id: str = "ec", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good token but for what `claims` change; `None` takes a claim out."""
        now = int(time.time())
        given = {
            "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600,
            "sub": "ada", "tenant": "north", "roles": ["reader"], "groups": ["board"],
        }  # fmt: skip
        kept = {name: value for name, value in (given | claims).items() if value is not None}
        return jwt.encode(kept, self.private[key_id], self.algorithms[key_id], headers={"kid": key_id} | (header or {}))
