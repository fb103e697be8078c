"""The address of the server: taken before anything slow is loaded, and tried by `make doctor`."""

import errno
import socket

from foundation.errors import AddressInUse, InvalidSetting
from serving.settings import HttpSettings


def bind(http: HttpSettings) -> socket.socket:
    """Take the address, before anything slow is loaded. Raises AddressInUse: another process listens there.
    InvalidSetting: the host is not this machine's, or the port needs more rights.
    """
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio sets it only on sockets that it made
        listening.bind((http.host, http.port))
        listening.listen(1)  # two sockets may bind the same address; only listening claims it
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"Port {http.port} on {http.host} is taken by another process. Stop it, or choose another port: "
                f"[serving.http] port in stack.toml or SIXPLY__SERVING__HTTP__PORT={http.port + 1} (0 takes any free one)."
            ) from error
        raise InvalidSetting(
            f"Cannot listen on {http.host} port {http.port}: {error.strerror}. Correct [serving.http]."
        ) from error
    return listening


def base_url(http: HttpSettings, listening: socket.socket) -> str:
    host = f"[{http.host}]" if ":" in http.host else http.host
    return f"http://{host}:{listening.getsockname()[1]}"
