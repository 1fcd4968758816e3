"""The cascade as `Settings.llm` of applications: query engines, chat engines, routers, evaluators."""

import json

import pytest
from llama_index.core import Document, SummaryIndex, VectorStoreIndex
from llama_index.core.evaluation import (
    AnswerRelevancyEvaluator,
    BatchEvalRunner,
    ContextRelevancyEvaluator,
    CorrectnessEvaluator,
    FaithfulnessEvaluator,
    GuidelineEvaluator,
    PairwiseComparisonEvaluator,
    RelevancyEvaluator,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.tools import QueryEngineTool

from tests.llamaindex.helpers import recorded_events
from tests.llamaindex.models import SCATTER, scripted

FACTS = [
    "The lighthouse of Brava is 31 metres high.",
    "The bakery of Brava opens at six in the morning.",
    "The ferry to Brava runs on Tuesdays and Fridays.",
]
QUESTION = "How high is the lighthouse of Brava?"
STREAMED = ["refine", "compact", "simple_summarize", "tree_summarize", "generation"]
SILENT = ["no_text", "context_only"]


@pytest.fixture
def index(settings):
    return VectorStoreIndex.from_documents([Document(text=fact) for fact in FACTS])


def asked_facts(text):
    return all(fact in text for fact in FACTS)


@pytest.mark.parametrize("mode", [mode.value for mode in ResponseMode])
class TestResponseModes:
    def test_query(self, index, mode):
        self.check(mode, index.as_query_engine(response_mode=mode, similarity_top_k=3).query(QUESTION))

    async def test_aquery(self, index, mode):
        self.check(mode, await index.as_query_engine(response_mode=mode, similarity_top_k=3).aquery(QUESTION))

    def test_streamed_query(self, index, mode):
        if mode not in STREAMED:
            pytest.skip("LlamaIndex does not stream this mode")
        response = index.as_query_engine(response_mode=mode, similarity_top_k=3, streaming=True).query(QUESTION)
        text = "".join(response.response_gen)
        assert text
        self.check(mode, text)

    async def test_streamed_aquery(self, index, mode):
        if mode not in STREAMED:
            pytest.skip("LlamaIndex does not stream this mode")
        engine = index.as_query_engine(response_mode=mode, similarity_top_k=3, streaming=True, use_async=True)
        response = await engine.aquery(QUESTION)
        self.check(mode, "".join([piece async for piece in response.async_response_gen()]))

    @staticmethod
    def check(mode, response):
        text = str(response)
        if mode == "no_text":
            assert len(response.source_nodes) == 3
        elif mode == "context_only":
            assert asked_facts(text)
        elif mode == "generation":
            assert QUESTION in text
        elif mode == "refine":
            assert "refin" in text
            assert QUESTION in text
        else:
            assert asked_facts(text)
            assert QUESTION in text


async def test_each_query_tells_its_decision(index):
    with recorded_events() as events:
        await index.as_query_engine(response_mode="compact").aquery(QUESTION)
    (event,) = events.named("SemCascadeDecisionEvent")
    assert len(event.decision.tiers) in {1, 2}


def test_the_window_decides_how_much_is_packed():
    long = [Document(text=f"Fact {n}. " + "words and more words " * 150) for n in range(6)]
    calls = []
    for window in (2600, 100_000):
        llm = scripted({"*": "Words, mostly."}, context_window=window)
        engine = SummaryIndex.from_documents(long).as_query_engine(llm=llm, response_mode="compact")
        engine.query("Sum up.")
        calls.append(llm.cascade.ledger.summary().queries)
    assert calls[0] > 1
    assert calls[1] == 1


@pytest.mark.parametrize("mode", ["simple", "context", "condense_question", "condense_plus_context", "best"])
class TestChatEngines:
    async def test_they_answer_in_four_ways(self, index, mode):
        engine = index.as_chat_engine(chat_mode=mode, memory=ChatMemoryBuffer.from_defaults(token_limit=4000))
        said = [str(engine.chat("Hello there")), str(await engine.achat("the second question"))]
        streamed = engine.stream_chat("the third question")
        said.append("".join(streamed.response_gen))
        astreamed = await engine.astream_chat("the fourth question")
        said.append("".join([piece async for piece in astreamed.async_response_gen()]))
        for text, asked in zip(said, ["Hello", "second", "third", "fourth"], strict=True):
            assert asked in text
        assert len(engine.chat_history) == 8
        engine.reset()
        assert engine.chat_history == []


class TestRouting:
    def engines(self, index):
        return [
            QueryEngineTool.from_defaults(index.as_query_engine(), name=name, description=f"knows of {name}")
            for name in ("towers", "trains")
        ]

    async def test_a_router(self, index, llm):
        engine = RouterQueryEngine.from_defaults(self.engines(index), llm=llm)
        for response in (engine.query(QUESTION), await engine.aquery(QUESTION)):
            assert QUESTION in str(response)
            assert response.metadata["selector_result"].selections[0].index in {0, 1}

    @pytest.mark.parametrize("deferred", [False, True])
    @pytest.mark.parametrize("llm", ["agreed", "deferred"], indirect=True)
    async def test_sub_questions(self, index, deferred):
        parts = [{"sub_question": f"what of {name}?", "tool_name": name} for name in ("towers", "trains")]
        planner = scripted({"*": json.dumps({"items": parts}), **(SCATTER if deferred else {})})
        engine = SubQuestionQueryEngine.from_defaults(
            self.engines(index), question_gen=LLMQuestionGenerator.from_defaults(planner), verbose=False
        )
        for response in (engine.query(QUESTION), await engine.aquery(QUESTION)):
            assert "what of towers?" in str(response)
            assert "what of trains?" in str(response)


class TestEvaluators:
    async def test_faithfulness_and_relevancy(self):
        for evaluator in (
            FaithfulnessEvaluator(llm=scripted({"*": "YES"})),
            RelevancyEvaluator(llm=scripted({"*": "YES"})),
        ):
            result = await evaluator.aevaluate(query=QUESTION, response="31 metres", contexts=FACTS)
            assert result.passing
            assert result.score == 1.0

    async def test_correctness(self):
        evaluator = CorrectnessEvaluator(llm=scripted({"*": "4.5\nIt is right."}))
        result = await evaluator.aevaluate(query=QUESTION, response="31 metres", reference="31 metres")
        assert (result.score, result.feedback) == (4.5, "It is right.")

    async def test_relevancy_of_answers_and_of_contexts(self):
        answer = AnswerRelevancyEvaluator(llm=scripted({"*": "It fits.\n[RESULT] 2"}))
        result = await answer.aevaluate(query=QUESTION, response="31 metres")
        assert result.score == 1.0
        assert result.feedback.startswith("It fits.")
        context = ContextRelevancyEvaluator(llm=scripted({"*": "They fit.\n[RESULT] 4"}))
        assert (await context.aevaluate(query=QUESTION, contexts=FACTS)).score == 1.0

    async def test_guidelines(self):
        said = json.dumps({"passing": True, "feedback": "It is brief."})
        evaluator = GuidelineEvaluator(llm=scripted({"*": said}), guidelines="Be brief.")
        result = await evaluator.aevaluate(query=QUESTION, response="31 metres", contexts=FACTS)
        assert (result.passing, result.feedback) == (True, "It is brief.")

    async def test_pairs(self):
        evaluator = PairwiseComparisonEvaluator(llm=scripted({"*": "The first.\n[[A]]"}), enforce_consensus=False)
        result = await evaluator.aevaluate(query=QUESTION, response="31 metres", second_response="no idea")
        assert result.score == 1.0

    async def test_many_at_once(self):
        llm = scripted({"*": "YES", **SCATTER, "big": "YES"})
        runner = BatchEvalRunner(
            {"faith": FaithfulnessEvaluator(llm=llm), "fit": RelevancyEvaluator(llm=llm)}, workers=4
        )
        results = await runner.aevaluate_response_strs(
            queries=[QUESTION] * 3, response_strs=["31 metres"] * 3, contexts_list=[FACTS] * 3
        )
        assert [len(results[name]) for name in ("faith", "fit")] == [3, 3]
        assert all(result.passing for each in results.values() for result in each)
        assert llm.cascade.ledger.summary().deferral_rate == 1.0
