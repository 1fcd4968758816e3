"""Run one GGUF in a process of its own: `python serve.py`, settings on stdin, the address on stdout.

The runtime is native code. It holds the interpreter while it loads a model, writes to the process's own stderr, and
an assertion in it ends the process: three things that must not happen to the program that asks.
The process ends when its stdin does, so it never outlives its parent.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import Any

ERRORS_ONLY = 1
"""llama.cpp's log level: what went wrong and nothing else."""


def main() -> None:
    """Serve what one line of JSON on stdin asks for, until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    settings = json.loads(sys.stdin.readline())
    sys.path.extend(settings["sys_path"])
    server = start(settings)
    with answer:
        json.dump({"address": server.listening_address}, answer)
    silence()
    sys.stdin.read()
    # Taking a running server down in good order may wait for ever, and there is nothing that it could save.
    os._exit(0)


def start(settings: dict[str, Any]) -> Any:
    """Load the model and return the running server; what went wrong is on stderr."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.model_alias = {settings["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = settings["port"]
    params.api_keys = [settings["key"]]
    params.ui = False
    # A sign of life every so often would hide from the reader of a stream that nothing comes.
    params.sse_ping_interval = -1
    params.verbosity = ERRORS_ONLY
    params.n_ctx = settings["context"]
    params.n_parallel = settings["slots"]
    params.kv_unified = True
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    # Fitting to device memory reads the whole model a second time, and is of no use on a CPU.
    params.fit_params = False
    params.cache_ram_mib = 0
    params.warmup = False
    if settings["template"]:
        params.chat_template = settings["template"]
        params.default_template_kwargs = {key: json.dumps(value) for key, value in settings["template_kwargs"].items()}
    return xllamacpp.Server(params)


def silence() -> None:
    """Send what native code may still write to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


if __name__ == "__main__":
    try:
        main()
    except BaseException:  # noqa: BLE001 - whatever it was, it must not take the server down on its way out
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
