"""What no model can make sense of: told by the caller's own field, or in the provider's own words; never a stack of wrappers."""

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.tools import FunctionTool, ToolMetadata
from llama_index.core.tools.types import AsyncBaseTool, ToolOutput
from pydantic import BaseModel

from llamaindex_semcascade import SemCascade
from semcascade import CascadeError, InputError, ScriptedTransport, ToolCall
from semcascade.errors import BadRequestError
from tests.llamaindex.helpers import CHAT, PIXEL, WITH_TOOLS, replies, said, user
from tests.llamaindex.models import MEMBERS, scripted, served
from tests.support.openai_server import OpenAIServer


@pytest.fixture(scope="module")
def server():
    with OpenAIServer() as running:
        yield running


def unable(*names, **settings):
    """Return a cascade some members of which are known to take text alone."""
    lacking = {"images": False, "audio": False, "video": False, "pdf": False, "tools": False}
    members = [{"model": name, "abilities": lacking if name in names else {}} for name in [*MEMBERS, "big"]]
    return SemCascade(
        ensemble=members[:-1], target=members[-1], transport=ScriptedTransport({"*": "a pixel"}), **settings
    )


BLOCKS = {
    "images": ImageBlock(image=PIXEL),
    "audio": AudioBlock(audio=b"RIFF", format="wav"),
    "video": VideoBlock(video=b"....", video_mimetype="video/mp4"),
    "PDF files": DocumentBlock(data=b"%PDF-1.4", title="x.pdf", document_mimetype="application/pdf"),
}


class TestContent:
    @pytest.mark.parametrize("what", BLOCKS)
    @pytest.mark.parametrize("method", CHAT)
    async def test_what_no_member_takes_is_refused_before_anybody_is_asked(self, method, what):
        llm = unable(*MEMBERS, "big")
        message = ChatMessage(role="user", blocks=[TextBlock(text="what is this"), BLOCKS[what]])
        with pytest.raises(InputError, match=f"no member can take {what}") as caught:
            await replies(llm, method, [message])
        assert isinstance(caught.value, ValueError)
        assert not llm.cascade._transports.default.requests

    def test_who_cannot_is_passed_over_and_the_decision_says_so(self):
        llm = unable("cheap-1")
        response = llm.chat(
            [ChatMessage(role="user", blocks=[TextBlock(text="what is this"), ImageBlock(image=PIXEL)])]
        )
        assert said(response) == "a pixel"
        assert "cheap-1" not in [name for name, _ in llm.cascade._transports.default.requests]
        assert "cheap-1 cannot take images" in str(response.raw["semcascade"]["notes"])

    async def test_every_kind_arrives_at_the_provider(self, server):
        message = ChatMessage(role="user", blocks=[TextBlock(text="what is this"), *BLOCKS.values()])
        for method in CHAT:
            assert "what is this" in said((await replies(served(server), method, [message]))[-1])
        sent = server.asked()[-1].body["messages"][0]["content"]
        assert [part["type"] for part in sent] == ["text", "image_url", "input_audio", "video_url", "file"]


class Bare(AsyncBaseTool):
    """A tool without a schema of its own."""

    metadata = ToolMetadata(description="Tells the time.", name="clock", fn_schema=None)

    def call(self, input):  # noqa: A002
        return ToolOutput(content="noon", tool_name="clock", raw_input={}, raw_output="noon")

    async def acall(self, input):  # noqa: A002
        return self.call(input)


class TestTools:
    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_a_tool_without_a_schema_takes_one_text_as_llamaindex_has_it(self, server, method):
        llm = served(server)
        last = (await replies(llm, method, [Bare()], user_msg='ask the clock of "Rome"'))[-1]
        (call,) = llm.get_tool_calls_from_response(last)
        assert (call.tool_name, call.tool_kwargs) == ("clock", {"input": "Rome"})

    @pytest.mark.parametrize(
        ("tool", "message"),
        [
            (print, r"tools\[0\]: expected a LlamaIndex tool or a mapping in OpenAI's shape, got builtin"),
            ({"name": "clock"}, r"tools\[0\]: expected {'type': 'function', 'function'"),
            ({"type": "function", "function": {"description": "?"}}, r"tools\[0\]: expected"),
        ],
    )
    def test_what_is_no_tool_is_refused(self, tool, message):
        with pytest.raises(InputError, match=message):
            scripted().chat([user("x")], tools=[tool])

    @pytest.mark.parametrize("method", WITH_TOOLS)
    async def test_where_no_member_takes_tools(self, method):
        with pytest.raises(InputError, match="tools: no member can be offered tools"):
            await replies(
                unable(*MEMBERS, "big"), method, [FunctionTool.from_defaults(lambda x: x, name="f")], user_msg="x"
            )


def refused(server, said, **options):
    """Ask for what the provider refuses; return what the provider said."""
    with pytest.raises(CascadeError) as caught:
        served(server).chat(options.pop("messages", [user("x")]), **options)
    assert all(isinstance(failure, BadRequestError) for failure in caught.value.failures)
    assert len(caught.value.failures) == 4
    assert said in str(caught.value)
    assert "litellm.BadRequestError" not in str(caught.value)


class TestWhatTheProviderRefuses:
    def test_a_schema(self, server):
        schema = {"name": "no name", "schema": {"type": "object"}}
        refused(
            server, "Invalid 'response_format.json_schema.name'",
            response_format={"type": "json_schema", "json_schema": schema},
        )  # fmt: skip

    def test_too_many_stops(self, server):
        refused(server, "LiteLLM sends 4 stop texts at most, and more were given", stop=list("abcde"))

    def test_a_result_before_its_call(self, server):
        result = ChatMessage(role="tool", content="noon", additional_kwargs={"tool_call_id": "1"})
        refused(server, "A message of role 'tool' must follow", messages=[user("x"), result])

    def test_a_call_without_its_result(self, server):
        call = ToolCallBlock(tool_call_id="1", tool_name="clock", tool_kwargs={})
        proposed = ChatMessage(role="assistant", blocks=[call])
        refused(server, "tool_call_ids without a response: 1", messages=[user("x"), proposed, user("y")])


class Height(BaseModel):
    """How high something is."""

    metres: int


MOSTLY_WHOLE = {"cheap-1": '{"metres": 31', "cheap-2": '{"metres": 31}', "cheap-3": '{"metres": 31}', "big": "high"}


class TestStructuresThatDoNotParse:
    def test_the_next_best_is_returned(self):
        response = scripted(MOSTLY_WHOLE).chat([user("How high?")], response_format=Height)
        assert Height.model_validate_json(said(response)).metres == 31
        assert response.raw["semcascade"]["accepted"]
        notes = response.raw["semcascade"]["tiers"][0]["notes"]
        assert "cheap-1's answer was not to choose from: it is no JSON" in notes

    @pytest.mark.parametrize("method", CHAT)
    async def test_of_tool_calls_too(self, method):
        script = {
            name: ToolCall("Height", text, "call_1")
            for name, text in (
                *((one, '{"metres": 31}') for one in MEMBERS),
                ("cheap-1", '{"metr'),
                ("big", '{"metres": 9}'),
            )
        }
        structured = scripted(script, threshold=0.4).as_structured_llm(Height)
        response = (await replies(structured, method, [user("How high?")]))[-1]
        assert isinstance(response, ChatResponse)
        assert response.raw == Height(metres=31)

    def test_if_none_parses_the_error_shows_the_answer(self):
        llm = scripted({"*": "very high"}, is_function_calling_model=False)
        with pytest.raises(ValueError, match="very high"):
            llm.as_structured_llm(Height).chat([user("How high?")])
