"""What answers are, refusals above all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.errors import ServerError
from semcascade.messages import Candidate, ToolCall
from semcascade.similarity import Kind, classify
from semcascade.similarity.refusals import is_refusal

RIVERS = (
    "it is about rivers: they carry sediment to the sea, shape valleys, and water the fields along their banks, as the "
    "Nile has done for millennia."
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Kind.EMPTY),
        (" \n\t\u200b", Kind.EMPTY),
        ("\u3164", Kind.EMPTY),
        ("```\n```", Kind.EMPTY),
        ("<think>Is it 4 or 5? It may", Kind.EMPTY),
        ("Is it 4 or 5?\n</think>\n\n4", Kind.NUMBER),
        ("42", Kind.NUMBER),
        ("**1,000**", Kind.NUMBER),
        ("one hundred", Kind.NUMBER),
        ("Paris", Kind.SHORT),
        ("New York City", Kind.SHORT),
        ("👍", Kind.SHORT),
        ("?!", Kind.SHORT),
        ("東京", Kind.SHORT),
        ("شكرا", Kind.SHORT),
        ("日本の首都は東京であり、大阪ではありません。", Kind.LONG),
        ("The capital of Japan is Tokyo, a city of fourteen million.", Kind.LONG),
        ("one\ntwo", Kind.LONG),
        ('{"a": 1}', Kind.JSON),
        ('```json\n[1, 2]\n```', Kind.JSON),
        ("{not json}", Kind.SHORT),
        ("def f(x):\n    return x", Kind.CODE),
        ("Use this:\n```python\nfor i in range(10):\n    print(i)\n```", Kind.CODE),
        ("int main() {\n  return 0;\n}", Kind.CODE),
        ("SELECT name FROM users WHERE id = 1;", Kind.CODE),
        ("From the beginning it was clear that import taxes would rise, and return fares with them.", Kind.LONG),
        ("```json\n{\"reasoning\": \"a\nb\" oops\n```", Kind.LONG),
    ],
)  # fmt: skip
def test_kinds_of_texts(text: str, kind: Kind):
    assert classify(Candidate("m", text=text)) is kind


def test_kinds_by_other_marks():
    call = ToolCall("f", "{}")
    assert classify(Candidate("m", text="so far", finish_reason="length")) is Kind.TRUNCATED
    assert classify(Candidate("m", tool_calls=(call,), finish_reason="length")) is Kind.TRUNCATED
    assert classify(Candidate("m", text="so far", finish_reason="max_output_tokens")) is Kind.TRUNCATED
    assert classify(Candidate("m", text="x", finish_reason="content_filter")) is Kind.REFUSAL
    assert classify(Candidate("m", text="x", finish_reason="PROHIBITED_CONTENT")) is Kind.REFUSAL
    assert classify(Candidate("m", text="I'm sorry, I can't", tool_calls=(call,))) is Kind.TOOL_CALLS
    assert classify(Candidate("m", failure=ServerError("500", member="m"))) is Kind.EMPTY


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I cannot assist with that request.",
        "Sorry, I can't do that.",
        "I apologize, but I am unable to provide that information.",
        "Unfortunately, I cannot answer this question.",
        "As an AI language model, I don't have access to real-time data.",
        "As an AI, I cannot browse the internet. Please check a news site.",
        "I cannot provide medical advice.",
        "I must decline to answer.",
        "I don't know.",
        "I do not know the answer to that question.",
        "I'm not sure.",
        "**I'm sorry, but I can't help with that.**",
        "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen.",
        "Désolé, mais je ne peux pas vous aider.",
        "Je suis désolé, je ne peux pas répondre à cette question.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Desculpe, mas não posso ajudar com isso.",
        "Извините, но я не могу помочь с этим.",
        "很抱歉，我无法回答这个问题。",
        "作为一个人工智能语言模型，我无法提供这方面的信息。",
        "申し訳ありませんが、その質問にはお答えできません。",
        "죄송합니다. 그 질문에는 답변할 수 없습니다.",
        "I cannot fulfill this request.",
        "I can not fulfil your request.",
        "I'm afraid I can't do that.",
        "I cannot and will not provide instructions.",
        "Sorry, I am not allowed to discuss that.",
        "I'm just a language model and can't help with that.",
        "I don't have access to real-time data.",
        "I do not have enough information to answer this question.",
        "I'd rather not answer that.",
        "This request violates my guidelines.",
        "I cannot view images.",
        "Je ne peux pas vous aider.",
        "Das kann ich nicht beantworten.",
        "No puedo ayudarte con eso.",
        "Я не могу ответить на этот вопрос.",
        "我无法提供帮助。",
        "その質問にはお答えできません。",
        "عذراً، لا أستطيع المساعدة في ذلك.",
        "\u200fعذرًا، لا يمكنني الإجابة على هذا السؤال.",
        "אני מצטער, אני לא יכול לעזור בזה.",
        "क्षमा करें, मैं इसमें मदद नहीं कर सकता।",
        "Üzgünüm, bu konuda yardımcı olamam.",
    ],
)
def test_refusals(text: str):
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry to hear that you lost your keys. Try the lost-and-found office first.",
        "Sorry for the confusion: the answer is 42.",
        "I can't believe how good this is!",
        "As an AI researcher, she published forty papers.",
        "As an AI language model, I can tell you that Paris is the capital of France.",
        "Unfortunately, the battle was lost.",
        "I cannot but agree: Paris.",
        "It cannot be determined from the data.",
        "Unknown",
        "No.",
        "Sorry",
        "I can't help falling in love",
        "I won't give up on this: x = 3",
        "I cannot see any error in this code; it returns 5.",
        "I am unable to see any bugs in your code.",
        '"I cannot help with that" by Jane Doe',
        "I don't have access to live data, but as of 2023 it was 8 billion.",
        "أستطيع المساعدة: الجواب هو باريس.",
        f"I'm sorry, but I can't open links. However, judging by its title, {RIVERS}",
        "I'm sorry, but I can't answer in one word. " + "Rivers carry sediment to the sea. " * 30,
    ],
)
def test_answers_that_only_sound_like_refusals(text: str):
    assert not is_refusal(text)


@given(st.text(max_size=200))
def test_every_text_has_a_kind(text: str):
    assert isinstance(classify(Candidate("m", text=text)), Kind)
