"""A branch of a git repository, fetched by the `git` of this machine into a bare copy in the data folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import Field

from extensions.sources.contract import CursorLost, Listed, Page, Readers, key_of, path_of
from foundation.components import Context
from foundation.errors import InvalidSetting, UpstreamDown
from foundation.settings import Section

PAGE = 1_000
# a helper program named in an address (ext::) would run here
PROTOCOLS = "file:git:http:https:ssh"


class Options(Section):
    address: str = Field(min_length=1, pattern=r"^[^-]")
    """Of the repository, as for `git clone`; sign-in is that of `git`: its credential helper, or a key of ssh."""
    branch: str = Field(default="main", pattern=r"^[^-]")
    folder: str = ""
    """The folder of the repository that has the documents; empty: all of it."""
    readers: tuple[str, ...] | None = None
    """Who may read it, for git does not say; unset: everybody of the tenant."""
    timeout_s: float = Field(default=300, gt=0)


class GitConnector:
    def __init__(self, options: Options, copy: Path) -> None:
        self._options, self._copy = options, copy
        self._readers: Readers = None if options.readers is None else frozenset(options.readers)

    def page(self, cursor: str) -> Page:
        commit, _, offset = cursor.partition(":")
        commit = commit or self._fetch()
        try:
            listing = self._git("ls-tree", "-r", "-z", commit, *([f"{self._folder}/"] if self._folder else []))
        except UpstreamDown as error:
            raise CursorLost from error
        entries = [entry for line in listing.split(b"\0") if line and (entry := self._listed(line))]
        start = int(offset or 0)
        end = start + PAGE
        return Page(entries[start:end], f"{commit}:{end}" if end < len(entries) else "")

    def read(self, key: str, most: int) -> bytes | None:
        if key not in self._find_blobs([key]):
            return None
        blob = f"refs/sixply/head:{path_of(key)}"
        if int(self._git("cat-file", "-s", blob)) <= most:
            return self._git("cat-file", "blob", blob)
        with subprocess.Popen(self._command("cat-file", "blob", blob), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            beginning = process.stdout.read(most)
            process.kill()
        return beginning

    def readers(self, keys: Collection[str]) -> Mapping[str, Readers]:
        self._fetch()
        return dict.fromkeys(self._find_blobs(keys), self._readers)

    def close(self) -> None: ...

    @property
    def _folder(self) -> str:
        return self._options.folder.strip("/")

    def _find_blobs(self, keys: Collection[str]) -> set[str]:
        listing = self._git("--literal-pathspecs", "ls-tree", "-r", "-z", "refs/sixply/head", "--", *map(path_of, keys))
        return {it.key for line in listing.split(b"\0") if line and (it := self._listed(line))} & set(keys)

    def _listed(self, line: bytes) -> Listed | None:
        about, _, path = line.partition(b"\t")
        mode, _, blob = about.split(b" ")
        if mode not in (b"100644", b"100755"):  # a link, or another repository
            return None
        name = path.decode(errors="backslashreplace")
        return Listed(key_of(path), name.removeprefix(f"{self._folder}/"), blob.decode(), self._readers)

    def _fetch(self) -> str:
        if not self._copy.exists():
            self._copy.mkdir(parents=True, mode=0o700)
            self._git("init", "--quiet", "--bare")
        branch = f"+refs/heads/{self._options.branch}:refs/sixply/head"
        self._git("fetch", "--quiet", "--depth=1", "--no-tags", "--", self._options.address, branch)
        return self._git("rev-parse", "refs/sixply/head").decode().strip()

    def _command(self, *arguments: str) -> list[str]:
        return ["git", "-C", str(self._copy), "-c", "core.hooksPath=/dev/null", *arguments]

    def _git(self, *arguments: str) -> bytes:
        environment = {**os.environ, "GIT_ALLOW_PROTOCOL": PROTOCOLS, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        try:
            done = subprocess.run(
                self._command(*arguments),
                env=environment,
                capture_output=True,
                timeout=self._options.timeout_s,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError as error:
            raise InvalidSetting(
                "git is not on this machine's PATH, and a source is a repository. Install git."
            ) from error
        except subprocess.TimeoutExpired as error:
            raise UpstreamDown(
                f"{self._options.address} was not there within {self._options.timeout_s:g} s."
            ) from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise UpstreamDown(
                f"git {arguments[0]} of {self._options.address} failed: {said[-1] if said else done.returncode}"
            )
        return done.stdout


def build(options: Options, context: Context) -> GitConnector:
    name = hashlib.blake2b(f"{options.address}\0{options.branch}".encode(), digest_size=8).hexdigest()
    return GitConnector(options, context.data_dir / "sources" / f"{name}.git")
