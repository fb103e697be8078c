"""Redis or Valkey (from 7.0), for workers or machines that share quotas and cached answers.

The client is synchronous, in threads of its own: asynchronous clients are bound to one event loop, while the command
line runs a loop per command and the API another. Sliding windows are the limits library's.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr

from foundation.components import Context
from foundation.errors import StorageFull, StoreUnavailable
from foundation.settings import Section
from foundation.stores.registry import Store
from serving.contract import CACHE_STAYS, Quota, Window

T = TypeVar("T")
# the largest whole number that the server's script represents exactly
_NO_LIMIT = 2**53


class Options(Section):
    url: str = "redis://127.0.0.1:6379/0"
    """Address of the server; `rediss://` and `unix://` are accepted too."""
    password: SecretStr | None = None
    prefix: str = Field(default="sixply", pattern="^[a-zA-Z0-9_-]+$")
    """Prefix of every key, so that systems can share a server."""
    timeout_s: float = Field(default=2, gt=0)
    """Seconds for one call, connecting included."""
    connections: int = Field(default=16, ge=1)


class RedisCache:
    """See `serving.contract.Cache`. Windows are stored beside the values, under keys of their own."""

    def __init__(self, options: Options) -> None:
        """Raises StoreUnavailable: there is no server at the address, or it refuses us."""
        from limits.storage import RedisStorage
        from redis import BlockingConnectionPool, Redis

        where = urlsplit(options.url)
        self._name = f"{where.hostname or where.path}{f':{where.port}' if where.port else ''}"
        self._prefix = options.prefix
        password = {"password": options.password.get_secret_value()} if options.password else {}
        self._pool = BlockingConnectionPool.from_url(
            options.url,
            max_connections=options.connections,
            timeout=options.timeout_s,
            socket_timeout=options.timeout_s,
            socket_connect_timeout=options.timeout_s,
            **password,
        )
        self._client: Any = Redis(connection_pool=self._pool)
        self._threads = ThreadPoolExecutor(options.connections, thread_name_prefix="redis")
        self._closed = False
        try:
            with self._translate_errors():
                self._client.ping()
                self._windows = RedisStorage(
                    options.url, connection_pool=self._pool, key_prefix=f"{options.prefix}:window"
                )
        except BaseException:
            self.close()
            raise

    async def get(self, tenant: str, key: str) -> bytes | None:
        return await self._in_thread(lambda: self._client.get(self._key_name(tenant, key)))

    async def set(self, tenant: str, key: str, value: bytes, *, ttl_s: float, only_new: bool = False) -> bool:
        name, ttl_ms = self._key_name(tenant, key), max(1, round(ttl_s * 1000))
        return bool(await self._in_thread(lambda: self._client.set(name, value, px=ttl_ms, nx=only_new)))

    async def delete(self, tenant: str, key: str) -> bool:
        return bool(await self._in_thread(lambda: self._client.delete(self._key_name(tenant, key))))

    async def forget(self, tenant: str, prefix: str) -> int:
        # a tenant's name may hold signs that mean something in a pattern of Redis
        literal = re.sub(rb"([\\*?\[\]^-])", rb"\\\1", self._key_name(tenant, prefix))

        def delete() -> int:
            names = list(self._client.scan_iter(match=literal + b"*", count=1000))
            return sum(self._client.delete(*names[first : first + 1000]) for first in range(0, len(names), 1000))

        return await self._in_thread(delete)

    async def take(
        self, tenant: str, key: str, amount: int = 1, *, limit: int, window_s: int, forced: bool = False
    ) -> Quota:
        name = f"{_quote(tenant)}:{_bytes(key).hex()}:{window_s}"

        def count() -> Quota:
            most = _NO_LIMIT if forced else limit
            allowed = self._windows.acquire_sliding_window_entry(name, most, window_s, amount)
            previous, _, current, left_s = self._windows.get_sliding_window(name, window_s)
            passed_s = 2 * window_s - left_s if left_s else 0.0  # limits keeps a window's key for two windows
            return Window(previous, current, passed_s, window_s).quota(allowed=allowed, limit=limit, amount=amount)

        return await self._in_thread(count)

    def close(self) -> None:
        """A second call does nothing."""
        self._closed = True
        self._threads.shutdown()
        self._client.close()
        self._pool.disconnect()

    def _key_name(self, tenant: str, key: str) -> bytes:
        return f"{self._prefix}:value:{_quote(tenant)}:".encode() + _bytes(key)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with self._translate_errors():
            if self._closed:
                raise StoreUnavailable("The cache was closed by this process. Open the system again.")
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        from redis import RedisError
        from redis.exceptions import AuthenticationError, OutOfMemoryError

        try:
            yield
        except OutOfMemoryError as error:
            raise StorageFull(
                f"The Redis server {self._name} is full. Raise its maxmemory, or set an eviction policy."
            ) from error
        except AuthenticationError as error:
            raise StoreUnavailable(
                f"The Redis server {self._name} refuses us. Correct the part's password and user."
            ) from error
        except (RedisError, OSError) as error:
            raise StoreUnavailable(
                f"The Redis server {self._name} cannot be used: {str(error).rstrip('.') or type(error).__name__}. "
                f"Check that it runs, and that the part's url leads to it."
            ) from error


def build(options: Options, context: Context) -> RedisCache:
    del context  # all state is in the server
    return RedisCache(options)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="cache", stays=CACHE_STAYS),)


def _quote(tenant: str) -> str:
    # without a colon, so that no other tenant and key make the same name
    return quote(_bytes(tenant), safe="")


def _bytes(key: str) -> bytes:
    return key.encode(errors="surrogatepass")
