"""What LlamaIndex expects of an LLM, written once: subclass `LLMContract` or `FunctionCallingContract`.

A subclass gives the fixture `llm` (a new one for each test), which answers a question with a text that holds the
question's words, and, for function calling, calls the tool that a question names. What it cannot do stands in
`cannot`, test by test, with the reason; it then must fail.
"""

import asyncio
import copy
import json
import logging
import pickle
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.callbacks import CallbackManager, EventPayload, TokenCountingHandler
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from tests.llamaindex.helpers import (
    ASKED,
    CHAT,
    CLOCK,
    COMPLETE,
    PIXEL,
    WEATHER,
    WITH_TOOLS,
    CountingHandler,
    Weather,
    recorded_events,
    replies,
    said,
    user,
)


class LLMContract:
    """For every LLM."""

    cannot: ClassVar[dict[str, str]] = {}
    """Tests that this LLM must fail, by name, with or without the parameter's id, and the reason."""
    counts_tokens = True
    sees_images = True

    @pytest.fixture
    def llm(self) -> LLM:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _known_failures(self, request, record_property):
        record_property("held to the contract", f"{type(self).__name__}: {(type(self).__doc__ or '').splitlines()[0]}")
        for name in (request.node.originalname, request.node.name):
            if name in self.cannot:
                request.applymarker(pytest.mark.xfail(reason=self.cannot[name], strict=True))

    # --- eight ways to ask

    @pytest.mark.parametrize("method", CHAT)
    async def test_chat_methods_answer(self, llm, method):
        answers = await replies(llm, method, [user("colour of the sky")])
        assert all(isinstance(answer, ChatResponse) for answer in answers)
        assert answers[-1].message.role == MessageRole.ASSISTANT
        assert "colour of the sky" in said(answers[-1])

    @pytest.mark.parametrize("method", COMPLETE)
    async def test_complete_methods_answer(self, llm, method):
        answers = await replies(llm, method, "colour of the sky")
        assert all(isinstance(answer, CompletionResponse) for answer in answers)
        assert "colour of the sky" in said(answers[-1])

    @pytest.mark.parametrize("methods", [CHAT, COMPLETE], ids=["chat", "complete"])
    async def test_all_ways_say_the_same(self, llm, methods):
        asked = [user("colour of the sky")] if methods is CHAT else "colour of the sky"
        assert len({said((await replies(llm, method, asked))[-1]) for method in methods}) == 1

    @pytest.mark.parametrize("method", [*CHAT[2:], *COMPLETE[2:]])
    async def test_streams_are_generators(self, llm, method):
        given = getattr(llm, method)([user("sky")] if "chat" in method else "sky")
        if method.startswith("a"):
            given = await given
            assert isinstance(given, AsyncGenerator)
            await given.aclose()
        else:
            assert isinstance(given, Generator)
            given.close()

    @pytest.mark.parametrize("method", [*CHAT[2:], *COMPLETE[2:]])
    async def test_deltas_add_up_to_the_answer(self, llm, method):
        answers = await replies(llm, method, [user("a b c d e")] if "chat" in method else "a b c d e")
        assert "".join(answer.delta or "" for answer in answers) == said(answers[-1])

    @pytest.mark.parametrize("method", [*CHAT[2:], *COMPLETE[2:]])
    async def test_each_piece_holds_the_answer_so_far(self, llm, method):
        so_far = ""
        for answer in await replies(llm, method, [user("a b c d e")] if "chat" in method else "a b c d e"):
            so_far += answer.delta or ""
            assert said(answer) == so_far

    async def test_positional_and_keyword_arguments(self, llm):
        assert said(llm.chat(messages=[user("sky")])) == said(llm.chat([user("sky")]))
        assert said(llm.complete(prompt="sky")) == said(llm.complete("sky", formatted=True))

    async def test_request_parameters_are_taken(self, llm):
        assert "sky" in said(llm.chat([user("sky")], temperature=0.1, max_tokens=500))
        assert "sky" in said((await replies(llm, "astream_complete", "sky", temperature=0.1))[-1])

    # --- conversations

    async def test_a_long_conversation(self, llm):
        history = [
            ChatMessage(role="system", content="Be brief."), user("Hi"),
            ChatMessage(role="assistant", content="Hello!"), user("the second question"),
        ]  # fmt: skip
        for method in CHAT:
            assert "the second question" in said((await replies(llm, method, history))[-1])

    @pytest.mark.parametrize("method", CHAT)
    async def test_the_history_is_left_as_it_was(self, llm, method):
        history = [
            ChatMessage(role="system", content="Be brief."), user("Hi"),
            ChatMessage(role="assistant", content="Hello!", additional_kwargs={"note": [1]}),
            ChatMessage(role="user", blocks=[TextBlock(text="one"), TextBlock(text="two")]),
        ]  # fmt: skip
        before, same = copy.deepcopy(history), list(history)
        await replies(llm, method, history)
        assert history == before
        assert all(now is then for now, then in zip(history, same, strict=True))

    async def test_messages_of_several_text_blocks(self, llm):
        answer = llm.chat([ChatMessage(role="user", blocks=[TextBlock(text="first"), TextBlock(text="second")])])
        assert "first" in said(answer)
        assert "second" in said(answer)

    async def test_unicode(self, llm):
        assert "Ünïcödé 日本語 🗼" in said(llm.chat([user("Ünïcödé 日本語 🗼")]))
        assert "Ünïcödé 日本語 🗼" in said((await replies(llm, "astream_chat", [user("Ünïcödé 日本語 🗼")]))[-1])

    async def test_images(self, llm):
        if not self.sees_images:
            pytest.skip("this LLM takes text alone")
        message = ChatMessage(role="user", blocks=[TextBlock(text="what is this"), ImageBlock(image=PIXEL)])
        before = message.model_copy(deep=True)
        for method in CHAT:
            assert "what is this" in said((await replies(llm, method, [message]))[-1])
        assert message == before

    # --- prompts

    async def test_predict_in_four_ways(self, llm):
        prompt = PromptTemplate("Tell me of {what}.")
        said = [llm.predict(prompt, what="the sea"), await llm.apredict(prompt, what="the sea")]
        said.append("".join(llm.stream(prompt, what="the sea")))
        said.append("".join([piece async for piece in await llm.astream(prompt, what="the sea")]))
        assert "Tell me of the sea." in said[0]
        assert len(set(said)) == 1

    async def test_predict_with_a_chat_prompt(self, llm):
        prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "Tell me of {what}.")])
        assert "Tell me of the sea." in llm.predict(prompt, what="the sea")

    async def test_the_system_prompt_is_sent_with_predict(self, llm):
        llm.system_prompt = "You live under water."
        with recorded_events() as events:
            llm.predict(PromptTemplate("Tell me of {what}."), what="the sea")
        sent = events.named("LLMChatStartEvent") or events.named("LLMCompletionStartEvent")
        assert "You live under water." in str(sent[0])

    # --- counts, callbacks, events

    @pytest.mark.parametrize("method", [*CHAT, *COMPLETE])
    async def test_token_counts(self, llm, method):
        if not self.counts_tokens:
            pytest.skip("this LLM counts no tokens")
        counts = (await replies(llm, method, [user("sky")] if "chat" in method else "sky"))[-1].additional_kwargs
        assert counts["prompt_tokens"] > 0
        assert counts["completion_tokens"] > 0
        assert counts["total_tokens"] == counts["prompt_tokens"] + counts["completion_tokens"]

    @pytest.mark.parametrize("method", ["chat", "astream_chat"])
    async def test_the_token_counting_handler_agrees(self, llm, method):
        if not self.counts_tokens:
            pytest.skip("this LLM counts no tokens")
        counter = TokenCountingHandler(tokenizer=str.split)
        llm.callback_manager = CallbackManager([counter])
        counts = (await replies(llm, method, [user("sky")]))[-1].additional_kwargs
        assert counter.prompt_llm_token_count == counts["prompt_tokens"]
        assert counter.completion_llm_token_count == counts["completion_tokens"]

    @pytest.mark.parametrize("method", [*CHAT, *COMPLETE])
    async def test_one_callback_a_call(self, llm, method):
        counter = CountingHandler()
        llm.callback_manager = CallbackManager([counter])
        last = (await replies(llm, method, [user("sky")] if "chat" in method else "sky"))[-1]
        assert counter.started == 1
        assert len(counter.ended) == 1
        key = EventPayload.RESPONSE if "chat" in method else EventPayload.COMPLETION
        assert said(counter.ended[0][key]) == said(last)

    @pytest.mark.parametrize("method", [*CHAT, *COMPLETE])
    async def test_one_pair_of_events_a_call(self, llm, method):
        kind = "Chat" if "chat" in method else "Completion"
        with recorded_events() as events:
            await replies(llm, method, [user("sky")] if "chat" in method else "sky")
        assert len(events.named(f"LLM{kind}StartEvent")) == 1
        assert len(events.named(f"LLM{kind}EndEvent")) == 1
        assert bool(events.named(f"LLM{kind}InProgressEvent")) == ("stream" in method)
        for event in events.events:
            json.dumps(event.model_dump(), default=str)

    # --- what it says of itself

    def test_metadata(self, llm):
        metadata = llm.metadata
        assert metadata.context_window > 0
        assert metadata.num_output == -1 or metadata.num_output > 0
        assert metadata.model_name
        assert metadata.is_function_calling_model == isinstance(llm, FunctionCallingLLM)

    def test_the_class_name_is_stable(self, llm):
        assert llm.class_name() == type(llm).class_name() == llm.to_dict()["class_name"] == type(llm).__name__

    def test_dumps_are_plain(self, llm):
        assert json.loads(llm.to_json())["class_name"] == llm.class_name()
        json.dumps(llm.to_payload())

    def test_pickle(self, llm, caplog):
        with caplog.at_level(logging.WARNING):
            other = pickle.loads(pickle.dumps(llm))
        assert not caplog.records
        assert said(other.chat([user("sky")])) == said(llm.chat([user("sky")]))

    def test_deepcopy(self, llm):
        other = copy.deepcopy(llm)
        assert other is not llm
        assert said(other.chat([user("sky")])) == said(llm.chat([user("sky")]))

    # --- many at once

    async def test_many_at_once(self, llm):
        answers = await asyncio.gather(*(llm.achat([user(f"question number {n}")]) for n in range(12)))
        assert all(f"question number {n}" in said(answer) for n, answer in enumerate(answers))

    def test_from_many_threads(self, llm):
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: said(llm.complete(f"question number {n}")), range(12)))
        assert all(f"question number {n}" in answer for n, answer in enumerate(answers))

    async def test_streams_side_by_side(self, llm):
        streams = [await llm.astream_chat([user(f"question number {n}")]) for n in range(4)]

        async def last(stream):
            return said([answer async for answer in stream][-1])

        answers = await asyncio.gather(*map(last, streams))
        assert all(f"question number {n}" in answer for n, answer in enumerate(answers))

    def test_without_a_running_loop(self, llm):
        assert "sky" in said(asyncio.run(llm.acomplete("sky")))
        assert "sky" in said(asyncio.run(llm.acomplete("sky")))


class FunctionCallingContract(LLMContract):
    """For LLMs that call functions."""

    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_tools_are_called(self, llm, method):
        last = (await replies(llm, method, [WEATHER], user_msg=ASKED))[-1]
        blocks = [block for block in last.message.blocks if isinstance(block, ToolCallBlock)]
        assert [block.tool_name for block in blocks] == ["weather"]
        (call,) = llm.get_tool_calls_from_response(last)
        assert isinstance(call, ToolSelection)
        assert (call.tool_name, call.tool_id) == ("weather", blocks[0].tool_call_id)
        assert call.tool_id
        assert WEATHER(**call.tool_kwargs).content.endswith("days")

    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_arguments_come_from_the_question(self, llm, method):
        last = (await replies(llm, method, [WEATHER], user_msg=ASKED))[-1]
        (call,) = llm.get_tool_calls_from_response(last)
        assert call.tool_kwargs == {"city": "Rome", "days": 3}

    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_the_tool_that_fits_is_called(self, llm, method):
        last = (await replies(llm, method, [WEATHER, CLOCK], user_msg="ask the clock"))[-1]
        assert [call.tool_name for call in llm.get_tool_calls_from_response(last)] == ["clock"]

    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_tools_in_parallel(self, llm, method):
        asked = "ask weather and clock"
        last = (await replies(llm, method, [WEATHER, CLOCK], user_msg=asked, allow_parallel_tool_calls=True))[-1]
        calls = llm.get_tool_calls_from_response(last)
        assert {call.tool_name for call in calls} == {"weather", "clock"}
        assert len({call.tool_id for call in calls}) == 2

    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_one_tool_where_parallel_calls_are_not_allowed(self, llm, method):
        asked = "ask weather and clock"
        last = (await replies(llm, method, [WEATHER, CLOCK], user_msg=asked, allow_parallel_tool_calls=False))[-1]
        assert len(llm.get_tool_calls_from_response(last)) == 1

    async def test_tools_that_do_not_fit_are_not_called(self, llm):
        response = llm.chat_with_tools([WEATHER], user_msg="Hello!")
        assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
        assert response.message.content

    async def test_no_tool_call_is_an_error_on_demand(self, llm):
        response = llm.chat([user("Hello!")])
        assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
        with pytest.raises(ValueError, match=r"(?i)tool"):
            llm.get_tool_calls_from_response(response, error_on_no_tool_call=True)

    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_a_required_tool_is_called(self, llm, method):
        last = (await replies(llm, method, [WEATHER], user_msg="Hello!", tool_required=True))[-1]
        assert len(llm.get_tool_calls_from_response(last)) == 1

    async def test_no_tools_at_all(self, llm):
        for method in WITH_TOOLS:
            assert said((await replies(llm, method, [], user_msg="Hello!"))[-1])

    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_the_history_is_left_as_it_was_with_tools(self, llm, method):
        history = [user("Hi"), ChatMessage(role="assistant", content="Hello!")]
        before = copy.deepcopy(history)
        await replies(llm, method, [WEATHER], user_msg=ASKED, chat_history=history)
        assert history == before

    @pytest.mark.parametrize("method", CHAT)
    async def test_the_answer_goes_back_as_history(self, llm, method):
        asked = [user(ASKED)]
        proposed = llm.chat_with_tools([WEATHER], chat_history=asked).message
        (call,) = llm.get_tool_calls_from_response(ChatResponse(message=proposed))
        result = ChatMessage(role="tool", content="Rome: rain", additional_kwargs={"tool_call_id": call.tool_id})
        history = [*asked, proposed, result]
        before = copy.deepcopy(history)
        assert said((await replies(llm, method, history))[-1])
        assert history == before

    async def test_tool_results_are_read(self, llm):
        call = ToolCallBlock(tool_call_id="call_1", tool_name="weather", tool_kwargs={"city": "Rome"})
        history = [
            user(ASKED), ChatMessage(role="assistant", blocks=[call]),
            ChatMessage(role="tool", content="Rome: rain", additional_kwargs={"tool_call_id": "call_1"}),
        ]  # fmt: skip
        assert "Rome: rain" in said(llm.chat(history))

    async def test_histories_of_older_code_are_read(self, llm):
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
        history = [
            user(ASKED), ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]}),
            ChatMessage(role="tool", content="Rome: rain", additional_kwargs={"tool_call_id": "call_1"}),
        ]  # fmt: skip
        assert "Rome: rain" in said(llm.chat(history))

    async def test_predict_and_call(self, llm):
        for answer in (
            llm.predict_and_call([WEATHER], user_msg=ASKED), await llm.apredict_and_call([WEATHER], user_msg=ASKED)
        ):  # fmt: skip
            assert "sunny" in str(answer)
            assert [source.tool_name for source in answer.sources] == ["weather"]

    async def test_predict_and_call_in_parallel(self, llm):
        tools, asked = [WEATHER, CLOCK], "ask weather and clock"
        for answer in (
            llm.predict_and_call(tools, user_msg=asked, allow_parallel_tool_calls=True),
            await llm.apredict_and_call(tools, user_msg=asked, allow_parallel_tool_calls=True),
        ):
            assert {source.tool_name for source in answer.sources} == {"weather", "clock"}

    async def test_a_tool_that_is_called_knows_its_arguments(self, llm):
        assert str(llm.predict_and_call([WEATHER], user_msg=ASKED)) == "Rome: sunny for 3 days"

    # --- structured output

    async def test_structured_predict(self, llm):
        prompt = PromptTemplate('the weather of "{city}" for 2 days')
        assert isinstance(llm.structured_predict(Weather, prompt, city="Oslo"), Weather)
        assert isinstance(await llm.astructured_predict(Weather, prompt, city="Oslo"), Weather)

    async def test_structured_predict_fills_the_fields(self, llm):
        prompt, expected = PromptTemplate('the weather of "{city}" for 2 days'), Weather(city="Oslo", days=2)
        assert llm.structured_predict(Weather, prompt, city="Oslo") == expected
        assert await llm.astructured_predict(Weather, prompt, city="Oslo") == expected

    async def test_streamed_structures(self, llm):
        prompt = PromptTemplate('the weather of "{city}" for 2 days')
        streamed = list(llm.stream_structured_predict(Weather, prompt, city="Oslo"))
        astreamed = [item async for item in await llm.astream_structured_predict(Weather, prompt, city="Oslo")]
        assert streamed[-1] == astreamed[-1]
        assert isinstance(streamed[-1], Weather)

    async def test_streamed_structures_fill_the_fields(self, llm):
        prompt = PromptTemplate('the weather of "{city}" for 2 days')
        assert list(llm.stream_structured_predict(Weather, prompt, city="Oslo"))[-1] == Weather(city="Oslo", days=2)

    async def test_as_structured_llm(self, llm):
        structured = llm.as_structured_llm(Weather)
        asked = [user('the weather of "Oslo" for 2 days')]
        for method in CHAT:
            answer = (await replies(structured, method, asked))[-1]
            assert isinstance(answer.raw, Weather)
            assert Weather.model_validate_json(said(answer)) == answer.raw
        assert isinstance(structured.complete("the weather").raw, Weather)
