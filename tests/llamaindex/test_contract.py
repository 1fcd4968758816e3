"""The contract, held to the cascade over a script and over a service, and, to check the suite, to LlamaIndex's mocks."""

from typing import ClassVar

import pytest
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLM

from tests.llamaindex.contract import FunctionCallingContract, LLMContract
from tests.llamaindex.helpers import CHAT, COMPLETE
from tests.llamaindex.models import SCATTER, scripted, served


class TestScripted(FunctionCallingContract):
    """Members agree: the cheap answer is used."""

    @pytest.fixture
    def llm(self):
        return scripted()


class TestDeferred(FunctionCallingContract):
    """The members scatter: the target answers."""

    @pytest.fixture
    def llm(self):
        return scripted(SCATTER)


class TestServed(FunctionCallingContract):
    """Through LiteLLM and HTTP."""

    @pytest.fixture
    def llm(self, service):
        return served(service)


class TestServedDeferred(FunctionCallingContract):
    """Through LiteLLM and HTTP, streamed by the target."""

    @pytest.fixture
    def llm(self, scattered_service):
        return served(scattered_service)


_REPEATS = "the method calls another one, which reports itself, too"
_DEFAULTS = "it calls every tool, with the defaults of its arguments"
_CALLED = "test_one_callback_a_call"
_EVENTS = "test_one_pair_of_events_a_call"


class TestMock(LLMContract):
    """Is the suite fair? LlamaIndex's own mock passes what it does not get wrong itself."""

    counts_tokens = sees_images = False
    cannot: ClassVar = {
        "test_each_piece_holds_the_answer_so_far": "every piece holds the whole answer",
        **{
            f"{_CALLED}[{method}]": _REPEATS
            for method in (*CHAT, *COMPLETE)
            if method not in {"complete", "stream_complete"}
        },
        **{f"{_EVENTS}[{method}]": _REPEATS for method in (*CHAT, *COMPLETE) if method.startswith("a")},
    }

    @pytest.fixture
    def llm(self):
        return MockLLM()


class TestMockFunctionCalling(FunctionCallingContract):
    """The same for its function-calling mock."""

    counts_tokens = sees_images = False
    cannot: ClassVar = {
        f"{_CALLED}[achat]": _REPEATS,
        f"{_EVENTS}[achat]": _REPEATS,
        "test_dumps_are_plain": "a function stands among its fields",
        "test_arguments_come_from_the_question": _DEFAULTS,
        "test_the_tool_that_fits_is_called": _DEFAULTS,
        "test_one_tool_where_parallel_calls_are_not_allowed": _DEFAULTS,
        "test_tools_that_do_not_fit_are_not_called": _DEFAULTS,
        "test_a_tool_that_is_called_knows_its_arguments": _DEFAULTS,
        "test_structured_predict_fills_the_fields": _DEFAULTS,
        "test_streamed_structures_fill_the_fields": _DEFAULTS,
        "test_no_tool_call_is_an_error_on_demand": "it raises nothing",
        "test_tool_results_are_read": "it says the same whatever a tool returned",
        "test_histories_of_older_code_are_read": "it says the same whatever a tool returned",
    }

    @pytest.fixture
    def llm(self):
        return MockFunctionCallingLLM()
