"""`make extension`: what it writes works as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from extensions.development import new_extension
from foundation.errors import InvalidRequest


def test_a_new_one_is_written_whole_and_its_test_holds(tmp_path: Path) -> None:
    for folder in ("extensions", "docs/extensions"):
        (tmp_path / folder).mkdir(parents=True)
    written = [str(path.relative_to(tmp_path)) for path in new_extension.write("acme", tmp_path)]
    assert written[0] == "extensions/acme/__init__.py"
    assert {"tests/extensions/acme/test_plug.py", "docs/extensions/acme.md"} <= {*written}
    assert "$" not in "".join((tmp_path / path).read_text() for path in written)
    with pytest.raises(InvalidRequest, match="is there already"):
        new_extension.write("acme", tmp_path)
    for name in ("Acme", "class", "a-b", ""):
        with pytest.raises(InvalidRequest, match="cannot name an extension"):
            new_extension.write(name, tmp_path)
    root = Path(__file__).parents[3]
    program = f"import extensions, sys; extensions.__path__.append({str(tmp_path / 'extensions')!r}); import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-c', 'pyproject.toml', '--rootdir', '.', {str(tmp_path / 'tests')!r}]))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
