"""The default transport, for real: LiteLLM against a service on the loopback."""

import json

import pytest

from semcascade import Cascade, CascadeError, Result, ToolCall, Usage
from semcascade.config import Member
from semcascade.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    ContentFilterError,
    ContextOverflowError,
    MalformedReplyError,
    MemberError,
    MemberTimeoutError,
    ModelNotFoundError,
    RateLimitError,
    ServerError,
)
from semcascade.messages import Request
from semcascade.transport.litellm import LiteLLMTransport, _arguments
from semcascade.transport.openai_shape import request_body
from tests.support.openai_server import (
    Delay,
    EmptyChoices,
    Malformed,
    NoUsage,
    NullContent,
    OpenAIServer,
    Reply,
    Reset,
    Stall,
    Status,
    Truncated,
    Verbatim,
    closed_address,
)

QUESTION = "What is the capital of Japan?"
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}


@pytest.fixture
def server():
    script = {"a": "Tokyo", "b": "Tokyo.", "c": "tokyo", "t": "The capital of Japan is Tokyo."}
    with OpenAIServer(script) as running:
        yield running


def cascade(server, ensemble=("a", "b", "c"), target="t", **settings):
    settings = {"max_retries": 0, "timeout": 10, **settings}
    members = [server.member(name, **PRICES) for name in ensemble]
    return Cascade(ensemble=members, target=server.member(target, **PRICES), **settings)


def only(server, name="a", **settings):
    """Return a function that asks one member through the whole engine, and its failure or answer."""
    settings = {"max_retries": 0, "timeout": 10, **settings}
    c = Cascade(ensemble=[server.member("b"), server.member("c")], target=server.member(name), **settings)

    def ask(**options):
        try:
            return c.complete(QUESTION, member=f"openai/{name}", **options).candidate
        except CascadeError as error:
            return error.failures[-1]

    return ask


def test_the_server_saw_what_the_ledger_says(server):
    c = cascade(server)
    result = c.complete(QUESTION)
    assert result.text == "Tokyo"
    assert len(server.asked()) == c.ledger.summary().calls == 3
    asked, said = server.tokens()
    assert (result.decision.usage.input_tokens, result.decision.usage.output_tokens) == (asked, said)
    assert result.decision.cost == pytest.approx(asked * 1e-6 + said * 2e-6)


def test_a_deferred_query_streams_the_targets_pieces(server):
    server.script["b"] = "Kyoto"
    server.script["c"] = "Osaka"
    items = list(cascade(server).stream(QUESTION))
    assert isinstance(items[-1], Result)
    pieces = [item.text for item in items[:-1] if item.text]
    assert len(pieces) > 1
    assert "".join(pieces) == items[-1].text == "The capital of Japan is Tokyo."
    assert items[-1].candidate.usage.output_tokens == server.asked("t")[0].usage["completion_tokens"]
    assert items[-1].candidate.cost > 0
    assert items[-1].candidate.finish_reason == "stop"


def test_requests_carry_parameters_tools_and_nothing_else(server):
    tool = {
        "type": "function",
        "function": {"name": "add", "description": "Adds", "parameters": {"type": "object", "properties": {}}},
    }
    ask = only(server)
    ask(temperature=0.3, max_tokens=17, stop=["\n"], tools=[tool], tool_choice="auto", seed=5)
    body = server.asked("a")[0].body
    assert body["temperature"] == 0.3
    assert body["max_tokens"] == 17
    assert body["stop"] == ["\n"]
    assert body["tools"] == [tool]
    assert body["tool_choice"] == "auto"
    assert body["messages"] == [{"role": "user", "content": QUESTION}]
    assert not {"cache", "num_retries", "timeout", "api_key", "metadata"} & set(body)


def test_tool_calls_arrive_whole_and_streamed(server):
    from tests.support.openai_server import brain

    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}  # fmt: skip
    server.script["a"] = brain
    server.script["t"] = brain
    ask = only(server)
    answer = ask(tools=[tool], tool_choice="required")
    assert [call.name for call in answer.tool_calls] == ["get_weather"]
    assert answer.tool_calls[0].parsed() is not None
    assert answer.tool_calls[0].id
    c = cascade(server)
    items = list(c.stream("What is the weather in Paris?", tools=[tool], tool_choice="required", member="openai/t"))
    assert items[-1].tool_calls == tuple(
        ToolCall(call.name, call.arguments, call.id) for call in items[-1].candidate.tool_calls
    )
    assert [call.name for call in items[-1].tool_calls] == ["get_weather"]


def test_logprobs_are_read(server):
    answer = only(server)(logprobs=True)
    assert answer.logprobs
    assert all(value <= 0 for value in answer.logprobs)


FAULTS = [
    (Status(401), AuthenticationError, 401),
    (Status(403), AuthenticationError, 403),
    (Status(404), ModelNotFoundError, 404),
    (Status(408), MemberTimeoutError, None),
    (Status(429), RateLimitError, 429),
    (Status(500), ServerError, None),
    (Status(502), ServerError, None),
    (Status(503), ServerError, None),
    (Status(529), ServerError, None),
    (Status(400, message="nonsense"), BadRequestError, 400),
    (
        Status(400, message="maximum context length is 10 tokens", kind="context_length_exceeded"),
        ContextOverflowError,
        None,
    ),
    (Status(400, message="content management policy", kind="content_filter"), ContentFilterError, None),
    (Reset(), ConnectionFailedError, None),
    (Malformed(), MalformedReplyError, None),
    (Truncated(), MalformedReplyError, None),
    (EmptyChoices(), MalformedReplyError, None),
]


@pytest.mark.parametrize(("fault", "error", "status"), FAULTS, ids=lambda value: str(value)[:40])
def test_faults_become_typed_errors(server, fault, error, status):
    server.fail("a", fault)
    failure = only(server)()
    assert type(failure) is error, failure
    assert failure.member == "openai/a"
    assert isinstance(failure.__cause__, BaseException) or isinstance(failure, MalformedReplyError)
    if status:
        assert failure.status == status
    assert len(server.asked("a")) == 1, "LiteLLM must not retry by itself"


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": [{"message": "x"}]}',
        b'{"choices": null}',
        b'{"choices": [{}], "usage": {"prompt_tokens": "many"}}',
    ],
)
def test_a_reply_of_another_shape_is_no_reply_and_may_be_billed(server, body):
    server.fail("a", Verbatim([body], "application/json"))
    failure = only(server)()
    assert type(failure) is MalformedReplyError
    assert "Traceback" not in str(failure)


def test_counts_that_cannot_be_are_unknown(server):
    server.script["b"] = Reply("Tokyo", usage={"prompt_tokens": -5000, "completion_tokens": 7, "total_tokens": 7})
    decision = cascade(server).complete(QUESTION).decision
    assert decision.tiers[0].candidates[1].usage is None
    assert decision.cost is None


def test_a_stream_holds_the_first_choice_only(server):
    chunks = [
        {"id": "x", "object": "chat.completion.chunk", "model": "t", "created": 1, "choices": [
            {"index": index, "delta": {"content": text}, "finish_reason": reason}]}
        for index, text, reason in [(0, "Tok", None), (1, "Kyoto", None), (0, "yo", "stop")]
    ]  # fmt: skip
    events = [f"data: {json.dumps(one)}\n\n".encode() for one in chunks]
    server.fail("t", Verbatim([*events, b"data: [DONE]\n\n"]))
    assert list(cascade(server).stream(QUESTION, member="openai/t"))[-1].text == "Tokyo"


@pytest.mark.parametrize("fault", [Status(500), Reset(), Malformed()], ids=str)
def test_a_faulty_member_leaves_the_answer_alone(server, fault):
    server.fail("b", fault)
    result = cascade(server).complete(QUESTION)
    assert result.text == "Tokyo"
    assert [candidate.ok for candidate in result.decision.tiers[0].candidates] == [True, False, True]


def test_retry_after_is_read(server):
    server.fail("a", Status(429, retry_after=0.01), at=1)
    answer = only(server, max_retries=1)()
    assert (answer.text, answer.attempts) == ("Tokyo", 2)
    server.fail("a", Status(429, retry_after=7))
    failure = only(server)()
    assert failure.retry_after == 7


def test_refused_connection(server):
    c = Cascade(
        ensemble=[server.member("a"), server.member("b"), {"model": "openai/c", "api_base": closed_address()}],
        target=server.member("t"),
        max_retries=0,
    )
    result = c.complete(QUESTION)
    assert result.decision.accepted
    assert isinstance(result.decision.tiers[0].candidates[2].failure, ConnectionFailedError)


def test_a_stalled_member_is_cut_off_at_the_provider(server):
    stall = Stall()
    server.fail("b", stall)
    members = [server.member("a"), server.member("b", timeout=0.3), server.member("c")]
    c = Cascade(ensemble=members, target=server.member("t"), max_retries=0)
    result = c.complete(QUESTION)
    assert isinstance(result.decision.tiers[0].candidates[1].failure, MemberTimeoutError)
    server.wait_until(lambda: server.asked("b")[0].disconnected)


def test_leaving_a_stream_disconnects(server):
    stall = Stall(after=2)
    server.fail("t", stall)
    stream = cascade(server).stream(QUESTION, member="openai/t")
    next(stream)
    stream.close()
    server.wait_until(lambda: server.asked("t")[0].disconnected)


def test_a_null_answer_is_empty_and_never_consensus(server):
    for name in "abc":
        server.fail(name, NullContent())
    result = cascade(server, threshold=0).complete(QUESTION)
    assert result.text == "The capital of Japan is Tokyo."


def test_missing_usage_is_an_unknown_cost(server):
    server.fail("b", NoUsage())
    decision = cascade(server).complete(QUESTION).decision
    assert decision.accepted
    assert decision.tiers[0].candidates[1].cost is None
    assert decision.cost is None


def test_missing_usage_of_a_stream_is_unknown_too(server):
    server.fail("t", NoUsage())
    result = list(cascade(server).stream(QUESTION, member="openai/t"))[-1]
    assert result.text == "The capital of Japan is Tokyo."
    assert result.candidate.usage is None
    assert result.candidate.cost is None


@pytest.mark.parametrize("fault", [Truncated(after=3), Reset(after=3), Malformed()], ids=str)
def test_a_stream_that_ends_early_is_no_answer(server, fault):
    server.fail("t", fault)
    pieces = []
    with pytest.raises(CascadeError, match=r"broke off|did not answer") as caught:
        pieces.extend(cascade(server).stream(QUESTION, member="openai/t"))
    assert "".join(piece.text for piece in pieces) in "The capital of Japan is Tokyo."
    assert isinstance(caught.value.failures[-1], ConnectionFailedError | MalformedReplyError)


@pytest.mark.parametrize(
    "option", ["api_key", "api_base", "model", "messages", "stream", "timeout", "max_retries", "n"]
)
def test_what_belongs_to_the_configuration_cannot_be_given_per_call(server, option):
    from semcascade import InputError

    with pytest.raises(InputError) as caught:
        cascade(server).complete(QUESTION, **{option: "x"})
    assert caught.value.field == option
    assert server.asked() == []


def test_delay_is_latency(server):
    server.fail("a", Delay(0.2))
    decision = cascade(server).complete(QUESTION).decision
    assert decision.tiers[0].candidates[0].latency_s >= 0.2
    assert decision.latency_s >= 0.2


# --- before anything is spent


def test_missing_key_names_the_variable():
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as caught:
        Cascade(ensemble=["openai/gpt-5-nano", "openai/gpt-5-mini"], target="openai/gpt-5").complete(QUESTION)
    assert caught.value.member == "openai/gpt-5-nano"
    with pytest.raises(AuthenticationError, match="MY_OWN_KEY"):
        LiteLLMTransport().check(Member(model="openai/gpt-5", api_key_env="MY_OWN_KEY"))


@pytest.mark.parametrize("model", ["gibberish", "nobody/knows"])
def test_unknown_model_ids_are_refused(model, server):
    with pytest.raises(ModelNotFoundError, match="provider/model"):
        Cascade(ensemble=[server.member("a"), server.member("b")], target=model).complete(QUESTION)
    assert server.asked() == []


@pytest.mark.parametrize("model", ["ollama/llama3.2", "hosted_vllm/x"])
def test_services_without_keys_need_none(model):
    LiteLLMTransport().check(Member(model=model))


def test_wrong_key_is_not_shown():
    secret = "sk-wrong-0123456789abcdef"
    with OpenAIServer({"a": "x"}, api_key="right") as server:
        member = {"model": "openai/a", "api_base": server.base_url, "api_key": secret}
        with pytest.raises(CascadeError) as caught:
            Cascade(ensemble=[{**member, "name": "x"}, {**member, "name": "y"}], target=member, max_retries=0).complete(
                "?"
            )
    assert secret not in str(caught.value)
    assert isinstance(caught.value.failures[-1], AuthenticationError)


# --- prices


def test_price_is_by_table_then_by_settings_then_unknown():
    transport = LiteLLMTransport()
    usage = Usage(1_000_000, 0)
    assert transport.price(Member(model="openai/gpt-4o-mini"), usage) == pytest.approx(0.15)
    assert transport.price(
        Member(model="openai/gpt-4o-mini"), Usage(1_000_000, 0, cached_tokens=1_000_000)
    ) == pytest.approx(0.075)
    assert transport.price(Member(model="openai/mine", **PRICES), usage) == pytest.approx(1.0)
    assert transport.price(Member(model="openai/mine"), usage) is None


def test_context_window_is_by_settings_then_by_table():
    transport = LiteLLMTransport()
    assert transport.context_window(Member(model="openai/gpt-4o-mini")) == 128_000
    assert transport.context_window(Member(model="openai/gpt-4o-mini", context_window=5)) == 5
    assert transport.context_window(Member(model="openai/mine")) is None


def test_the_requests_parameters_win_over_the_members():
    member = Member.model_validate({"model": "openai/a", "temperature": 0.1, "top_p": 0.5})
    body = request_body(member, Request(({"role": "user", "content": "x"},), params={"temperature": 0.9, "stop": None}))
    assert body == {"temperature": 0.9, "top_p": 0.5, "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(("model", "sent"), [("openai/mine", True), ("ollama_chat/llama3.2", False)])
def test_a_wish_is_left_out_where_the_provider_does_not_take_it(model, sent):
    request = Request(({"role": "user", "content": "x"},), params={"parallel_tool_calls": False})
    assert ("parallel_tool_calls" in _arguments(Member(model=model), request, 1.0)) == sent


def test_every_error_is_a_member_error():
    assert all(issubclass(error, MemberError) for _, error, _ in FAULTS)


def test_replies_can_be_scripted(server):
    server.script["a"] = Reply("Tokyo")
    assert only(server)().text == "Tokyo"


def test_stop_texts_that_litellm_would_drop_are_refused(server, monkeypatch):
    ask = only(server)
    failure = ask(stop=list("12345"))
    assert isinstance(failure, BadRequestError)
    assert "LiteLLM sends 4 stop texts at most, and more were given" in str(failure)
    assert not server.asked()
    assert ask(stop=("1", "2", "3", "4")).text == "Tokyo"
    from semcascade._litellm import litellm

    monkeypatch.setattr(litellm(), "disable_stop_sequence_limit", True)
    assert isinstance(ask(stop=list("12345")), BadRequestError)
    assert len(server.asked()[-1].body["stop"]) == 5
