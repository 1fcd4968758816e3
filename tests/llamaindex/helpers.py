"""What the tests of the LlamaIndex LLM share: ways to ask, tools, and ears."""

import inspect
from collections.abc import AsyncGenerator, Generator

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.callbacks import CBEventType, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

CHAT = ("chat", "achat", "stream_chat", "astream_chat")
COMPLETE = ("complete", "acomplete", "stream_complete", "astream_complete")
WITH_TOOLS = ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools")
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c636060606000000005000157"
    "a1c1a80000000049454e44ae426082"
)


async def replies(llm, method, *args, **kwargs):
    """Call any of the methods and return its responses: one, or those of its stream."""
    given = getattr(llm, method)(*args, **kwargs)
    if inspect.isawaitable(given):
        given = await given
    if isinstance(given, AsyncGenerator):
        return [response async for response in given]
    return list(given) if isinstance(given, Generator) else [given]


def user(text):
    return ChatMessage(role="user", content=text)


def said(response):
    return response.message.content if isinstance(response, ChatResponse) else response.text


class Recorder(BaseEventHandler):
    """Keeps the instrumentation's events."""

    events: list

    @classmethod
    def class_name(cls):
        return "Recorder"

    def handle(self, event, **kwargs):
        self.events.append(event)

    def named(self, name):
        return [event for event in self.events if event.class_name() == name]


class recorded_events:  # noqa: N801 - used like a function
    """Record the instrumentation's events while entered."""

    def __enter__(self):
        self.recorder = Recorder(events=[])
        self.handlers = get_dispatcher().event_handlers
        self.handlers.append(self.recorder)
        return self.recorder

    def __exit__(self, *exc):
        self.handlers.remove(self.recorder)


class Weather(BaseModel):
    """The weather somewhere."""

    city: str = "Paris"
    days: int = 1


def weather(city: str = "Paris", days: int = 1) -> str:
    """Tell the weather of a city for some days."""
    return f"{city}: sunny for {days} days"


def clock(city: str = "Paris") -> str:
    """Tell the time in a city."""
    return f"noon in {city}"


WEATHER, CLOCK = FunctionTool.from_defaults(weather), FunctionTool.from_defaults(clock)
ASKED = 'What does weather say about "Rome" for 3 days?'


class CountingHandler(TokenCountingHandler):
    """Counts the LLM's callbacks."""

    def __init__(self):
        super().__init__(tokenizer=str.split)
        self.started, self.ended = 0, []

    def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **kwargs):
        self.started += event_type == CBEventType.LLM
        return event_id

    def on_event_end(self, event_type, payload=None, event_id="", **kwargs):
        if event_type == CBEventType.LLM:
            self.ended.append(payload)
