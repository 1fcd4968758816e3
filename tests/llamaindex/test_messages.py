import base64
import copy
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from llamaindex_semcascade.messages import to_chat_message, to_conversation
from semcascade import Candidate, InputError, ToolCall, Usage
from semcascade.messages import as_conversation
from tests.llamaindex.helpers import PIXEL

PDF = b"%PDF-1.4 not much of a document \xe2\xe3"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \xff"


def one(message):
    (converted,) = to_conversation([message])
    as_conversation([{"role": "user", "content": "x"}, converted])
    return converted


def parts(*blocks):
    return one(ChatMessage(role="user", blocks=list(blocks)))["content"]


def b64(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("role", "sent"),
    [
        ("system", "system"), ("developer", "developer"), ("user", "user"), ("assistant", "assistant"),
        ("chatbot", "assistant"), ("model", "assistant"),
    ],
)  # fmt: skip
def test_roles(role, sent):
    assert one(ChatMessage(role=role, content="Hi")) == {"role": sent, "content": "Hi"}


def test_text_blocks_are_joined_as_llamaindex_joins_them():
    message = ChatMessage(role="user", blocks=[TextBlock(text="one"), TextBlock(text="two")])
    assert one(message)["content"] == message.content == "one\ntwo"


def test_names_are_kept_and_other_notes_are_not_sent():
    message = ChatMessage(role="user", content="Hi", additional_kwargs={"name": "ada", "note": object()})
    assert one(message) == {"role": "user", "content": "Hi", "name": "ada"}


class TestMedia:
    def test_image_bytes(self):
        text, image = parts(TextBlock(text="what?"), ImageBlock(image=PIXEL, detail="low"))
        assert text == {"type": "text", "text": "what?"}
        assert image == {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{b64(PIXEL)}", "detail": "low"},
        }

    def test_image_address_is_not_fetched(self):
        (image,) = parts(ImageBlock(url="https://example.invalid/a.png"))
        assert image["image_url"] == {"url": "https://example.invalid/a.png"}

    def test_image_file(self, tmp_path):
        path = tmp_path / "a.png"
        path.write_bytes(PIXEL)
        (image,) = parts(ImageBlock(path=path))
        assert image["image_url"]["url"] == f"data:image/png;base64,{b64(PIXEL)}"

    def test_a_callers_buffer_can_be_read_again(self):
        block = ImageBlock(image=io.BytesIO(PIXEL), image_mimetype="image/png")
        assert parts(block) == parts(block)
        assert parts(block)[0]["image_url"]["url"].endswith(b64(PIXEL))

    def test_images_of_unknown_kind_still_get_a_type(self):
        (image,) = parts(ImageBlock(image=b"\x00\x01 nothing known"))
        assert image["image_url"]["url"].startswith("data:image/jpeg;base64,")

    def test_audio(self):
        (audio,) = parts(AudioBlock(audio=WAV, format="wav"))
        assert audio == {"type": "input_audio", "input_audio": {"data": b64(WAV), "format": "wav"}}

    def test_audio_of_unknown_format_is_refused(self):
        with pytest.raises(InputError, match=r"messages\[0\]\.blocks\[0\]: .*format='wav'"):
            parts(AudioBlock(audio=b"\x00\x01 nothing known"))

    def test_pdf(self):
        (document,) = parts(DocumentBlock(data=PDF, document_mimetype="application/pdf", title="plan.pdf"))
        assert document["type"] == "file"
        assert document["file"] == {"filename": "plan.pdf", "file_data": f"data:application/pdf;base64,{b64(PDF)}"}

    def test_text_documents_are_sent_as_text(self):
        block = DocumentBlock(data="Grüße aus Köln".encode(), document_mimetype="text/plain", title="note.txt")
        assert parts(block) == "note.txt\nGrüße aus Köln"

    def test_document_address(self):
        (document,) = parts(DocumentBlock(url="https://example.invalid/a.pdf", title="a"))
        assert document["file"]["file_id"] == "https://example.invalid/a.pdf"

    def test_video(self):
        film = b"\x00\x01 film"
        (video,) = parts(VideoBlock(video=film, video_mimetype="video/mp4"))
        assert video["video_url"]["url"] == f"data:video/mp4;base64,{b64(film)}"

    def test_citable_and_cited_content(self):
        citable = CitableBlock(title="Plan", source="plan.txt", content="We meet at noon.")
        cited = CitationBlock(cited_content="noon", source="plan.txt", title="Plan", additional_location_info={})
        assert parts(citable, cited) == "Plan (plan.txt)\nWe meet at noon.\nnoon"

    def test_cache_points_mark_the_block_before_them(self):
        point = CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h"))
        long, question = parts(TextBlock(text="long"), point, TextBlock(text="question"))
        assert long == {"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        assert question == {"type": "text", "text": "question"}

    def test_a_cache_point_before_everything_is_refused(self):
        with pytest.raises(InputError, match=r"blocks\[0\]: a cache point stands behind"):
            parts(CachePoint(cache_control=CacheControl(type="ephemeral")))

    def test_empty_data_is_refused(self):
        with pytest.raises(InputError, match=r"messages\[0\]\.blocks\[0\]: its data cannot be read"):
            parts(ImageBlock(image=b""))

    def test_a_file_that_is_gone_is_refused(self, tmp_path):
        path = tmp_path / "a.png"
        path.write_bytes(PIXEL)
        block = ImageBlock(path=path)
        path.unlink()
        with pytest.raises(InputError, match="its data cannot be read"):
            parts(block)


class TestToolTurns:
    CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}  # noqa: RUF012

    def test_blocks(self):
        block = ToolCallBlock(tool_call_id="call_1", tool_name="add", tool_kwargs={"a": 1})
        assert one(ChatMessage(role="assistant", blocks=[block])) == {
            "role": "assistant", "content": None, "tool_calls": [self.CALL],
        }  # fmt: skip

    def test_words_beside_a_call_are_kept(self):
        block = ToolCallBlock(tool_call_id="call_1", tool_name="add", tool_kwargs='{"a": 1}')
        message = ChatMessage(role="assistant", blocks=[TextBlock(text="Let me see."), block])
        assert one(message) == {"role": "assistant", "content": "Let me see.", "tool_calls": [self.CALL]}

    def test_calls_of_older_code(self):
        class Call:
            def model_dump(self):
                return TestToolTurns.CALL

        for call in (self.CALL, Call()):
            message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
            assert one(message)["tool_calls"] == [self.CALL]

    def test_the_same_calls_in_both_places_are_sent_once(self):
        message = to_chat_message(Candidate("a", tool_calls=(ToolCall("add", '{"a": 1}', "call_1"),)))
        assert message.additional_kwargs["tool_calls"] == [self.CALL]
        assert one(message)["tool_calls"] == [self.CALL]

    def test_calls_of_another_shape_are_refused(self):
        message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": ["add"]})
        with pytest.raises(InputError, match=r"messages\[0\]\.additional_kwargs\.tool_calls\[0\]: expected"):
            one(message)

    def test_results(self):
        message = ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "call_1", "name": "add"})
        assert one(message) == {"role": "tool", "content": "2", "tool_call_id": "call_1", "name": "add"}

    def test_a_result_without_its_call_is_refused(self):
        with pytest.raises(InputError, match=r"messages\[1\]\.additional_kwargs: a tool's result says which call"):
            to_conversation([ChatMessage("Hi"), ChatMessage(role="tool", content="2")])

    def test_reasoning_is_not_sent_again(self):
        message = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="42")])
        assert one(message) == {"role": "assistant", "content": "42"}

    def test_unicode_arguments_stay_readable(self):
        block = ToolCallBlock(tool_call_id="1", tool_name="say", tool_kwargs={"text": "日本"})
        assert one(ChatMessage(role="assistant", blocks=[block]))["tool_calls"][0]["function"]["arguments"] == (
            '{"text": "日本"}'
        )


def test_what_is_no_message_is_refused():
    with pytest.raises(InputError, match=r"messages\[0\]: expected a ChatMessage, got dict"):
        to_conversation([{"role": "user", "content": "Hi"}])


def test_answers_become_messages():
    usage = Usage(input_tokens=3, output_tokens=9, reasoning_tokens=5)
    call = ToolCall("add", '{"a": 1}', "call_1")
    message = to_chat_message(Candidate("a", text="Well.", reasoning="hm", tool_calls=(call,), usage=usage))
    assert message.blocks == [
        ThinkingBlock(content="hm", num_tokens=5), TextBlock(text="Well."),
        ToolCallBlock(tool_call_id="call_1", tool_name="add", tool_kwargs={"a": 1}),
    ]  # fmt: skip
    assert message.content == "Well."


def test_arguments_that_are_no_json_stay_as_they_are():
    message = to_chat_message(Candidate("a", tool_calls=(ToolCall("add", '{"a": ', "call_1"),)))
    assert message.blocks == [ToolCallBlock(tool_call_id="call_1", tool_name="add", tool_kwargs='{"a": ')]


def test_an_empty_answer_is_an_empty_text():
    assert to_chat_message(Candidate("a")).content == ""


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
calls = st.builds(
    lambda name, arguments, id_: ToolCall(name, json.dumps(arguments), id_),
    st.from_regex(r"[a-z_]{1,12}", fullmatch=True),
    st.dictionaries(st.text(), values, max_size=3),
    st.from_regex(r"call_[0-9a-f]{6}", fullmatch=True),
)


@given(text=st.text(), tool_calls=st.lists(calls, max_size=3))
def test_an_answer_goes_out_as_it_came_in(text, tool_calls):
    message = to_chat_message(Candidate("a", text=text, tool_calls=tuple(tool_calls)))
    before = copy.deepcopy(message)
    sent = one(message)
    assert (sent["content"] or "") == text
    assert [call["id"] for call in sent.get("tool_calls", [])] == [call.id for call in tool_calls]
    assert [json.loads(call["function"]["arguments"]) for call in sent.get("tool_calls", [])] == [
        call.parsed() for call in tool_calls
    ]
    assert message == before
