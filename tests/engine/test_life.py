"""Processes: how cascades get into others, and how they end."""

import faulthandler
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from semcascade import Cascade, CascadeError, ScriptedTransport
from semcascade.engine.loop import EngineLoop
from semcascade.errors import BudgetExceededError, SemcascadeError
from semcascade.locks import ForkLock
from tests.support.openai_server import OpenAIServer, Stall

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "budget": {"query": {"calls": 9}, "period": {"seconds": 3600, "calls": 4}},
    "breaker": {"failures": 2},
    "sticky": True,
    "similarity": "exact",
}
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def cascade(**settings):
    script = ScriptedTransport({"a": "Tokyo", "b": "Tokyo", "t": "Tokyo", "u": "Tokyo"}, latency_s=0.001)
    return Cascade(ensemble=["a", "b"], target="t", fallback=["u"], transport=script, **{**SETTINGS, **settings})


def answer(one):
    return one.complete("Capital of Japan?").text


# --- into other processes


def test_what_is_unpickled_is_configured_alike_and_has_spent_nothing():
    one = cascade()
    for _ in range(2):
        answer(one)
    with pytest.raises(BudgetExceededError) as raised:
        answer(one)
    other = pickle.loads(pickle.dumps(one))
    assert other.config == one.config
    assert other.ledger.summary().queries == 0
    assert answer(other) == "Tokyo"
    error = pickle.loads(pickle.dumps(raised.value))
    assert (type(error), str(error)) == (BudgetExceededError, str(raised.value))
    assert error.retry_after == raised.value.retry_after


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_pool_of_processes_asks(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    answer(cascade())
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map_async(answer, [cascade(), cascade()]).get(60) == ["Tokyo", "Tokyo"]


def in_child(work):
    """Fork, and return what the work returns in the child as an exit code; it must end in time."""
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(30, exit=True)
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@forks
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_of_a_busy_process_asks_and_is_bound_by_nothing_under_way():
    one, stop = cascade(budget={"period": {"seconds": 3600, "calls": 10**6}}), threading.Event()

    def busy():
        while not stop.is_set():
            answer(one)

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        codes = {in_child(lambda: int(answer(one) != "Tokyo" or _reserved(one) != 2)) for _ in range(8)}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert codes == {0}


def _reserved(one):
    (period,) = list(one._plan.guards.query()._budget.used)[-1:]
    return period.calls


@forks
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_lock_that_a_thread_holds_at_a_fork_is_open_in_the_child():
    lock, held, release = ForkLock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            release.wait(30)

    def take():
        with lock:
            return 0

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    try:
        assert in_child(take) == 0
    finally:
        release.set()
        thread.join()


def test_a_loop_that_no_thread_can_be_had_for_is_told_and_closed(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SemcascadeError, match="the event loop cannot run: can't start new thread"):
            EngineLoop()
        gc.collect()


# --- how they end

HEAD = """
import asyncio, logging, sys, threading
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells of slow steps, which says more about the machine
from semcascade import Cascade
address, transport = sys.argv[1:]
a, b, t = ({"model": f"openai/{name}", "api_base": address, "api_key": "x", "transport": transport} for name in "abt")
cascade = Cascade(ensemble=[a, b], target=t, max_retries=0, similarity="exact")

async def left():
    async for _ in cascade.astream("?"):
        break
"""

ENDINGS = {
    "nothing is closed": "cascade.complete('?')",
    "streams are dropped": "for _ in range(3): next(cascade.stream('?'))\nasyncio.run(left())",
    "a stream is under way": "stream = cascade.stream('stall'); next(stream)",
    "a query is under way": """
threading.Thread(target=lambda: cascade.complete('stall'), daemon=True).start()
sys.stdin.readline()
threading.excepthook = lambda thrown: None  # the thread is told that the interpreter ends
""",
    "a task is under way": """
async def main():
    task = asyncio.create_task(cascade.acomplete('stall'))
    await asyncio.to_thread(sys.stdin.readline)
asyncio.run(main())
""",
}


def ran(code, server, transport, *, told=None):
    """Run code with every warning shown; give it a line on its standard input once the target was asked."""
    command = [
        sys.executable,
        "-X",
        "dev",
        "-W",
        "error::ResourceWarning",
        "-W",
        "error::RuntimeWarning",
        "-c",
        HEAD + code,
    ]
    process = subprocess.Popen(
        [*command, server.base_url, transport],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        if told is not None:
            assert told.reached.wait(60)
        out, err = process.communicate("go\n", timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends_in_time_and_leaves_nothing_open(ending):
    stall = Stall(after=3)
    with OpenAIServer({"a": "1", "b": "2", "t": "one two three four"}) as server:
        if "under way" in ending:
            server.fail("t", stall)
        code = ENDINGS[ending].replace("'stall'", "'?'")
        assert ran(code, server, "openai", told=stall if "readline" in code else None) == (0, "", "")


def test_so_does_one_that_asks_through_litellm():
    code = ENDINGS["streams are dropped"] + "\n" + ENDINGS["a stream is under way"].replace("'stall'", "'?'")
    with OpenAIServer({"a": "1", "b": "2", "t": "one two three four"}) as server:
        assert ran(code, server, "litellm") == (0, "", "")


def test_a_first_question_behind_the_end_is_told_so():
    code = """
def late():
    threading.main_thread().join()
    try:
        cascade.complete('?')
    except Exception as error:
        print(type(error).__name__, error)
threading.Thread(target=late).start()
"""
    with OpenAIServer({}) as server:
        returned, out, err = ran(code, server, "openai")
    assert (returned, err) == (0, "")
    assert "the interpreter is shutting down; let the main thread wait for those that ask" in out


def test_a_question_behind_the_last_words_is_told_so_too():
    """No thread starts there any more: whoever waited for one would wait for ever."""
    code = """
class Late:
    def __del__(self):
        try:
            cascade.complete("?")
        except Exception as error:
            print(error)
late = Late()
print(cascade.complete("?").text)
"""
    with OpenAIServer({"a": "1", "b": "1", "t": "3"}) as server:
        returned, out, err = ran(code, server, "openai")
    assert (returned, err) == (0, "")
    assert out.startswith("1\nthe interpreter is shutting down")


INTERRUPTED = {
    "complete": "cascade.complete('?')",
    "stream": "list(cascade.stream('?'))",
    "acomplete": "asyncio.run(cascade.acomplete('?'))",
}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process of one's own on Windows")
@pytest.mark.parametrize("way", INTERRUPTED)
def test_an_interrupt_ends_the_request_at_the_provider(way):
    stall = Stall()
    code = f"""
try:
    {INTERRUPTED[way]}
except KeyboardInterrupt:
    print("interrupted", cascade.ledger.summary().queries, cascade.ledger.summary().calls)
"""
    with OpenAIServer({"a": "1", "b": "2", "t": "3"}) as server:
        server.fail("t", stall)
        process = subprocess.Popen(
            [sys.executable, "-c", HEAD + code, server.base_url, "openai"],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert stall.reached.wait(60)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        assert (out, err) == ("interrupted 1 3\n", "")
        (asked,) = server.asked("t")
        server.wait_until(lambda: asked.disconnected)


def test_failures_cross_processes():
    with pytest.raises(CascadeError) as raised:
        Cascade(ensemble=["a", "b"], target="t", transport=ScriptedTransport({"a": "1"})).complete("?")
    error = pickle.loads(pickle.dumps(raised.value))
    assert [str(failure) for failure in error.failures] == [str(failure) for failure in raised.value.failures]
    assert error.decision.to_dict() == raised.value.decision.to_dict()
