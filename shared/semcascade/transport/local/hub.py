"""Weights from a model hub, where one can be reached; what comes counts only if its hash is the pinned one."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request

from semcascade.redaction import redact
from semcascade.transport.local.catalogue import HubFile, LocalModel
from semcascade.transport.local.source import BLOCK, Report, Sink, SourceError
from semcascade.transport.local.store import require_space

__all__ = ["write_from_hub"]

_TIMEOUT_S = 30.0


def write_from_hub(model: LocalModel, place: HubFile, sink: Sink, report: Report) -> None:
    """Write the model's weights.

    The environment's HF_ENDPOINT names another hub, HF_TOKEN opens gated repositories, HF_HUB_OFFLINE forbids it.

    Args:
        model: What to fetch.
        place: Where the hub has it.
        sink: Where the weights go.
        report: Told how much of the download is there.

    Raises:
        SourceError: If the hub cannot be reached, refuses, or breaks off.
        LocalModelError: If the disk is full.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        raise SourceError("HF_HUB_OFFLINE is set, so the hub is not asked")
    request = _request(place)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310 - http(s) only, see _request
            _copy(model, reply, sink, report)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(place, error.code) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceError(f"the hub could not be reached at {redact(request.full_url)}: {reason}") from error


def _request(place: HubFile) -> urllib.request.Request:
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    if not endpoint.lower().startswith(("https://", "http://")):
        raise SourceError(f"HF_ENDPOINT is not an http(s) address: {redact(endpoint)}")
    where = urllib.parse.quote(f"{place.repo}/resolve/{place.revision}/{place.path}")
    request = urllib.request.Request(f"{endpoint}/{where}", headers={"User-Agent": "semcascade"})  # noqa: S310
    token = os.environ.get("HF_TOKEN")
    if token:
        # Hubs redirect to other hosts for the bytes; the token is not for them.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request


def _copy(model: LocalModel, reply: http.client.HTTPResponse, sink: Sink, report: Report) -> None:
    announced = int(reply.headers.get("Content-Length") or 0)
    most = model.size or announced or None
    if announced:
        require_space(model, announced)
    while block := reply.read(BLOCK):
        sink.write(block)
        report(sink.size)
        if most is not None and sink.size > most:
            raise SourceError(f"the hub sends more than the {most:,} bytes that were expected")
    if sink.size < announced:
        raise SourceError(f"the hub broke off after {sink.size:,} of {announced:,} bytes")


def _refusal(place: HubFile, status: int) -> SourceError:
    what = f"{place.repo}/{place.path}"
    if status in {401, 403}:
        return SourceError(
            f"the hub wants to know who asks for {what}; accept its terms there and set HF_TOKEN ({status})"
        )
    if status == 404:
        return SourceError(f"the hub does not have {what} at {place.revision} (404)")
    return SourceError(f"the hub answered {status} for {what}")
