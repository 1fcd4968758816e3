"""Cascades by name, through LiteLLM, over a service on the loopback and over a script."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from pydantic import BaseModel

from semcascade import Cascade, ConfigError, ScriptedTransport
from semcascade._litellm import litellm
from semcascade.errors import BudgetExceededError, CascadeError, DeadlineExceededError, ServerError
from semcascade.litellm import PROVIDER, provider, register, registered, unregister
from tests.litellm.helpers import MEMBERS, SCATTERED, WAYS, WEATHER, ask, decision, members, text
from tests.support.openai_server import Delay, OpenAIServer, Reply, Stall, Status, closed_address

QUESTION = "What is the capital of France?"


@pytest.fixture(autouse=True)
def _nothing_registered():
    yield
    for name in registered():
        unregister(name)


@pytest.fixture
def server():
    with OpenAIServer(dict(SCATTERED)) as running:
        yield running


def scripted(name="test", script=None, **settings):
    transport = ScriptedTransport(script or dict.fromkeys([*MEMBERS, "big"], "Paris"))
    return register(name, ensemble=MEMBERS, target="big", transport=transport, max_retries=0, **settings)


@pytest.mark.parametrize("way", WAYS)
class TestAnswers:
    @pytest.mark.parametrize("accepted", [True, False])
    def test_text_usage_cost_and_decision_are_what_the_server_saw(self, server, way, accepted):
        if accepted:
            server.script.update(dict.fromkeys(MEMBERS, "Paris"))
        register("test", **members(server))
        response = ask(way, "test", QUESTION)
        assert text(response) == ("Paris" if accepted else "The capital is Paris.")
        assert response.choices[0].finish_reason == "stop"
        chosen = server.tokens("cheap-1" if accepted else "big")
        assert (response.usage.prompt_tokens, response.usage.completion_tokens) == chosen
        assert response.usage.total_tokens == sum(chosen)
        asked, said = server.tokens()
        assert response._hidden_params["response_cost"] == pytest.approx(asked * 1e-6 + said * 2e-6)
        assert decision(response)["accepted"] is accepted
        assert response.choices[0].message.provider_specific_fields["semcascade"] == decision(response)
        assert len(decision(response)["candidates"]) == len(server.asked()) == (3 if accepted else 4)

    def test_an_unknown_cost_stays_unknown(self, server, way):
        register("test", **members(server, input_cost_per_token=None, output_cost_per_token=None))
        response = ask(way, "test", QUESTION)
        assert text(response) == "The capital is Paris."
        assert response._hidden_params.get("response_cost") is None

    def test_tools_are_called_and_their_results_read(self, server, way):
        server.script.clear()
        register("test", **members(server))
        history = [{"role": "user", "content": 'What does weather say of "Rome"?'}]
        proposed = ask(way, "test", history, tools=[WEATHER])
        (call,) = proposed.choices[0].message.tool_calls
        assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Rome"})
        assert proposed.choices[0].finish_reason == "tool_calls"
        assert decision(proposed)["accepted"]
        result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
        response = ask(way, "test", [*history, proposed.choices[0].message, result], tools=[WEATHER])
        assert text(response) == "The tool returned: sunny"
        back = server.asked("cheap-1")[-1].body["messages"][1]
        assert set(back) <= {"role", "content", "tool_calls"}
        assert back["tool_calls"][0]["id"] == call.id

    def test_calls_without_ids_get_one(self, way):
        from semcascade import ToolCall

        scripted(script=dict.fromkeys([*MEMBERS, "big"], ToolCall("weather", '{"city": "Rome"}')))
        (call,) = ask(way, "test", QUESTION, tools=[WEATHER]).choices[0].message.tool_calls
        assert call.id
        assert call.function.arguments == '{"city": "Rome"}'

    def test_structured_output(self, server, way):
        class City(BaseModel):
            name: str

        server.script.clear()
        register("test", **members(server))
        assert City.model_validate_json(text(ask(way, "test", 'Which? "Oslo"', response_format=City))).name == "Oslo"
        assert server.asked()[0].body["response_format"]["json_schema"]["name"] == "City"

    def test_reasoning_is_told_apart(self, server, way):
        server.script["big"] = Reply("Paris.", reasoning="France, then.")
        register("test", **members(server))
        message = ask(way, "test", QUESTION).choices[0].message
        assert (message.content, message.reasoning_content) == ("Paris.", "France, then.")

    def test_parameters_reach_every_member(self, server, way):
        register("test", **members(server))
        ask(way, "test", QUESTION, temperature=0.3, top_p=0.9, max_tokens=20, stop=["x"], seed=1, max_retries=4)
        for request in server.asked():
            sent = request.body
            assert (sent["temperature"], sent["top_p"], sent["max_tokens"], sent["stop"]) == (0.3, 0.9, 20, ["x"])
        assert len(server.asked()) == 4

    def test_one_member_by_name(self, server, way):
        register("test", **members(server))
        assert text(ask(way, "test", QUESTION, member="openai/cheap-2")) == "Nice"
        assert [request.model for request in server.asked()] == ["cheap-2"]


class TestStreams:
    def test_a_deferred_answer_comes_in_pieces(self, server):
        register("test", **members(server))
        messages = [{"role": "user", "content": QUESTION}]
        stream = litellm().completion(
            model="semcascade/test", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
        assert said == ["The ", "capital ", "is ", "Paris."]
        assert chunks[-1].usage.prompt_tokens == server.tokens("big")[0]
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]

    async def test_who_stops_listening_ends_the_request(self, server):
        import asyncio

        stall = Stall(after=2)
        server.fail("big", stall)
        register("test", **members(server))
        messages = [{"role": "user", "content": QUESTION}]
        stream = await litellm().acompletion(model="semcascade/test", messages=messages, stream=True)
        await anext(stream)
        await stream.aclose()
        await asyncio.to_thread(server.wait_until, lambda: server.asked("big")[0].disconnected)
        stall.release()


FAULTS = {
    401: "AuthenticationError", 403: "AuthenticationError", 404: "NotFoundError", 400: "BadRequestError",
    429: "RateLimitError", 408: "Timeout", 500: "InternalServerError",
}  # fmt: skip


class TestErrors:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("code", FAULTS)
    def test_the_targets_failure_gives_the_class(self, server, way, code):
        server.fail("big", Status(code))
        register("test", **members(server))
        expected = getattr(litellm(), FAULTS[code])
        with pytest.raises(Exception, match="big") as caught:
            ask(way, "test", QUESTION)
        error = caught.value
        if "stream" in way and code in (429, 500):  # LiteLLM wraps these, so that its Router can go elsewhere
            assert isinstance(error, litellm().exceptions.MidStreamFallbackError)
            error = error.original_exception
        assert isinstance(error, expected)
        assert error.llm_provider == "semcascade"
        assert isinstance(error.__cause__, CascadeError)
        assert len(error.__cause__.decision.tiers[0].candidates) == 3

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [("context_length_exceeded", "ContextWindowExceededError"), ("content_filter", "ContentPolicyViolationError")],
    )
    def test_refusals_of_a_kind(self, server, kind, expected):
        server.fail("big", Status(400, kind=kind))
        register("test", **members(server))
        with pytest.raises(getattr(litellm(), expected)):
            ask("completion", "test", QUESTION)

    def test_a_service_that_is_not_there(self):
        there = {"model": "openai/x", "api_base": closed_address(), "api_key": "none"}
        register("test", ensemble=[there, {**there, "name": "y"}], target={**there, "name": "z"}, max_retries=0)
        with pytest.raises(litellm().APIConnectionError, match="could not be reached"):
            ask("completion", "test", QUESTION)

    def test_a_deadline_is_a_timeout(self, server):
        server.fail("*", Delay(5))
        register("test", **members(server), deadline=0.2)
        with pytest.raises(litellm().Timeout) as caught:
            ask("acompletion", "test", QUESTION)
        assert isinstance(caught.value.__cause__, DeadlineExceededError)

    @pytest.mark.parametrize("way", WAYS)
    def test_litellms_timeout_bounds_the_whole_query(self, server, way):
        server.fail("*", Delay(5))
        register("test", **members(server))
        with pytest.raises(litellm().Timeout) as caught:
            ask(way, "test", QUESTION, timeout=0.2)
        assert isinstance(caught.value.__cause__, DeadlineExceededError)

    def test_so_does_httpxs(self, server):
        server.fail("*", Delay(5))
        register("test", **members(server))
        with pytest.raises(litellm().Timeout):
            ask("completion", "test", QUESTION, timeout=httpx.Timeout(30, read=0.2))

    @pytest.mark.parametrize("way", WAYS)
    def test_an_unknown_name_is_told(self, way):
        scripted("capitals")
        with pytest.raises(litellm().NotFoundError, match="unknown cascade 'capitols'; did you mean 'capitals'"):
            ask(way, "capitols", QUESTION)

    @pytest.mark.parametrize(
        ("options", "said"), [({"n": 2}, "n: it cannot be given per call"), ({"member": "c"}, "'c' is no member")]
    )
    def test_what_a_cascade_does_not_take_is_a_bad_request(self, options, said):
        scripted()
        with pytest.raises(litellm().BadRequestError, match=said):
            ask("completion", "test", QUESTION, **options)

    def test_a_spent_budget_is_a_rate_limit(self, server):
        register("test", **members(server), budget={"query": {"tokens": 1}})
        with pytest.raises(litellm().RateLimitError) as caught:
            ask("completion", "test", QUESTION)
        assert isinstance(caught.value.__cause__, BudgetExceededError)

    def test_secrets_stay_out(self, server):
        server.fail("big", Status(401, message="bad key sk-abcdefghijklmnopqrstuvwx"))
        register("test", **members(server, api_key="sk-abcdefghijklmnopqrstuvwx"))
        with pytest.raises(litellm().AuthenticationError) as caught:
            ask("completion", "test", QUESTION)
        assert "sk-abc" not in str(caught.value)


class TestNames:
    def test_several_cascades(self):
        scripted("one", dict.fromkeys([*MEMBERS, "big"], "1"))
        scripted("two", dict.fromkeys([*MEMBERS, "big"], "2"))
        assert registered() == ("one", "two")
        assert [text(ask("completion", name, QUESTION)) for name in ("one", "two", "one")] == ["1", "2", "1"]

    def test_registering_the_same_again_changes_nothing(self):
        settings = {"ensemble": ["openai/a", "openai/b"], "target": "openai/c"}
        first = register("test", settings)
        assert register("test", settings) is first is register("test", first) is register("test", **settings)
        assert sum(entry["provider"] == PROVIDER for entry in litellm().custom_provider_map) == 1

    def test_a_name_is_not_silently_given_to_another(self):
        settings = {"ensemble": ["openai/a", "openai/b"], "target": "openai/c"}
        first = register("test", settings)
        for other in ({**settings, "threshold": 0.9}, Cascade(settings)):
            with pytest.raises(ConfigError, match="the name 'test' is taken"):
                register("test", other)
        with pytest.raises(ConfigError, match="is taken"):
            register("test", settings, transport=ScriptedTransport({}))
        assert register("test", first) is first
        unregister("test")
        assert register("test", {**settings, "threshold": 0.9}) is not first

    def test_a_file(self, tmp_path):
        path = tmp_path / "cascade.toml"
        path.write_text('ensemble = ["a", "b"]\ntarget = "c"\n')
        register("test", path, transport=ScriptedTransport({"*": "Paris"}))
        assert text(ask("completion", "test", QUESTION)) == "Paris"

    def test_settings_beside_a_cascade_are_refused(self):
        built = Cascade(ensemble=["a", "b"], target="c", transport=ScriptedTransport({}))
        with pytest.raises(ConfigError, match="threshold: a cascade has its settings already"):
            register("test", built, threshold=0.5)

    def test_an_empty_name_is_refused(self):
        with pytest.raises(ConfigError, match="cascade: a name is a text"):
            scripted(" ")

    def test_the_name_of_a_model_with_a_known_price_is_refused(self):
        with pytest.raises(ConfigError, match="cascade: LiteLLM takes 'gpt-4o' for a model whose price it knows"):
            scripted("gpt-4o")

    def test_forgotten_names_are_unknown(self):
        scripted()
        unregister("test")
        unregister("test")
        with pytest.raises(litellm().NotFoundError):
            ask("completion", "test", QUESTION)

    def test_other_providers_of_the_user_stay(self):
        kept = list(litellm().custom_provider_map)
        mine = {"provider": "mine", "custom_handler": litellm().CustomLLM()}
        litellm().custom_provider_map = [mine]
        try:
            scripted()
            assert [entry["provider"] for entry in litellm().custom_provider_map] == ["mine", PROVIDER]
            assert litellm().custom_provider_map[1]["custom_handler"] is provider()
            assert text(ask("completion", "test", QUESTION)) == "Paris"
        finally:
            litellm().custom_provider_map[:] = [*kept, *litellm().custom_provider_map[1:]][-1:]

    def test_from_many_threads(self):
        def work(number):
            scripted(f"test-{number}", dict.fromkeys([*MEMBERS, "big"], str(number)))
            return text(ask("completion", f"test-{number}", QUESTION))

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(work, range(12))) == [str(number) for number in range(12)]

    def test_the_ledger_adds_up(self):
        cascade = scripted()
        for way in WAYS:
            ask(way, "test", QUESTION)
        assert cascade.ledger.summary().queries == 4


class TestNesting:
    @pytest.mark.parametrize("way", WAYS)
    def test_a_cascade_may_be_a_member_of_another(self, server, way):
        register("inner", **members(server))
        register(
            "outer",
            ensemble=["semcascade/inner", {"model": "semcascade/inner", "name": "again"}],
            target=server.member("no"),
        )
        response = ask(way, "outer", QUESTION)
        assert text(response) == "The capital is Paris."
        asked, said = server.tokens()
        assert len(server.asked()) == 8
        assert response._hidden_params["response_cost"] == pytest.approx(asked * 1e-6 + said * 2e-6)

    def test_a_cascade_never_asks_itself(self):
        with pytest.raises(ConfigError, match="it would ask itself: a → a"):
            register("a", ensemble=["openai/x", "semcascade/a"], target="openai/y")
        register("b", ensemble=["openai/x", "openai/z"], target="semcascade/c")
        register("c", ensemble=["openai/x", "openai/z"], target="semcascade/d")
        with pytest.raises(ConfigError, match="it would ask itself: d → b → c → d"):
            register("d", ensemble=["openai/x", "openai/z"], target="semcascade/b")
        assert registered() == ("b", "c")

    def test_nor_to_compare_answers(self):
        with pytest.raises(ConfigError, match="it would ask itself: a → a"):
            register("a", ensemble=["openai/x", "openai/z"], target="openai/y",
                     similarity={"name": "judge", "member": "semcascade/a"})  # fmt: skip


class TestWithinLiteLLM:
    @pytest.mark.parametrize("way", WAYS)
    def test_the_whole_query_is_reported_once_at_its_whole_cost(self, server, way):
        class Teller(litellm().integrations.custom_logger.CustomLogger):
            def __init__(self):
                self.told, self.come = [], threading.Event()

            def note(self, kwargs):
                self.told.append((kwargs["model"], kwargs["response_cost"]))
                self.come.set()

            def log_success_event(self, kwargs, response_obj, start_time, end_time):
                self.note(kwargs)

            async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
                self.note(kwargs)

        teller = Teller()
        register("test", **members(server))
        litellm().callbacks.append(teller)
        try:
            response = ask(way, "test", QUESTION)
            assert teller.come.wait(10)
        finally:
            litellm().callbacks.remove(teller)
            for kind in ("success_callback", "_async_success_callback", "failure_callback", "_async_failure_callback"):
                kept = [one for one in getattr(litellm(), kind) if one is not teller]
                getattr(litellm(), kind)[:] = kept
        assert all("no-log" not in request.body for request in server.asked())
        assert teller.told == [("test", response._hidden_params["response_cost"])]

    async def test_the_router_falls_back_from_one_cascade_to_another(self, server):
        scripted("broken", {"*": ServerError("down", member="x")})
        register("sound", **members(server))
        router = litellm().Router(
            model_list=[
                {"model_name": name, "litellm_params": {"model": f"semcascade/{name}"}} for name in ("broken", "sound")
            ],
            fallbacks=[{"broken": ["sound"]}],
            num_retries=0,
        )
        response = await router.acompletion("broken", [{"role": "user", "content": QUESTION}])
        assert text(response) == "The capital is Paris."


def test_the_handler_is_what_the_proxys_configuration_names():
    import semcascade.litellm.handler

    scripted()
    assert isinstance(semcascade.litellm.provider(), litellm().CustomLLM)


def test_importing_it_imports_no_litellm():
    code = "import sys, semcascade.litellm; print('litellm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
