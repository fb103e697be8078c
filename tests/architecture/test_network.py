"""Tests reach this machine and nothing else. If this fails, no other test's silence about the network means anything."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading

import httpx2
import pytest
import uvicorn

OUTSIDE = "192.0.2.1"  # reserved for documentation: nobody has it


async def answer(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"here"})


@pytest.fixture(scope="module")
def address():
    """A real server on a free port of loopback."""
    server = uvicorn.Server(uvicorn.Config(answer, log_level="error", lifespan="off"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # the server accepts once it runs; until then whoever asks waits in the queue
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_a_server_on_this_machine_can_be_asked(address):
    with httpx2.Client(timeout=60) as client:
        assert client.get(address).text == "here"


async def test_a_server_on_this_machine_can_be_asked_asynchronously(address):
    async with httpx2.AsyncClient(timeout=60) as client:
        assert (await client.get(address)).text == "here"


async def test_child_processes_work():
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('here')", stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    assert output == b"here\n"


def test_a_connection_to_elsewhere_is_blocked():
    with socket.socket() as outward, pytest.raises((RuntimeError, UserWarning), match=OUTSIDE):
        outward.connect((OUTSIDE, 80))


async def test_an_asynchronous_connection_to_elsewhere_is_blocked():
    with pytest.raises((RuntimeError, UserWarning), match=OUTSIDE):
        await asyncio.open_connection(OUTSIDE, 80)


def test_a_name_lookup_is_blocked():
    with pytest.raises(socket.gaierror, match="blocked in tests"):
        socket.create_connection(("example.com", 80))
