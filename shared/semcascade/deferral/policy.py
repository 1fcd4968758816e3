"""A fitted policy: what decides, by which thresholds, what is promised, and what it was fitted on. Data only.

A policy is plain JSON with a versioned schema. It is checked as a hostile file would have to be: unknown keys,
wrong shapes, numbers that are not finite, deep nesting and too much of anything are refused, and nothing in it is
ever run. Reading and writing files is the engine's (`semcascade.load_policy`, `semcascade.save_policy`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from semcascade.deferral.certificate import Certificate
from semcascade.deferral.router import RouterPolicy
from semcascade.deferral.tables import Curve, Finite, FloatArray, Regression, Share, Table
from semcascade.errors import ConfigError
from semcascade.locks import cached_property

__all__ = ["MAX_BYTES", "Bin", "Fingerprint", "Policy", "QualityModel", "Reference", "TierPolicy", "WordWeights"]

MAX_BYTES = 16_000_000
"""No policy file is longer."""

MAX_SIMILARITY = 4_000
"""No similarity's settings are longer, in characters of JSON."""

BINS = 20
"""Bins of equal width over [0, 1] in a reference histogram."""

Name = Annotated[str, Field(max_length=500)]
Count = Annotated[int, Field(ge=0, le=10**12)]


class Bin(Table):
    """A threshold for some answers only: those of a kind, those up to a length, or both."""

    threshold: Share | None = None
    """Least score at which such an answer is accepted; None: never."""
    kind: Name | None = None
    """What the answer is (`"number"`, `"long"`, ...); None: whatever it is."""
    up_to: Count | None = None
    """Longest answer, in characters, that it holds for; None: any length."""

    def holds(self, kind: str, length: int) -> bool:
        """Say whether an answer falls into the bin."""
        return self.kind in (None, kind) and (self.up_to is None or length <= self.up_to)


class Reference(Table):
    """How the tier scored the rows it was fitted on; production is held against it to notice drift."""

    rows: Count
    acceptance_rate: Share
    histogram: list[Count] = Field(min_length=BINS, max_length=BINS)
    """Rows by score, in bins of equal width from 0 to 1."""
    loss: Finite | None = None
    """Mean quality lost against the target on these rows where accepted, if known."""


class WordWeights(Table):
    """Weights of hashed character n-grams, see `semcascade.deferral.wording`."""

    buckets: Literal[64, 128, 256, 512, 1024, 2048, 4096]
    question: list[list[Finite]] = Field(max_length=65)
    """For each output of the model one for each bucket of the question."""
    answers: list[Finite]
    """One for each bucket of an answer, added to that answer's output."""

    @cached_property
    def of_question(self) -> FloatArray:
        """(outputs, buckets)."""
        return np.array(self.question, dtype=np.float64)

    @cached_property
    def of_answers(self) -> FloatArray:
        """(buckets,)."""
        return np.array(self.answers, dtype=np.float64)

    def fits(self, outputs: int) -> bool:
        """Say whether the weights are for this many outputs."""
        return (
            len(self.question) == outputs
            and len(self.answers) == self.buckets
            and all(len(weights) == self.buckets for weights in self.question)
        )


class QualityModel(Table):
    """Predicts the quality of each member's answer and of the target's, from features of what was said.

    The answer of the best predicted member is chosen, the primary's unless another's lead exceeds `margin`. The
    score is 1/2 + (predicted quality of that answer - predicted quality of the target's) / 2.
    """

    features: list[Name] = Field(max_length=5_000)
    center: list[Finite]
    scale: list[Finite]
    """Features are centred and divided by these; one that is missing counts as its centre."""
    qualities: Regression
    """One output for each answer of the tier, in its order, and a last one for the target's."""
    words: WordWeights | None = None
    link: Literal["identity", "logistic"] = "identity"
    """How sums become qualities: as they are, or by 1 / (1 + exp(-sum))."""
    primary: Annotated[int, Field(ge=0)] = 0
    """The answer that is kept among equals; the best member's on the rows of the fit."""
    margin: Share = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        n = len(self.features)
        if len(set(self.features)) < n:
            raise ValueError("features: a name stands there twice")
        if len(self.center) != n or len(self.scale) != n or any(scale <= 0 for scale in self.scale):
            raise ValueError(f"center and scale need {n} numbers each, the scales greater than 0")
        if not self.qualities.fits(n):
            raise ValueError(f"qualities: its tables are not made for {n} features")
        if self.words is not None and not self.words.fits(len(self.qualities.constant)):
            raise ValueError("words: the weights are not made for these buckets and outputs")
        if self.primary >= self.members:
            raise ValueError("primary: there is no such member")
        return self

    @property
    def members(self) -> int:
        """How many answers it tells apart."""
        return len(self.qualities.constant) - 1


class TierPolicy(Table):
    """How one tier decides.

    Without a model the signal decides as it does without a policy; with one, the predicted qualities do. Either
    way the score is held against the first of `bins` that the chosen answer falls into, else against `threshold`.
    """

    members: list[Name] = Field(min_length=1, max_length=64)
    """Who gives the tier's answers, in order; a member asked for several samples stands here as often."""
    similarity: Name | dict[str, Any] = "auto"
    """How answers are compared: a name, or a mapping with a name and settings."""
    signal: Name = "agreement"
    selection: Literal["auto", "central", "primary"] = "auto"
    threshold: Share | None = None
    """Least score at which an answer is accepted; None: the tier accepts nothing."""
    bins: list[Bin] = Field(default_factory=list, max_length=200)
    model: QualityModel | None = None
    calibrator: Curve | None = None
    """Score → probability that the answer is good (no worse than the target's, where rows had no labels)."""
    certificate: Certificate | None = None
    reference: Reference | None = None
    cost: Finite | None = None
    """What asking the tier costs, as a share of asking the target."""
    notes: list[Annotated[str, Field(max_length=2_000)]] = Field(default_factory=list, max_length=50)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model is not None and self.model.members != len(self.members):
            raise ValueError(f"model: it is for {self.model.members} answers, the tier has {len(self.members)}")
        if len(json.dumps(self.similarity)) > MAX_SIMILARITY:
            raise ValueError(f"similarity: its settings are longer than {MAX_SIMILARITY} characters")
        return self

    def threshold_for(self, kind: str, length: int) -> float | None:
        """Return the least score at which an answer of this kind and length is accepted; None: never."""
        return next((one.threshold for one in self.bins if one.holds(kind, length)), self.threshold)


class Fingerprint(Table):
    """Which data a policy was fitted on."""

    rows: Count
    digest: Annotated[str, Field(max_length=128)]
    """Hash of the rows' ids, answers and qualities."""
    quality: Name
    """Where the qualities came from: the way that `semcascade score` calls so, or `"scores"`, which say no more."""

    @property
    def likeness(self) -> bool:
        """Whether qualities are likeness to the target's own answer."""
        return self.quality.partition(":")[0] == "target"


class Policy(Table):
    """A fitted policy for a whole cascade.

    >>> tier = {"members": ["a", "b"], "threshold": 0.7}
    >>> policy = Policy.from_dict({"semcascade_policy": 1, "target": "t", "tiers": [tier]})
    >>> policy.tiers[0].threshold_for("short", 12)
    0.7
    """

    semcascade_policy: Literal[1]
    """Version of the schema."""
    library: Name = ""
    """Version of semcascade that fitted it."""
    target: Name
    tiers: list[TierPolicy] = Field(min_length=1, max_length=16)
    """One for each tier but the last, in order."""
    router: RouterPolicy | None = None
    """Where queries start; at the first tier where there is none. What is promised is promised with it in place."""
    data: Fingerprint | None = None
    notes: list[Annotated[str, Field(max_length=2_000)]] = Field(default_factory=list, max_length=50)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.router is not None and len(self.router.tiers) != len(self.tiers):
            raise ValueError(f"router: it is for {len(self.router.tiers)} tiers, the policy has {len(self.tiers)}")
        return self

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a policy from plain data.

        Raises:
            ConfigError: If it is not a policy of a known version, complete and in range.
        """
        version = data.get("semcascade_policy")
        if version != 1 or isinstance(version, bool):
            raise ConfigError(f"expected version 1 of the schema, found {str(version)[:40]!r}", field="policy")
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part)[:40] for part in first["loc"])
            raise ConfigError(
                f"{where or 'it'}: {first['msg'].removeprefix('Value error, ')}", field="policy"
            ) from None
        except RecursionError:
            raise ConfigError("it is nested too deeply", field="policy") from None

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a policy from JSON.

        Raises:
            ConfigError: If it is too long, not JSON, or not a policy.
        """
        if len(text) > MAX_BYTES:
            raise ConfigError(f"it is longer than {MAX_BYTES // 1_000_000} MB", field="policy")
        try:
            data = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
        except RecursionError:
            raise ConfigError("it is nested too deeply", field="policy") from None
        except ValueError as error:
            raise ConfigError(f"it is not valid JSON: {str(error)[:200]}", field="policy") from None
        if not isinstance(data, dict):
            raise ConfigError(f"expected an object, got a {type(data).__name__}", field="policy")
        return cls.from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """Return the policy as plain data; `from_dict` takes it back."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)

    def to_json(self) -> str:
        """Return the policy as JSON, laid out for readers where it has no model."""
        indent = None if self.router or any(tier.model for tier in self.tiers) else 1
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent) + "\n"

    @property
    def certificate(self) -> Certificate | None:
        """What is promised, by the first tier that promises anything; all tiers promise the same."""
        return next((tier.certificate for tier in self.tiers if tier.certificate is not None), None)

    @cached_property
    def digest(self) -> str:
        """Name of the policy by its content; two policies that decide differently have different ones."""
        text = json.dumps(self.to_dict(), sort_keys=True, allow_nan=False)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
