"""Asks one question; what the two files differ in is the one line of the model, and its import."""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_semcascade import ChatSemCascade

model = ChatSemCascade(ensemble=["openai/gpt-5-nano", "deepseek/deepseek-chat"], target="openai/gpt-5")

chain = ChatPromptTemplate.from_template("Answer in one word: {question}") | model | StrOutputParser()
print(chain.invoke({"question": "What is the capital of Japan?"}))
