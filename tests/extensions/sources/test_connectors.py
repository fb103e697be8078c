"""The four connectors against real folders, repositories, a mail server and a storage."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from extensions.sources.connectors import folder, git, imap, s3
from extensions.sources.contract import CursorLost
from foundation.components import Context
from foundation.errors import InvalidSetting, UpstreamDown
from tests.extensions.sources import servers
from tests.extensions.sources.promises import ConnectorPromises, World, listed

NUMBERS = count()
SMALL = 2


class Folder(World):
    def __init__(self, path: Path) -> None:
        self._path = path / "shelf"
        self._path.mkdir()
        self.connector = folder.build(folder.Options(path=self._path), Context(path))

    def put(self, name: str, text: str) -> None:
        (self._path / name).write_text(text)
        (self._path / name).chmod(0o644)

    def remove(self, name: str) -> None:
        (self._path / name).unlink()

    def restrict(self, name: str, reader: str) -> str:
        (self._path / name).chmod(0o600)
        import pwd

        return f"user:{pwd.getpwuid(os.geteuid()).pw_name}"

    def go_away(self) -> None:
        self._path.rename(self._path.with_name("elsewhere"))

    def come_back(self) -> None:
        self._path.with_name("elsewhere").rename(self._path)


class TestFolder(ConnectorPromises):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        return Folder(tmp_path)

    @pytest.fixture
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(folder, "PAGE", SMALL)

    def test_neither_hidden_files_nor_links_nor_what_lies_outside_are_read(self, world: World, tmp_path: Path) -> None:
        world.put("a.md", "One.")
        world.put(".hidden.md", "Two.")
        (tmp_path / "secret.md").write_text("Three.")
        (tmp_path / "shelf" / "link.md").symlink_to(tmp_path / "secret.md")
        assert [it.key for it in listed(world.connector)] == ["a.md"]
        assert world.connector.read("../secret.md", 99) is None
        assert world.connector.read("link.md", 99) is None


class Repository(World):
    def __init__(self, path: Path) -> None:
        self._path = path / "repository"
        self._path.mkdir()
        self._git("init", "--quiet", "--initial-branch=main")
        options = git.Options(address=f"file://{self._path}", folder="docs")
        self.connector = git.build(options, Context(path / "data"))
        (self._path / "docs").mkdir()

    def put(self, name: str, text: str) -> None:
        (self._path / "docs" / name).write_text(text)
        self._commit()

    def remove(self, name: str) -> None:
        (self._path / "docs" / name).unlink()
        self._commit()

    def restrict(self, name: str, reader: str) -> None: ...

    def go_away(self) -> None:
        self._path.rename(self._path.with_name("elsewhere"))

    def come_back(self) -> None:
        self._path.with_name("elsewhere").rename(self._path)

    def _commit(self) -> None:
        self._git("add", "--all")
        self._git("-c", "user.name=Ida", "-c", "user.email=ida@desk.example", "commit", "--quiet", "-m", "change")

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", self._path, *arguments], check=True, capture_output=True)


class TestGit(ConnectorPromises):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        return Repository(tmp_path)

    @pytest.fixture
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(git, "PAGE", SMALL)

    def test_what_git_is_told_is_an_address_and_no_option_and_no_program(self, tmp_path: Path) -> None:
        for address in ("--upload-pack=touch x", ""):
            with pytest.raises(ValueError, match="address"):
                git.Options(address=address)
        ran = tmp_path / "ran"
        connector = git.build(git.Options(address=f"ext::touch {ran}"), Context(tmp_path))
        with pytest.raises(UpstreamDown, match="not allowed"):
            connector.page("")
        assert not ran.exists()

    def test_a_cursor_of_a_commit_that_is_not_there_is_lost(self, world: World) -> None:
        world.put("a.md", "One.")
        listed(world.connector)
        with pytest.raises(CursorLost):
            world.connector.page(f"{'0' * 40}:2")


class Mailbox(World):
    can_change = False

    def __init__(self) -> None:
        from imapclient import IMAPClient

        self._user = f"desk{next(NUMBERS)}p{os.getpid()}"
        self._owner = IMAPClient("127.0.0.1", servers.dovecot(), ssl=False)
        self._owner.login(self._user, servers.PASSWORD)
        self._owner.select_folder("INBOX")
        self._options = imap.Options(
            host="127.0.0.1", port=servers.dovecot(), tls=False, user=self._user, password_env="-", access_list=True, timeout_s=5
        )  # fmt: skip
        self.connector = self._mine = imap.ImapConnector(self._options, servers.PASSWORD)
        self._uids: dict[str, int] = {}

    def put(self, name: str, text: str) -> None:
        message = f"From: ida@desk.example\r\nSubject: {name}\r\n\r\n{text}\r\n"
        self._owner.append("INBOX", message.encode())
        self._uids[name] = max(self._owner.search())

    def remove(self, name: str) -> None:
        self._owner.delete_messages([self._uids[name]])
        self._owner.expunge()

    def restrict(self, name: str, reader: str) -> str:
        self._owner.setacl("INBOX", reader, "lr")
        return reader

    def go_away(self) -> None:
        self._mine.close()
        self._mine._options = self._options.model_copy(update={"port": 1})

    def come_back(self) -> None:
        self._mine._options = self._options

    def close(self) -> None:
        self._mine.close()
        self._owner.logout()


class TestImap(ConnectorPromises):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = Mailbox()
        yield world
        world.close()

    @pytest.fixture
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(imap, "PAGE", SMALL)

    def test_a_server_that_hung_up_is_asked_again(self, world: World) -> None:
        world.put("a.md", "One.")
        assert listed(world.connector)
        world.connector._client.shutdown()  # type: ignore[attr-defined]
        assert listed(world.connector)

    def test_a_mailbox_that_was_made_anew_knows_no_cursor_and_no_mail_of_before(self, world: World) -> None:
        world.put("a.md", "One.")
        (one,) = listed(world.connector)
        validity, _, uid = one.key.partition(":")
        before = f"{int(validity) - 1}:{uid}"
        with pytest.raises(CursorLost):
            world.connector.page(before)
        assert world.connector.read(before, 99) is None
        assert world.connector.readers([before]) == {}

    def test_without_a_password_it_says_which_variable_is_to_have_it(self, tmp_path: Path) -> None:
        options = imap.Options(host="mail.example", user="desk", password_env="NOBODY_SETS_THIS")
        with pytest.raises(InvalidSetting, match="no NOBODY_SETS_THIS"):
            imap.build(options, Context(tmp_path))


class Bucket(World):
    def __init__(self) -> None:
        from minio import Minio

        self._name = f"docs-{os.getpid()}-{next(NUMBERS)}"
        address = servers.swift()
        self._owner = Minio(
            address.removeprefix("http://"), "test:tester", servers.PASSWORD, secure=False, region="us-east-1"
        )
        self._owner.make_bucket(self._name)
        self._options = s3.Options(bucket=self._name, endpoint=address, readers_metadata="readers", timeout_s=5)
        self.connector = self._mine = s3.S3Connector(self._options, "test:tester", servers.PASSWORD)

    def put(self, name: str, text: str) -> None:
        content = text.encode()
        self._owner.put_object(self._name, name, io.BytesIO(content), len(content), metadata={"readers": "staff ada"})

    def remove(self, name: str) -> None:
        self._owner.remove_object(self._name, name)

    def restrict(self, name: str, reader: str) -> str:
        from minio.commonconfig import REPLACE, CopySource

        whole = CopySource(self._name, name)
        self._owner.copy_object(self._name, name, whole, metadata={"readers": reader}, metadata_directive=REPLACE)
        return reader

    def go_away(self) -> None:
        self._mine._client._base_url._url = self._mine._client._base_url._url._replace(netloc="127.0.0.1:1")

    def come_back(self) -> None:
        netloc = self._options.endpoint.removeprefix("http://")
        self._mine._client._base_url._url = self._mine._client._base_url._url._replace(netloc=netloc)


class TestS3(ConnectorPromises):
    @pytest.fixture
    def world(self) -> World:
        return Bucket()

    @pytest.fixture
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3, "PAGE", SMALL)

    def test_readers_are_named_by_the_longest_prefix(self, world: World) -> None:
        options = world._options.model_copy(  # type: ignore[attr-defined]
            update={"readers_metadata": "", "readers": {"": ("staff",), "hr/": ("hr",)}}
        )
        world.put("a.md", "One.")
        world.put("hr/b.md", "Two.")
        connector = s3.S3Connector(options, "test:tester", servers.PASSWORD)
        assert {it.key: it.readers for it in listed(connector)} == {"a.md": {"staff"}, "hr/b.md": {"hr"}}

    def test_a_key_that_is_refused_is_no_empty_bucket(self, world: World) -> None:
        connector = s3.S3Connector(world._options, "test:tester", "wrong")  # type: ignore[attr-defined]
        with pytest.raises(UpstreamDown, match="cannot be read"):
            connector.page("")


def test_storage_whose_reply_is_no_xml_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    connector = s3.S3Connector(s3.Options(bucket="bucket", endpoint="http://127.0.0.1:9"), "key", "secret")

    def listing(*_: Any, **__: Any) -> Iterator[Any]:
        yield ET.fromstring("<ListBucketResult>")

    monkeypatch.setattr(connector._client, "list_objects", listing)
    with pytest.raises(UpstreamDown, match="no XML"):
        connector.page("")
    connector.close()


@pytest.mark.parametrize("name", [b"l\xe4se.md", b"bytes:6162.md", b"bytes:zz", b"\xed\xa0\x80.md"])
def test_a_file_whose_name_is_no_text_is_listed_read_and_kept_as_text(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "other.md").write_text("Other.")
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:  # noqa: PTH118, PTH123 - a path of bytes
        file.write(b"Ten days of leave.")
    connector = folder.FolderConnector(tmp_path, rights=False)
    (one,) = [it for it in listed(connector) if it.name != "other.md"]
    for text in (one.key, one.name):
        text.encode()
    assert connector.read(one.key, 99) == b"Ten days of leave."
    assert set(connector.readers([one.key])) == {one.key}
    repository = tmp_path / "repository"
    for arguments in (
        ["init", "-q", "-b", "main", "."],
        ["add", "."],
        ["-c", "user.email=a@b.example", "-c", "user.name=a", "commit", "-qm", "One"],
    ):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    mirror = git.GitConnector(git.Options(address=str(tmp_path)), repository)
    found = {it.key: it for it in listed(mirror)}
    assert mirror.read(one.key, 99) == b"Ten days of leave."
    assert found[one.key].name == one.name
    assert set(mirror.readers([one.key])) == {one.key}


@pytest.fixture
def hostile_storage() -> Iterator[tuple[s3.S3Connector, list[str]]]:
    """Storage whose listings are always truncated; the second value is what stands in each, for the test to fill."""
    keys: list[str] = []

    class Listing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = "".join(f"<Contents><Key>{key}</Key><ETag>1</ETag><Size>1</Size></Contents>" for key in keys)
            body = f"""<ListBucketResult><Name>docs</Name><IsTruncated>true</IsTruncated>
            <NextContinuationToken>more</NextContinuationToken>{found}</ListBucketResult>""".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    connector = s3.S3Connector(s3.Options(bucket="docs", endpoint=address), "key", "secret")
    yield connector, keys
    connector.close()
    server.shutdown()
    server.server_close()


def test_a_listing_that_says_without_end_that_there_is_more_ends_with_an_error(
    hostile_storage: tuple[s3.S3Connector, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connector, keys = hostile_storage
    with pytest.raises(UpstreamDown, match=f"after {s3.REQUESTS} requests its listing still has no end"):
        connector.page("")
    keys[:] = ["a.md", "b.md"]
    monkeypatch.setattr(s3, "PAGE", SMALL)
    page = connector.page("")
    assert [it.key for it in page.objects] == keys
    with pytest.raises(UpstreamDown, match=r'its listing after "b\.md" begins again with "a\.md"'):
        connector.page(page.cursor)


def test_the_requests_of_a_listing_are_counted_apart_from_those_that_questions_make_meanwhile(
    hostile_storage: tuple[s3.S3Connector, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connector, keys = hostile_storage
    asked: list[str] = []
    list_objects = connector._client.list_objects

    def listing(*arguments: Any, **named: Any) -> Iterator[Any]:
        asker = Thread(target=lambda: asked.extend(connector.readers(["a.md"])))
        asker.start()
        asker.join()
        return list_objects(*arguments, **named)

    monkeypatch.setattr(connector._client, "list_objects", listing)
    monkeypatch.setattr(
        connector._client, "stat_object", lambda *_: connector._http.urlopen("GET", connector._options.endpoint)
    )
    monkeypatch.setattr(s3, "REQUESTS", 1)
    keys[:] = ["a.md", "b.md"]
    monkeypatch.setattr(s3, "PAGE", SMALL)
    with_questions = connector.page("")
    assert [it.key for it in with_questions.objects] == keys
    assert asked == ["a.md"]
