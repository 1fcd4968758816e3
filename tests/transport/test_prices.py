"""What a call costs: reported by the provider, else by the table, else by the member's settings, else unknown."""

import subprocess
import sys

import pytest

from semcascade import Cascade, ConfigError, Member, Result, Usage
from semcascade.model_table import price_of
from semcascade.transport.base import configured_price
from semcascade.transport.litellm import LiteLLMTransport
from semcascade.transport.openai import OpenAITransport
from tests.support.openai_server import OpenAIServer, Reply

OWN = {
    "input_cost_per_token": 1.0,
    "output_cost_per_token": 10.0,
    "cached_input_cost_per_token": 0.25,
    "reasoning_cost_per_token": 3.0,
}
TOKENS = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 30},
}
USAGE = Usage(100, 50, cached_tokens=40, reasoning_tokens=30)
OWN_PRICE = 60 * 1.0 + 40 * 0.25 + 20 * 10.0 + 30 * 3.0
NANO = 60 * 5e-8 + 40 * 5e-9 + 50 * 4e-7


@pytest.fixture(params=["litellm", "openai"])
def transport(request):
    return request.param


@pytest.fixture(params=["complete", "stream"])
def way(request):
    return request.param


def cost(way, transport, usage, model="own", **settings):
    with OpenAIServer({model: Reply("x", usage=usage)}) as server:
        member = server.member(model, transport=transport, **settings)
        with Cascade(ensemble=[member, {**member, "name": "b"}], target={**member, "name": "t"}) as cascade:
            if way == "complete":
                return cascade.complete("?", member="t").candidate
            return next(item for item in cascade.stream("?", member="t") if isinstance(item, Result)).candidate


def test_cached_and_reasoning_tokens_have_prices_of_their_own(way, transport):
    candidate = cost(way, transport, TOKENS, **OWN)
    assert (candidate.usage, candidate.cost) == (USAGE, pytest.approx(OWN_PRICE))


def test_the_table_goes_before_the_members_settings(way, transport):
    assert cost(way, transport, TOKENS, model="gpt-5-nano", **OWN).cost == pytest.approx(NANO)


def test_what_the_provider_reports_goes_before_all(way, transport):
    candidate = cost(way, transport, {**TOKENS, "cost": 0.125}, model="gpt-5-nano", **OWN)
    assert candidate.cost == pytest.approx(0.125)


def test_a_report_in_parts_has_a_sum(way):
    assert cost(way, "openai", {**TOKENS, "cost": {"total_cost": 0.125}}, **OWN).cost == pytest.approx(0.125)


@pytest.mark.parametrize("said", ["free", True, -1, None, {}])
def test_a_report_that_is_no_price_is_none(way, said):
    assert cost(way, "openai", {**TOKENS, "cost": said}, **OWN).cost == pytest.approx(OWN_PRICE)


def test_nobody_knows_and_nobody_guesses(way, transport):
    assert cost(way, transport, TOKENS).cost is None


def test_half_a_price_is_none(way, transport):
    assert cost(way, transport, TOKENS, input_cost_per_token=1.0, cached_input_cost_per_token=0.1).cost is None


def test_without_prices_of_their_own_they_cost_what_others_do():
    member = Member(model="x", input_cost_per_token=1.0, output_cost_per_token=10.0)
    assert configured_price(member, USAGE) == 100 + 500


@pytest.mark.parametrize("model", ["openai/gpt-5-nano", "gemini/gemini-2.5-flash", "dashscope/qwen-turbo"])
def test_the_table_is_read_as_litellm_reads_it(model):
    price = LiteLLMTransport().price(Member(model=model), USAGE)
    assert (
        price
        == pytest.approx(price_of(model, USAGE))
        == pytest.approx(OpenAITransport().price(Member(model=model), USAGE))
    )


def test_more_cached_than_asked_is_no_discount():
    nonsense = Usage(10, 5, cached_tokens=99, reasoning_tokens=99)
    member = Member(model="x", **OWN)
    assert configured_price(member, nonsense) == 10 * 0.25 + 5 * 3.0
    assert price_of("openai/gpt-5-nano", nonsense) > 0


def test_whether_a_price_is_known_is_known_without_litellm():
    code = (
        "import sys; from semcascade import Cascade\n"
        "Cascade(ensemble=['openai/gpt-5-nano', 'gemini/gemini-2.5-flash'], target='openai/gpt-5',"
        " budget={'query': {'cost': 1.0}})\n"
        "print('litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_price_that_nobody_knows_cannot_be_capped(transport):
    member = {"model": "openai/own", "transport": transport, "api_base": "http://127.0.0.1:1/v1"}
    with pytest.raises(ConfigError, match=r"budget\.query\.cost: the price of 'b' is not known"):
        Cascade(
            ensemble=[{**member, "name": "a", **OWN}, {**member, "name": "b"}],
            target={**member, "name": "t"},
            budget={"query": {"cost": 1.0}},
        )
