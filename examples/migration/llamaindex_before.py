"""Asks one question; what the two files differ in is the one line of the model, and its import."""

from llama_index.core import Document, Settings, SummaryIndex
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-5")

index = SummaryIndex.from_documents([Document(text="The lighthouse of Brava is 31 metres high.")])
print(index.as_query_engine().query("How high is the lighthouse of Brava?"))
