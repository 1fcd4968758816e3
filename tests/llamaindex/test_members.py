"""Members that are LlamaIndex LLMs themselves; here cascades and mocks, which are such LLMs."""

import asyncio
import pickle
import threading
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, CompletionResponse, ImageBlock, LLMMetadata, TextBlock
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLM
from pydantic import PrivateAttr

from llamaindex_semcascade import SemCascade
from llamaindex_semcascade.conversations import from_conversation
from llamaindex_semcascade.messages import to_conversation
from semcascade import CascadeError, InputError, ScriptedTransport, ToolCall
from semcascade.errors import ServerError
from tests.llamaindex.contract import FunctionCallingContract
from tests.llamaindex.helpers import CHAT, COMPLETE, PIXEL, WEATHER, replies, said, user
from tests.llamaindex.models import MEMBERS, SCATTER, scripted, think


def of_llms(script=None, **settings):
    """Return a cascade whose members are LLMs, each with a name."""
    inner = scripted()
    members = [{"model": inner, "name": name, "context_window": 4096} for name in [*MEMBERS, "big"]]
    for member in members:
        if member["name"] in (script or {}):
            member["model"] = scripted({"*": script[member["name"]]})
    return SemCascade(ensemble=members[:-1], target=members[-1], max_retries=0, **settings)


REPORT = {f"test_one_pair_of_events_a_call[{method}]": "the members are LLMs that report themselves" for method in CHAT}


class TestLLMsAsMembers(FunctionCallingContract):
    """Members agree."""

    cannot: ClassVar = REPORT

    @pytest.fixture
    def llm(self):
        return of_llms()


class TestLLMsAsMembersDeferred(FunctionCallingContract):
    """The target, itself an LLM, answers and streams."""

    cannot: ClassVar = REPORT

    @pytest.fixture
    def llm(self):
        return of_llms(SCATTER)


class Blocking(CustomLLM):
    """Answers with the name of its thread."""

    @property
    def metadata(self):
        return LLMMetadata(model_name="blocking", context_window=1000)

    @llm_completion_callback()
    def complete(self, prompt, formatted=False, **kwargs):
        return CompletionResponse(text=threading.current_thread().name)

    @llm_completion_callback()
    def stream_complete(self, prompt, formatted=False, **kwargs):
        yield CompletionResponse(text="never", delta="never")


@pytest.mark.parametrize("method", CHAT)
async def test_blocking_llms_do_not_hold_up_the_loop(method):
    llm = SemCascade(ensemble=["a", "b"], target=Blocking(), transport=ScriptedTransport({"a": "1", "b": "2"}))
    thread = said((await replies(llm, method, [user("x")]))[-1])
    assert thread not in {"never", "semcascade", threading.main_thread().name}


def test_llms_and_model_ids_stand_side_by_side():
    llm = SemCascade(
        ensemble=[scripted({"*": "Paris"}, context_window=3000), "plain"],
        target=MockLLM(),
        transport=ScriptedTransport({"plain": "Paris."}),
        is_function_calling_model=True,
    )
    assert llm.complete("Capital?").text == "Paris"
    assert [member.transport for member in llm.config.members()] == ["llamaindex-1", None, "llamaindex-2"]
    assert llm.model_name == "semcascade(semcascade(cheap-1+cheap-2+cheap-3 -> big)+plain -> unknown)"


def test_tiers_take_llms_too():
    llm = SemCascade(tiers=[{"members": [MockLLM(), "b"]}, {"members": [scripted({"*": "42"})]}],
                     transport=ScriptedTransport({"b": "no"}))  # fmt: skip
    assert llm.complete("x").text == "42"


def test_an_llm_answers_in_the_place_of_a_target_that_fails():
    down = ServerError("down", member="big")
    script = ScriptedTransport({"cheap-1": "1", "cheap-2": "2", "big": down})
    llm = SemCascade(
        ensemble=["cheap-1", "cheap-2"],
        target="big",
        fallback=[{"model": scripted({"*": "3"}), "name": "other"}],
        max_retries=0,
        transport=script,
    )
    response = llm.chat([user("?")])
    assert response.message.content == "3"
    assert response.additional_kwargs["semcascade"]["reason"] == "big failed; other answered in its place"


def test_what_they_say_of_themselves_counts():
    llm = SemCascade(
        ensemble=[scripted(context_window=3000), {"model": scripted(), "name": "b", "context_window": 4000}],
        target=MockFunctionCallingLLM(),
    )
    assert llm.metadata.context_window == 3000
    assert llm.metadata.is_function_calling_model
    script = ScriptedTransport({})
    assert not SemCascade(ensemble=["a", "b"], target=MockLLM(), transport=script).metadata.is_function_calling_model


def test_their_tokens_are_counted():
    inner = scripted({"*": "It is Paris."})
    alone = inner.complete("Capital?")
    llm = SemCascade(
        ensemble=["a", "b"],
        target={"model": inner, "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
        transport=ScriptedTransport({"a": "1", "b": "2"}),
    )
    for last in (llm.complete("Capital?"), list(llm.stream_complete("Capital?"))[-1]):
        counts = last.additional_kwargs
        assert counts["prompt_tokens"] == alone.additional_kwargs["prompt_tokens"]
        assert counts["completion_tokens"] == alone.additional_kwargs["completion_tokens"]
        expected = counts["prompt_tokens"] * 1e-6 + counts["completion_tokens"] * 2e-6
        assert counts["semcascade"]["candidates"][-1]["cost"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("required", "required"), ("weather", {"type": "function", "function": {"name": "weather"}}), ("none", "none"),
     ("auto", None)],
)  # fmt: skip
def test_tools_reach_them_as_they_came(choice, sent):
    inner = scripted({"*": ToolCall("weather", "{}")})
    llm = SemCascade(ensemble=["a", "b"], target=inner, transport=ScriptedTransport({"a": "1", "b": "2"}))
    llm.chat_with_tools([WEATHER], "x", tool_choice=choice)
    (_, request), *_ = inner.cascade._transports.default.requests
    assert request.tools[0]["function"]["parameters"] == WEATHER.metadata.get_parameters_dict()
    assert request.tool_choice == sent
    assert request.params == {"parallel_tool_calls": False}


def test_their_settings_are_left_as_they_are():
    inner = scripted(temperature=0.7)
    before = inner.to_dict()
    SemCascade(ensemble=["a", "b"], target=inner, transport=ScriptedTransport({"*": "1"}), temperature=0.1).complete(
        "x"
    )
    assert inner.to_dict() == before


def test_what_they_cannot_do_is_said():
    members = {"ensemble": ["a", "b"], "target": MockLLM()}
    llm = SemCascade(**members, transport=ScriptedTransport({"a": "1", "b": "2"}))
    decision = llm.chat_with_tools([WEATHER], "x").additional_kwargs["semcascade"]
    assert decision["reason"] == "straight to a: unknown cannot be offered tools, a can"
    strict = SemCascade(**members, transport=ScriptedTransport({"a": "1", "b": "2"}), unsupported="raise")
    with pytest.raises(InputError, match="tools: unknown cannot be offered tools"):
        strict.chat_with_tools([WEATHER], "x")
    with pytest.raises(CascadeError, match="no common way to be given a response_format"):
        llm.chat([user("x")], response_format={"type": "json_object"})


def test_an_error_of_theirs_is_the_members():
    def fail(request):
        raise RuntimeError("out of paper")

    llm = of_llms({"cheap-1": fail})
    response = llm.complete("sky")
    assert "out of paper" in response.additional_kwargs["semcascade"]["candidates"][0]["error"]


def test_pickles_keep_them():
    llm = SemCascade(ensemble=["a", "b"], target=scripted(), transport=ScriptedTransport({"a": "1", "b": "2"}))
    assert pickle.loads(pickle.dumps(llm)).complete("sky").text == llm.complete("sky").text


TEXTS = st.text(max_size=20)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}),
    st.just({"type": "image_url", "image_url": {"url": "https://example.invalid/a.png"}}),
    st.just({"type": "input_audio", "input_audio": {"data": "UklGRiQ=", "format": "wav"}}),
    st.just({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}),
    st.just({"type": "file", "file": {"filename": "a.pdf", "file_id": "https://example.invalid/a.pdf"}}),
    st.just({"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "5m"}}),
)
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
MESSAGES = st.one_of(
    st.builds(
        lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "developer", "user"]), TEXTS
    ),
    st.builds(lambda parts: {"role": "user", "content": parts}, st.lists(PARTS, min_size=1, max_size=3)),
    st.builds(lambda text: {"role": "assistant", "content": text or None, "tool_calls": [CALL]}, TEXTS),
    st.builds(lambda text: {"role": "tool", "content": text, "tool_call_id": "call_1", "name": "add"}, TEXTS),
)


def plain(message):
    """Write texts alone as one text, as messages to providers are."""
    content = message["content"]
    if isinstance(content, list) and all(part.keys() == {"type", "text"} for part in content):
        content = "\n".join(part["text"] for part in content)
    return {**message, "content": content}


@given(st.lists(MESSAGES, max_size=4))
def test_conversations_come_back_as_they_were(messages):
    assert to_conversation(from_conversation(tuple(messages))) == [plain(message) for message in messages]


def test_media_become_blocks():
    sent = to_conversation([ChatMessage(role="user", blocks=[TextBlock(text="what?"), ImageBlock(image=PIXEL)])])
    text, image = from_conversation(tuple(sent))[0].blocks
    assert text.text == "what?"
    assert (image.image_mimetype, image.resolve_image().read()) == ("image/png", PIXEL)


def test_parts_of_unknown_kind_are_refused():
    with pytest.raises(InputError, match=r"messages\[0\]\.content\[0\]: .*'smell'"):
        from_conversation(({"role": "user", "content": [{"type": "smell"}]},))


def test_the_brain_is_the_same():
    assert scripted({"*": think}).complete("sky").text == of_llms().complete("sky").text


class Whereabouts(SemCascade):
    """Notes on which event loop, or thread, it is asked."""

    _asked: list = PrivateAttr(default_factory=list)

    def chat(self, messages, **kwargs):
        self._asked.append(threading.current_thread().name)
        return super().chat(messages, **kwargs)

    def stream_chat(self, messages, **kwargs):
        self._asked.append(threading.current_thread().name)
        return super().stream_chat(messages, **kwargs)

    async def achat(self, messages, **kwargs):
        self._asked.append(asyncio.get_running_loop())
        return await super().achat(messages, **kwargs)

    async def astream_chat(self, messages, **kwargs):
        self._asked.append(asyncio.get_running_loop())
        return await super().astream_chat(messages, **kwargs)


@pytest.mark.parametrize("method", [*CHAT, *COMPLETE])
async def test_an_llm_is_asked_on_the_loop_it_is_used_on_elsewhere(method):
    """Its connections belong to this loop; from the engine's own they would break."""
    script = ScriptedTransport({"*": "large"})
    llm = Whereabouts(ensemble=["x", "y"], target="z", transport=script)
    cascade = SemCascade(ensemble=["a", "b"], target=llm, transport=ScriptedTransport({"a": "1", "b": "2"}))
    assert said((await replies(cascade, method, "x" if "complete" in method else [user("x")]))[-1]) == "large"
    here = asyncio.get_running_loop() if method.startswith("a") else "semcascade-model"
    assert llm._asked == [here]
