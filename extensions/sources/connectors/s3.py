"""A bucket of storage that speaks S3. Its readers are named by prefix, or by the metadata of each object."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import urllib3
from pydantic import Field

from extensions.sources.contract import Listed, Page, Readers
from foundation.components import Context
from foundation.errors import InvalidSetting, UpstreamDown
from foundation.settings import Section

if TYPE_CHECKING:
    from minio.datatypes import Object

T = TypeVar("T")
PAGE = 1_000
# Most requests for one page: a server may answer some without a key, but not all
REQUESTS = 100
GONE = ("NoSuchKey", "NoSuchObject")


class Options(Section):
    bucket: str
    prefix: str = ""
    endpoint: str = "https://s3.amazonaws.com"
    region: str = "us-east-1"
    key_env: str = "AWS_ACCESS_KEY_ID"
    secret_env: str = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - a name
    """The names of the environment variables with the key and its secret."""
    readers: Mapping[str, tuple[str, ...]] = {}
    """Prefix of keys -> who may read what is below; the longest counts. Without one: everybody of the tenant."""
    readers_metadata: str = ""
    """The name of the metadata with an object's readers, separated by spaces; it takes one more request each. An object without it is for nobody."""
    timeout_s: float = Field(default=30, gt=0)


class CountedRequests(urllib3.PoolManager):
    """The client's connections. Without a bound here its listing goes on for as long as the server says that there is more."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.here = threading.local()
        """`left`: how many more this thread may make. What a question asks meanwhile is not the listing's."""

    def urlopen(self, *arguments: Any, **named: Any) -> Any:
        self.here.left = getattr(self.here, "left", REQUESTS) - 1
        if self.here.left < 0:
            raise OSError(f"after {REQUESTS} requests its listing still has no end and too few keys")
        return super().urlopen(*arguments, **named)


class S3Connector:
    def __init__(self, options: Options, key: str, secret: str) -> None:
        from minio import Minio

        self._options, address = options, urlsplit(options.endpoint)
        self._http = CountedRequests(timeout=options.timeout_s, retries=urllib3.Retry(2, backoff_factor=0.2))
        self._client = Minio(
            address.netloc,
            key,
            secret,
            secure=address.scheme == "https",
            region=options.region,
            http_client=self._http,
        )

    def page(self, cursor: str) -> Page:
        def list_some() -> list[Object]:
            found = self._client.list_objects(
                self._options.bucket, prefix=self._options.prefix, recursive=True, start_after=cursor or None
            )
            return list(islice(found, PAGE))

        found = self._ask(list_some) or []
        if cursor and found and str(found[0].object_name) <= cursor:
            raise self._down(f'its listing after "{cursor}" begins again with "{found[0].object_name}"')
        keys = [(str(it.object_name), str(it.etag)) for it in found if not str(it.object_name).endswith("/")]
        readers = self.readers([key for key, _ in keys]) if self._options.readers_metadata else None
        objects = [
            Listed(key, self._name_of(key), etag, self._by_prefix(key) if readers is None else readers[key])
            for key, etag in keys
            if readers is None or key in readers
        ]
        # the last key, where a token of the server could end
        return Page(objects, str(found[-1].object_name) if len(found) == PAGE else "")

    def read(self, key: str, most: int) -> bytes | None:
        def fetch() -> bytes:
            reply = self._client.get_object(self._options.bucket, key)
            try:
                return bytes(reply.read(most))
            finally:
                reply.close()
                reply.release_conn()

        return self._ask(fetch)

    def readers(self, keys: Collection[str]) -> Mapping[str, Readers]:
        there = {key: found for key in keys if (found := self._ask(self._stat(key))) is not None}
        by_metadata = bool(self._options.readers_metadata)
        return {key: self._of_metadata(it) if by_metadata else self._by_prefix(key) for key, it in there.items()}

    def close(self) -> None:
        self._http.clear()

    def _stat(self, key: str) -> Callable[[], Object]:
        return lambda: self._client.stat_object(self._options.bucket, key)

    def _name_of(self, key: str) -> str:
        return key.removeprefix(self._options.prefix).lstrip("/") or key

    def _of_metadata(self, found: Object) -> Readers:
        name = f"x-amz-meta-{self._options.readers_metadata}"
        return frozenset(str((found.metadata or {}).get(name, "")).split())

    def _by_prefix(self, key: str) -> Readers:
        prefixes = [prefix for prefix in self._options.readers if key.startswith(prefix)]
        return frozenset(self._options.readers[max(prefixes, key=len)]) if prefixes else None

    def _ask(self, request: Callable[[], T]) -> T | None:
        """Return what the storage answers, `None` where the object is gone. Raises UpstreamDown."""
        from xml.etree.ElementTree import ParseError

        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        self._http.here.left = REQUESTS
        try:
            return request()
        except S3Error as error:
            if error.code in GONE:
                return None
            raise self._down(f"{error.code}: {error.message}") from error
        except ParseError as error:
            raise self._down(f"its reply is no XML ({error})") from error
        except (MinioException, HTTPError, OSError) as error:
            raise self._down(error) from error

    def _down(self, why: object) -> UpstreamDown:
        return UpstreamDown(
            f"The bucket {self._options.bucket} at {self._options.endpoint} cannot be read: {why}. Check [[sources.connections]]."
        )


def build(options: Options, context: Context) -> S3Connector:
    del context
    key, secret = os.environ.get(options.key_env), os.environ.get(options.secret_env)
    if not (key and secret):
        raise InvalidSetting(
            f"The environment has no {options.key_env} or no {options.secret_env}, the key and the secret of the bucket {options.bucket}. Set both."
        )
    return S3Connector(options, key, secret)
