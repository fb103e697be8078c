"""Exit with 0 if this machine's server is ready, for the image's health check: the image has no curl."""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection

TIMEOUT_S = 4


def ready(port: int) -> bool:
    """Whether `/health/ready` on loopback succeeds."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not ready(int(os.environ.get("SIXPLY__SERVING__HTTP__PORT", "8600"))))
