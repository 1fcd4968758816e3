"""Agreement, without labels, on recorded answers of real models; skipped where the sets are not beside the checkout."""

import pytest

from semcascade.evaluation import evaluate
from tests.benchmarks.quality import SETS, read

STRONG = {"math_gsm8k", "code_crux", "code_humaneval", "tool_bfcl"}


@pytest.mark.parametrize("name", sorted(SETS))
async def test_agreement_is_never_worse_than_chance_and_strong_where_answers_can_be_told_equal(name):
    rows = read(name)
    if rows is None:
        pytest.skip(f"{name} is not in the folder of recorded sets")
    found = await evaluate(rows, *SETS[name])
    assert found.chord_gain_ci[1] > 0, "below the best member mixed at random with the target, beyond noise"
    assert found.n_effective <= 3
    if name in STRONG:
        assert found.chord_gain > 0.025
        assert found.chord_gain_ci[0] > 0
