"""What signals are worth on recorded answers of real models: `python -m tests.benchmarks.quality [--five] [SIGNAL ...]`.

Reads the recorded sets beside the checkout, `../shared/data`, and says which are missing. The ensemble of each set
is its own suggestion, the best member first; with `--five`, five members where a set has as many below its target,
which tells how answers are chosen where more vote. Nothing is fitted. Gains are areas between deferral curves: over
deferral at random of the same answers, and over the strict chord, the best single member mixed at random with the
target. `length` defers the longest questions first (gain over random / over the chord).
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from semcascade.cli.tables import plain_table
from semcascade.config import CascadeConfig
from semcascade.evaluation import Row, evaluate, read_rows
from semcascade.evaluation.curve import Outcome, chord_gain, gain
from semcascade.evaluation.observed import observe
from semcascade.evaluation.prices import Prices
from semcascade.messages import question_text

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

SETS: dict[str, tuple[tuple[str, ...], str]] = {
    "mt_wmt24_esa_encs": (("Aya23", "Llama3-70B", "IKUN-C"), "Claude-3.5"),
    "mt_wmt24_esa_enzh": (("Aya23", "Llama3-70B", "IKUN-C"), "GPT-4"),
    "mt_wmt22_gptmt_zhen": (("ChatGPT", "text-davinci-003-RR1", "text-davinci-002"), "GPT-4"),
    "qa_evouna_nq": (("chatgpt", "fid", "gpt35"), "gpt4"),
    "summ_summeval": (("ROUGESal", "Closed-book-decoder", "Pointer-Generator"), "BART"),
    "instruct_alpacaeval_v1": (("wizardlm-13b", "llama-2-7b-chat-hf", "vicuna-13b"), "gpt4_0314"),
    "multiturn_mtbench": (("mistral-7b-orpo-mix", "llama2-7b-chat", "vicuna-7b"), "gpt-4-1106-preview"),
    "math_gsm8k": (("Qwen2-7B-Instruct", "reka-flash-20240226", "Mixtral-8x7B-Instruct-v0.1"), "gpt-4o-2024-08-06"),
    "code_crux": (("claude-3-haiku-20240307", "gpt-3.5-turbo-0125", "Meta-Llama-3-8B-Instruct"), "gpt-4o-2024-08-06"),
    "code_humaneval": (("codellama", "claude", "starcoder"), "gpt-4-1106-preview"),
    "tool_bfcl": (
        ("gpt-3.5-turbo-0125", "claude-3-haiku-20240307", "open-mistral-nemo-2407"), "claude-3-5-sonnet-20240620",
    ),
}  # fmt: skip
"""Each set's suggested ensemble, the best member first, and its target."""

FIVE: dict[str, tuple[str, ...]] = {
    "mt_wmt24_esa_encs": ("Aya23", "IKUN", "CUNI-GA", "Llama3-70B", "IKUN-C"),
    "mt_wmt24_esa_enzh": ("Aya23", "HW-TSC", "Llama3-70B", "IKUN", "IKUN-C"),
    "mt_wmt22_gptmt_zhen": (
        "ChatGPT", "text-davinci-003-0shot", "text-davinci-003-QR5", "text-davinci-003-RR1", "text-davinci-002",
    ),
    "summ_summeval": ("ROUGESal", "Closed-book-decoder", "Multi-task-Ent-QG", "Pointer-Generator", "Fast-abs-RL"),
    "instruct_alpacaeval_v1": (
        "llama-2-13b-chat-hf", "wizardlm-13b", "phi-2-sft", "llama-2-7b-chat-hf", "vicuna-13b",
    ),
    "multiturn_mtbench": (
        "mistral-7b-orpo-trl", "ultrachat-baseline-7b", "mistral-7b-orpo-mix", "llama2-7b-chat", "vicuna-7b",
    ),
    "math_gsm8k": (
        "Qwen2-7B-Instruct", "Meta-Llama-3-8B-Instruct", "gpt-3.5-turbo-0125", "reka-flash-20240226",
        "Mixtral-8x7B-Instruct-v0.1",
    ),
    "code_crux": (
        "claude-3-haiku-20240307", "gpt-3.5-turbo-0125", "Mixtral-8x7B-Instruct-v0.1", "gemma-2-9b-it",
        "Meta-Llama-3-8B-Instruct",
    ),
    "code_humaneval": ("codellama", "claude", "bard", "starcoder", "instruct-codegen-16B"),
    "tool_bfcl": (
        "command-r-plus", "gpt-3.5-turbo-0125", "gemini-1.0-pro", "claude-3-haiku-20240307", "open-mistral-nemo-2407",
    ),
}  # fmt: skip
"""Ensembles of five, the suggested three among them, the best member first."""

SIGNALS = ("agreement", "semantic_entropy", "snne", "eigv")


def read(name: str) -> list[Row] | None:
    """Return a set's rows, or None where it is not on this machine."""
    path = DATA / f"{name}.jsonl"
    return list(read_rows(path)) if path.is_file() else None


async def length_baseline(rows: Sequence[Row], ensemble: Sequence[str], target: str) -> Outcome:
    """Return the outcome of deferring the longest questions first."""
    observed = await observe(rows, CascadeConfig.build(ensemble=list(ensemble), target=target))
    outcome = observed.outcome(Prices.of(observed.paid, observed.tiers, answers=observed.answers))
    lengths = {row.id: -float(len(question_text(row.messages))) for row in rows}
    reliability = np.array([[lengths[name] for name in observed.ids]])
    return dataclasses.replace(outcome, reliability=reliability)


async def measure(signals: Sequence[str], ensembles: Mapping[str, tuple[str, ...]], console: Console) -> None:
    """Print one table a signal, and their mean gains over the chord."""
    sets = {name: rows for name in ensembles if (rows := read(name)) is not None}
    for name in ensembles.keys() - sets.keys():
        console.print(f"skipped {name}: not in the folder of recorded sets")
    for signal in signals:
        numbers = (
            "rows",
            "best member",
            "chosen",
            "target",
            "gain",
            "over chord",
            "of oracle",
            "length",
            "cost at 99 %",
        )
        table = plain_table(signal, *numbers, right=numbers)
        gains = []
        for name, rows in sets.items():
            ensemble, target = ensembles[name], SETS[name][1]
            it = await evaluate(rows, ensemble, target, signal=signal)
            length = await length_baseline(rows, ensemble, target)
            gains.append(it.chord_gain)
            low, high = it.chord_gain_ci
            table.add_row(
                name,
                str(it.n),
                f"{it.best_member[1]:.3f}",
                f"{it.ensemble_quality:.3f}",
                f"{it.target_quality:.3f}",
                f"{it.gain:+.4f} ({it.gain_ci[0]:+.3f} to {it.gain_ci[1]:+.3f})",
                f"{it.chord_gain:+.4f} ({low:+.3f} to {high:+.3f})",
                "–" if it.oracle_share is None else f"{it.oracle_share:.0%}",
                f"{gain(length):+.4f} / {chord_gain(length):+.4f}",
                f"{it.cost_at_99:.0%}",
            )
        console.print(table)
        if gains:
            console.print(f"{signal}: mean gain over the chord {np.mean(gains):+.4f}\n")


if __name__ == "__main__":
    asked = [name for name in sys.argv[1:] if name != "--five"]
    taken = FIVE if "--five" in sys.argv else {name: ensemble for name, (ensemble, _) in SETS.items()}
    asyncio.run(measure(asked or SIGNALS, taken, Console(width=160)))
