"""The key of this machine: made by a server that only this machine can reach while nobody has a key, and gone with that server.

Whoever owns the data folder can make any key, so this gives nobody a right. It stands in a file that only they can read.
"""

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from foundation.errors import Unauthenticated
from foundation.types import Principal
from serving.access.identity import KeyStore
from serving.settings import HttpSettings

FILE = "machine.key"


def is_wanted(keys: KeyStore, http: HttpSettings, owner: Principal) -> bool:
    """Whether nobody but the owner's own commands has a key or token, and no other machine gets here.
    Raises ConfigurationError: the file of keys is none.
    """
    others = any(key.subject != owner.subject for key in keys.list())
    return not (others or keys.tokens or http.allowed_hosts) and _is_on_loopback(http.host)


@contextmanager
def machine_key(keys: KeyStore, owner: Principal) -> Iterator[str]:
    """Yield a key of the owner that ends with the block, in a file beside the others'."""
    file = keys.path.with_name(FILE)
    if file.exists():  # of a server that was killed
        _end(keys, file.read_text(), file)
    key = keys.create(subject=owner.subject, tenant=owner.tenant, roles=owner.roles)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(f"{key}\n")
        yield key
    finally:
        _end(keys, key, file)


def _end(keys: KeyStore, key: str, file: Path) -> None:
    with suppress(Unauthenticated):  # it was revoked by hand, or its owner was erased
        keys.revoke(keys.digest_of(key)[:12])
    file.unlink(missing_ok=True)


def _is_on_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may mean anything
        return False
