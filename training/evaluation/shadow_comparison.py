"""How a model in shadow compares with the live one: how often they agree, and who was right where
that is known.

Counted are the newest `WINDOW` answers, each picture once. The truth about one is a reviewer's
decision, or else the verdict of the user who sent it: OK says that the live model is right, NOK
that it is not, perhaps with what it is. A picture that one of the two has learned from is no
evidence, as on such a picture anybody would be right.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.errors import InvalidInput
from common.numbers import natural_number
from common.pagination import KeysetPage, keyset_page
from predictions.models import Feedback, ModelVersion, Project, ShadowPrediction
from review import ground_truth
from training.evaluation.significance import (
    PairedCorrectness,
    PairedOutcomes,
    count_outcomes,
    wilson_interval,
)
from training.models import DatasetItem

WINDOW = 5000
PAGE = 24
AT_ONCE = 500  # keys in one query
NO_CATEGORY = 0  # what is no category of the project (any more): never right


class PredictionPair(NamedTuple):
    """What two models said of one picture, as ids of categories."""

    prediction: int
    sample: int
    live: int
    shadow: int


@dataclass(frozen=True)
class ShadowComparison:
    """What speaks for and against a switch from `live` to `shadow`."""

    shadow: ModelVersion
    live: ModelVersion
    compared: int
    agreeing: int
    names: list[str]
    counts: list[list[int]]  # row = what the live model said, column = what the shadow said
    by_verdicts: PairedOutcomes
    by_decisions: PairedOutcomes
    together: PairedOutcomes
    live_ms: float | None
    shadow_ms: float | None
    is_cut: bool  # there are older answers that are not counted
    # Pictures that one of them was trained on, which say nothing about who is better
    learned_from: int = 0
    # Why there was no answer, and how often
    silent: list[tuple[str, int]] = field(default_factory=list)

    @property
    def agreement(self) -> float | None:
        return self.agreeing / self.compared if self.compared else None

    @property
    def agreement_between(self) -> tuple[float, float] | None:
        return wilson_interval(self.agreeing, self.compared)

    @property
    def unanswered_count(self) -> int:
        return sum(count for _reason, count in self.silent)

    @property
    def sentence(self) -> str:
        """Say in plain words whether that is enough to switch."""
        counts = self.together
        if not counts.count:
            return _(
                "No picture has a known label yet: that takes users' verdicts or reviewers' "
                "decisions."
            )
        sentence = ngettext(
            "Of %(count)d picture with a known label, the shadow is right on %(shadow)d, "
            "the live model on %(live)d.",
            "Of %(count)d pictures with a known label, the shadow is right on "
            "%(shadow)d, the live model on %(live)d.",
            counts.count,
        )
        figures = {"count": counts.count, "shadow": counts.second_right, "live": counts.first_right}
        return f"{sentence % figures} {self._conclusion}"

    @property
    def _conclusion(self) -> str:
        if self.together.is_second_better:
            return _("That is enough evidence to switch.")
        if self.together.is_first_better:
            return _("That is enough evidence to stay with the live model.")
        return _("That is not enough evidence yet.")


def live_version_during(shadow: ModelVersion) -> ModelVersion | None:
    """Return the version that was live when this one answered last in shadow, or None before its
    first answer.
    """
    newest = (
        shadow.shadow_predictions.select_related("prediction__model_version")
        .order_by("-pk")
        .first()
    )
    return newest.prediction.model_version if newest else None


def compare_shadow(shadow: ModelVersion, live: ModelVersion) -> ShadowComparison:
    answers, is_cut = _window(shadow, live)
    fields = ("prediction", "prediction__sample", "prediction__top", "top", "agrees", "error")
    rows = list(answers.values_list(*fields, "prediction__latency_ms", "latency_ms"))
    answered = [row for row in rows if not row[5]]
    names = dict(shadow.project.categories.values_list("pk", "name"))
    verdicts = _verdicts([row[0] for row in answered], {name: pk for pk, name in names.items()})
    decisions = _decisions(shadow.project, [row[1] for row in answered])
    pairs: dict[int, tuple[PredictionPair, bool]] = {}
    for prediction, sample, live_top, top, agrees, *_rest in answered:
        pair = PredictionPair(prediction, sample, live_top or NO_CATEGORY, top or NO_CATEGORY)
        if sample not in pairs or (
            pairs[sample][0].prediction not in verdicts and prediction in verdicts
        ):
            pairs[sample] = pair, agrees
    kept = [pair for pair, _agrees in pairs.values()]
    shown = _named(kept, names)
    learned = _learned_from([pair.sample for pair in kept], (shadow, live))
    judged = [pair for pair in kept if pair.sample not in learned]
    return ShadowComparison(
        shadow=shadow,
        live=live,
        compared=len(kept),
        agreeing=sum(agrees for _pair, agrees in pairs.values()),
        names=shown,
        counts=_cross(kept, names, shown),
        by_verdicts=count_outcomes(
            _marked(judged, lambda pair: verdicts.get(pair.prediction, _unknown)(pair))
        ),
        by_decisions=count_outcomes(
            _marked(judged, lambda pair: decisions.get(pair.sample, _unknown)(pair))
        ),
        together=count_outcomes(
            _marked(
                judged,
                lambda pair: (
                    decisions.get(pair.sample) or verdicts.get(pair.prediction, _unknown)
                )(pair),
            )
        ),
        live_ms=median([row[6] for row in answered]) if answered else None,
        shadow_ms=median([row[7] for row in answered]) if answered else None,
        learned_from=len(learned),
        is_cut=is_cut,
        silent=Counter(row[5] for row in rows if row[5]).most_common(),
    )


def disagreements(
    shadow: ModelVersion, live: ModelVersion, before: str = "", *, size: int = PAGE
) -> KeysetPage[ShadowPrediction]:
    """Return a page of the answers in which the two differ, the newest first.

    Raises:
        InvalidInput: if `before` is no end of a page.
    """
    last = natural_number(before)
    if before and last is None:
        raise InvalidInput(
            _("This is not the end of a page. Please follow the links from page to page.")
        )
    rows = shadow.shadow_predictions.filter(agrees=False, prediction__model_version=live)
    rows = rows.select_related("top", "prediction__top", "prediction__sample")
    return keyset_page(rows, after=last, size=size)


TruthLookup = Callable[[PredictionPair], PairedCorrectness | None]


def _unknown(pair: PredictionPair) -> None:
    return None


def _it_is(*categories: int) -> TruthLookup:
    """Judge by what the picture shows: the first answer is right if that is among it."""
    known = {one for one in categories if one != NO_CATEGORY}
    return lambda pair: (pair.live in known, pair.shadow in known)


def _live_is_right(pair: PredictionPair) -> PairedCorrectness:
    return True, pair.shadow == pair.live


def _live_is_wrong(pair: PredictionPair) -> PairedCorrectness | None:
    """A NOK without a category: who said the same is wrong too, and of who did not nothing is
    known.
    """
    return (False, False) if pair.shadow == pair.live else None


def _verdicts(predictions: Sequence[int], categories: dict[str, int]) -> dict[int, TruthLookup]:
    """Return, by prediction, what the users' verdicts say about an answer; "not sure" says
    nothing.
    """
    judges: dict[int, TruthLookup] = {}
    for keys in _in_parts(predictions):
        given = Feedback.objects.filter(prediction__in=keys).exclude(
            verdict=Feedback.Verdict.UNSURE
        )
        for key, verdict, category, name in given.values_list(
            "prediction", "verdict", "category", "suggestion"
        ):
            if verdict == Feedback.Verdict.OK:
                judges[key] = _live_is_right
            elif category or name:
                judges[key] = _it_is(category or categories.get(name, NO_CATEGORY))
            else:
                judges[key] = _live_is_wrong
    return judges


def _decisions(project: Project, samples: Sequence[int]) -> dict[int, TruthLookup]:
    """Return, by sample, what the reviewers' decisions say about an answer."""
    labelled = ground_truth.labelled_samples(project)
    rows = (row for keys in _in_parts(samples) for row in labelled.filter(pk__in=keys))
    additional = ground_truth.additional_categories(project)
    return {
        row.pk: _it_is(row.true_category_id, *additional.get(row.pk, ()))  # type: ignore[attr-defined]  # annotated
        for row in rows
    }


def _learned_from(samples: Sequence[int], versions: Iterable[ModelVersion]) -> set[int]:
    """Return which samples one of these versions was trained or tuned on."""
    seen = DatasetItem.objects.filter(dataset__runs__model_version__in=list(versions))
    seen = seen.exclude(split=DatasetItem.Split.TEST)
    return {
        key
        for keys in _in_parts(samples)
        for key in seen.filter(sample__in=keys).values_list("sample", flat=True)
    }


def _marked(pairs: Iterable[PredictionPair], judge: TruthLookup) -> Iterator[PairedCorrectness]:
    for pair in pairs:
        if (marks := judge(pair)) is not None:
            yield marks


def _window(shadow: ModelVersion, live: ModelVersion) -> tuple[QuerySet[ShadowPrediction], bool]:
    """Return the newest answers beside the live model, and whether there are older ones.

    Cut by key, so that neither a COUNT nor a long walk is ever needed.
    """
    own = ShadowPrediction.objects.filter(model_version=shadow)
    just_too_old = own.order_by("-pk").values_list("pk", flat=True)[WINDOW:].first()
    newest = own.filter(pk__gt=just_too_old or 0, prediction__model_version=live).order_by("-pk")
    return newest, just_too_old is not None


def _named(pairs: Iterable[PredictionPair], names: dict[int, str]) -> list[str]:
    return sorted({_name(each, names) for pair in pairs for each in (pair.live, pair.shadow)})


def _name(category: int, names: dict[int, str]) -> str:
    return names.get(category) or _("no category any more")


def _cross(
    pairs: Iterable[PredictionPair], names: dict[int, str], shown: Sequence[str]
) -> list[list[int]]:
    place = {name: i for i, name in enumerate(shown)}
    counts = [[0] * len(shown) for _name_ in shown]
    for pair in pairs:
        counts[place[_name(pair.live, names)]][place[_name(pair.shadow, names)]] += 1
    return counts


def _in_parts(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]
