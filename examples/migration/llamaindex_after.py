"""Asks one question; what the two files differ in is the one line of the model, and its import."""

from llama_index.core import Document, Settings, SummaryIndex
from llamaindex_semcascade import SemCascade

Settings.llm = SemCascade(ensemble=["openai/gpt-5-nano", "deepseek/deepseek-chat"], target="openai/gpt-5")

index = SummaryIndex.from_documents([Document(text="The lighthouse of Brava is 31 metres high.")])
print(index.as_query_engine().query("How high is the lighthouse of Brava?"))
