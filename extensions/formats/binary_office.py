"""The binary formats of Word and PowerPoint, which LibreOffice turns into those that the extension office reads."""

import io
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from extensions.formats import rtf
from extensions.formats.converted import parse_by
from extensions.office import docx, pptx
from extensions.office.ooxml import malformed_document
from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.text_blocks import FormatParser
from retrieval.ingest.parsing import NeedsRoom

Build = Callable[[ParseLimits], FormatParser]
_OLE, _ZIP = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PK\x03\x04"
# By suffix: the stream that such a file must have, the filter that opens it as nothing else, and what it becomes
_KINDS: Mapping[str, tuple[str, str, str, Build]] = {
    ".doc": ("WordDocument", "MS Word 97", "docx", docx.build),
    ".ppt": ("PowerPoint Document", "MS PowerPoint 97", "pptx", pptx.build),
}
# What the process may take that starts LibreOffice; it is 1 s a document, and writes its settings and the result
MEMORY_MB, SECONDS, WRITES_MB = 2_000, 60, 200
# A stranger's document runs nothing, and reaches for no address: it is sent to a proxy that is not there
_PREFERENCES = {
    "org.openoffice.Office.Common/Security/Scripting": {
        "DisableActiveContent": "true", "DisableMacrosExecution": "true", "MacroSecurityLevel": "3",
    },
    "org.openoffice.Inet/Settings": {
        "ooInetProxyType": "2", "ooInetNoProxy": "",
        "ooInetHTTPProxyName": "127.0.0.1", "ooInetHTTPProxyPort": "1",
        "ooInetHTTPSProxyName": "127.0.0.1", "ooInetHTTPSProxyPort": "1",
    },
}  # fmt: skip


@dataclass(frozen=True)
class BinaryOffice:
    limits: ParseLimits
    suffixes: tuple[str, ...] = tuple(_KINDS)
    version: str = "binary_office 1"

    def parse(self, content: bytes, name: str) -> Parsed:
        stream, opened_as, suffix, build_reader = _KINDS[PurePath(name).suffix.lower()]
        for beginning, real in ((rtf.BEGINNING, rtf.build), (_ZIP, build_reader)):  # programs save these so, too
            if content.startswith(beginning):
                return parse_by(real(self.limits), content, name)
        _demand_stream(content, name, stream)
        if self.limits.memory_mb and self.limits.writes_mb < WRITES_MB:
            raise NeedsRoom(MEMORY_MB, SECONDS, WRITES_MB)
        return parse_by(build_reader(self.limits), _convert(content, name, opened_as, suffix), name)


def build(limits: ParseLimits) -> BinaryOffice:
    return BinaryOffice(limits)


def _demand_stream(content: bytes, name: str, stream: str) -> None:
    import olefile

    what = "Word document" if stream == "WordDocument" else "PowerPoint presentation"
    if not content.startswith(_OLE):
        raise malformed_document(name, what, "it begins like none. Send it under the suffix of its real format")
    try:
        with olefile.OleFileIO(io.BytesIO(content)) as file:
            found = file.exists(stream)
            locked = file.exists("EncryptedSummary") or (
                stream == "WordDocument" and found and file.openstream(stream).read(12)[11] & 1
            )
    except (OSError, LookupError, ValueError, AttributeError) as error:
        raise malformed_document(name, what, f"{error}. Save it anew") from error
    if not found:
        raise malformed_document(name, what, f"it holds no {stream}. Send it under the suffix of its real format")
    if locked:
        raise DocumentRefused(f'"{name}" is encrypted. Send it without a password.', reason="encrypted")


def _convert(content: bytes, name: str, opened_as: str, suffix: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="office") as folder:
        profile = Path(folder, "profile", "user")
        profile.mkdir(parents=True)
        (profile / "registrymodifications.xcu").write_text(_preferences(), encoding="utf-8")
        Path(folder, "document").write_bytes(content)
        _run(
            ["soffice", f"-env:UserInstallation={profile.parent.as_uri()}", "--headless", "--norestore", "--nolockcheck",
             f"--infilter={opened_as}", "--convert-to", suffix, "--outdir", folder, str(Path(folder, "document"))],
            folder, name,
        )  # fmt: skip
        written = Path(folder, f"document.{suffix}")
        if not written.exists():
            raise DocumentRefused(
                f'"{name}" could not be opened by LibreOffice: it is damaged, or has a password. Save it anew as .{suffix}.',
                reason="malformed",
            )
        return written.read_bytes()


def _preferences() -> str:
    items = "".join(
        f'<item oor:path="/{path}"><prop oor:name="{name}" oor:op="fuse"><value>{value}</value></prop></item>'
        for path, values in _PREFERENCES.items()
        for name, value in values.items()
    )
    return f'<oor:items xmlns:oor="http://openoffice.org/2001/registry">{items}</oor:items>'


def _run(command: list[str], home: str, name: str) -> None:
    try:
        started = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={"PATH": os.environ.get("PATH", ""), "HOME": home},  # NO_PROXY would lead around the proxy
        )  # fmt: skip
    except FileNotFoundError as error:
        raise DocumentRefused(
            f'"{name}" is of a binary format that LibreOffice reads, which is not installed here: apt-get install '
            f"libreoffice-writer-nogui libreoffice-impress-nogui. Or save it anew in the format of today.",
            reason="unsupported",
        ) from error
    try:
        started.wait(SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DocumentRefused(
            f'"{name}" took LibreOffice longer than {SECONDS} s and was given up. Split it, or save it anew in the format of today.',
            reason="timeout",
        ) from error
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)  # it starts another process, which does the work
            started.wait()
