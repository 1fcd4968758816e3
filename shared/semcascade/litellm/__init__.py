"""Cascades as models of LiteLLM, `semcascade/NAME`, for everything that asks its models through LiteLLM.

>>> from semcascade import ScriptedTransport
>>> from semcascade.litellm import register, unregister
>>> script = ScriptedTransport({"a": "4", "b": "four", "big": "4"})
>>> cascade = register("sums", ensemble=["a", "b"], target="big", transport=script)
>>> import litellm
>>> response = litellm.completion(model="semcascade/sums", messages=[{"role": "user", "content": "What is 2 + 2?"}])
>>> response.choices[0].message.content, response._hidden_params["semcascade"]["accepted"]
('4', True)
>>> unregister("sums")
"""

from semcascade.litellm.models import PROVIDER, provider, register, registered, unregister

__all__ = ["PROVIDER", "provider", "register", "registered", "unregister"]
