"""The gate: whether a candidate may replace the live model without a person's word.

Both models are asked about the same pictures, and only what chance does not explain counts. A
candidate is *worse* if it loses more than equal models would; it is *not worse* if what it may
have lost is smaller than the project's margin, at 95 % confidence; otherwise the pictures do not
tell, and a person decides. How often each happens is simulated in bench/README.md.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from training.evaluation.significance import ALPHA, PairedOutcomes, count_outcomes, largest_loss

MIN_TEST_SAMPLES = 10
MOST_MORE_PICTURES = 1000  # beyond that, nobody would go and label them


class ComparisonVerdict(StrEnum):
    FIRST = "first"  # there is no live model to be worse than
    NOT_WORSE = "not_worse"
    WORSE = "worse"
    UNCLEAR = "unclear"  # not enough evidence


@dataclass(frozen=True)
class EvaluationComparison:
    verdict: ComparisonVerdict
    sentence: str

    @property
    def passes(self) -> bool:
        return self.verdict in (ComparisonVerdict.FIRST, ComparisonVerdict.NOT_WORSE)


@dataclass(frozen=True)
class PairedAnswer:
    """One test picture, and whether each of two models had it right.

    `category` is the true one; `is_new` says that the live model does not know it, `is_nok` that a
    user had said NOK to the picture.
    """

    category: str
    live: bool
    candidate: bool
    is_new: bool = False
    is_nok: bool = False


@dataclass(frozen=True)
class GateFacts:
    """What both models did: on the categories that both know, and on each that is new."""

    shared: PairedOutcomes
    new: dict[str, PairedOutcomes]

    @property
    def new_right(self) -> int:
        return sum(each.second_right for each in self.new.values())

    @property
    def new_count(self) -> int:
        return sum(each.count for each in self.new.values())


def find_facts(pairs: Sequence[PairedAnswer]) -> GateFacts:
    """Count what the gate judges by, for whoever tells it in other words."""
    names = sorted({each.category for each in pairs if each.is_new})
    return GateFacts(
        shared=_outcomes(pairs, lambda each: not each.is_new),
        new={
            name: _outcomes(pairs, lambda each, name=name: each.is_new and each.category == name)  # type: ignore[misc]
            for name in names
        },
    )


def compare_answers(pairs: Sequence[PairedAnswer], margin: float) -> EvaluationComparison:
    """Say whether the candidate is not worse than the live model.

    A category that the candidate newly knows is a gain, one picture of it as much as another. What
    it costs on the other categories must be within what chance explains.

    Args:
        pairs: the test pictures that both models could be asked about.
        margin: how much of the accuracy a model may cost at most, as a share.
    """
    shared = [each for each in pairs if not each.is_new]
    if len(shared) < MIN_TEST_SAMPLES:
        return EvaluationComparison(ComparisonVerdict.UNCLEAR, _too_few(len(shared)))
    figures = _figures(pairs, shared)
    for problem in (_worse_on_noks(pairs), _worse_in_all(shared), _worse_in_one(shared)):
        if problem:
            return EvaluationComparison(ComparisonVerdict.WORSE, f"{problem} {figures}")
    outcomes = _outcomes(pairs)
    if outcomes.largest_loss < margin:
        sentence = _("Not worse than the live model.")
        return EvaluationComparison(ComparisonVerdict.NOT_WORSE, f"{sentence} {figures}")
    sentence = _unclear(outcomes, margin)
    return EvaluationComparison(ComparisonVerdict.UNCLEAR, f"{sentence} {figures}")


def _worse_on_noks(pairs: Sequence[PairedAnswer]) -> str:
    noks = _outcomes(pairs, lambda each: each.is_nok)
    if noks.p_worse >= ALPHA:
        return ""
    return _(
        "Worse than the live model on pictures that users had said NOK to: %(candidate)d of "
        "%(count)d right, the live one %(live)d. Chance does not explain that."
    ) % {"candidate": noks.second_right, "live": noks.first_right, "count": noks.count}


def _worse_in_all(shared: Sequence[PairedAnswer]) -> str:
    if _outcomes(shared).p_worse >= ALPHA:
        return ""
    return _("Worse than the live model; chance does not explain that.")


def _worse_in_one(shared: Sequence[PairedAnswer]) -> str:
    """Say which category suffers most, if chance does not explain it; "" if none does."""
    found = {
        name: _outcomes(shared, lambda each, name=name: each.category == name)  # type: ignore[misc]
        for name in {each.category for each in shared}
    }
    name, worst = min(found.items(), key=lambda item: (item[1].p_worse, item[0]))
    # One of many is found by chance more easily than one that was named before (Bonferroni)
    if worst.p_worse * len(found) >= ALPHA:
        return ""
    return _(
        "Worse than the live model on “%(name)s”: %(candidate)d of %(count)d right, the live one "
        "%(live)d. Chance does not explain that."
    ) % {
        "name": name,
        "candidate": worst.second_right,
        "live": worst.first_right,
        "count": worst.count,
    }


def _unclear(outcomes: PairedOutcomes, margin: float) -> str:
    sentence = _(
        "Not enough evidence: it may be worse by up to %(loss)s points, and this project allows "
        "%(margin)s."
    ) % {"loss": _points(outcomes.largest_loss), "margin": _points(margin)}
    more = _more_samples(outcomes, margin)
    if not more:
        return sentence
    advice = ngettext(
        "About %(count)d more test sample would tell.",
        "About %(count)d more test samples would tell.",
        more,
    )
    return f"{sentence} {advice % {'count': more}}"


def _more_samples(outcomes: PairedOutcomes, margin: float) -> int:
    """Return how many more would let it pass if they went as these did; 0 if none would."""
    lost, gained, count = outcomes.first_alone, outcomes.second_alone, outcomes.count
    for more in range(10, MOST_MORE_PICTURES + 1, 10):
        grown = 1 + more / count
        if largest_loss(round(lost * grown), round(gained * grown), count + more) < margin:
            return more
    return 0


def _figures(pairs: Sequence[PairedAnswer], shared: Sequence[PairedAnswer]) -> str:
    outcomes = _outcomes(shared)
    right = {
        "candidate": outcomes.second_right,
        "live": outcomes.first_right,
        "count": outcomes.count,
    }
    new = sorted({each.category for each in pairs if each.is_new})
    if not new:
        return (
            _("%(candidate)d of %(count)d test samples are right; the live model has %(live)d.")
            % right
        )
    names = ", ".join(_gain(name, pairs) for name in new)
    return _(
        "Newly knows %(names)s. On the categories that both know, %(candidate)d of %(count)d test "
        "samples are right; the live model has %(live)d."
    ) % (right | {"names": names})


def _gain(name: str, pairs: Sequence[PairedAnswer]) -> str:
    outcomes = _outcomes(pairs, lambda each: each.is_new and each.category == name)
    return _("“%(name)s” (%(right)d of %(count)d)") % {
        "name": name,
        "right": outcomes.second_right,
        "count": outcomes.count,
    }


def _too_few(count: int) -> str:
    return ngettext(
        "Not enough evidence: only %(count)d test sample could be compared; at least %(fewest)d "
        "are needed.",
        "Not enough evidence: only %(count)d test samples could be compared; at least %(fewest)d "
        "are needed.",
        count,
    ) % {"count": count, "fewest": MIN_TEST_SAMPLES}


def _outcomes(
    pairs: Iterable[PairedAnswer], wanted: Callable[[PairedAnswer], bool] = lambda _each: True
) -> PairedOutcomes:
    return count_outcomes((each.live, each.candidate) for each in pairs if wanted(each))


def _points(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.1f}"
