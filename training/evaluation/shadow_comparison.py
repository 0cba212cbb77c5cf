"""How a model in shadow compares with the live one: agreement, and who was right if known.

Counted are the newest `WINDOW` answers, each picture once. The truth about one is a reviewer's
decision, or else the verdict of the user who sent it: OK says that the live model is right, NOK
that it is not, perhaps with what it is. A picture that one of the two has learned from is no
evidence, as on such a picture anybody would be right.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.errors import InvalidInput
from common.numbers import natural_number
from common.pagination import KeysetPage, keyset_page
from predictions.models import Category, Feedback, ModelVersion, Project, ShadowPrediction
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
NO_CATEGORY = 0  # an answer that is no category of the project (any more)
UNKNOWN_CATEGORY = -1  # a suggestion that is none: no answer is equal to it


class PredictionPair(NamedTuple):
    """The answers of two models to one picture, as ids of categories."""

    prediction: int
    sample: int
    live: int
    shadow: int
    agrees: bool


@dataclass(frozen=True)
class ShadowComparison:
    """What speaks for and against a switch from `live` to `shadow`."""

    shadow: ModelVersion
    live: ModelVersion
    compared: int
    agreeing: int
    names: list[str]
    counts: list[list[int]]  # row = the live model's answer, column = the shadow's
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
        """Return in plain words whether that is enough to switch."""
        counts = self.together
        if not counts.count:
            return _(
                "No picture has a known label yet: that takes users' verdicts or reviewers' "
                "decisions."
            )
        sentence = ngettext(
            "Of %(count)d picture with a known label, the shadow is right on %(shadow)d, the live "
            "model on %(live)d.",
            "Of %(count)d pictures with a known label, the shadow is right on %(shadow)d, the "
            "live model on %(live)d.",
            counts.count,
        )
        figures = {"count": counts.count, "shadow": counts.second_right, "live": counts.first_right}
        if counts.is_second_better:
            conclusion = _("That is enough evidence to switch.")
        elif counts.is_first_better:
            conclusion = _("That is enough evidence to stay with the live model.")
        else:
            conclusion = _("That is not enough evidence yet.")
        return f"{sentence % figures} {conclusion}"


def live_version_during(shadow: ModelVersion) -> ModelVersion | None:
    """Return the version that was live at the newest answer of this one in shadow, or None."""
    newest = (
        shadow.shadow_predictions.select_related("prediction__model_version")
        .order_by("-pk")
        .first()
    )
    return newest.prediction.model_version if newest else None


def compare_shadow(shadow: ModelVersion, live: ModelVersion) -> ShadowComparison:
    """Compare the newest answers of a model in shadow with those of the live one."""
    rows, is_cut = _newest_answers(shadow, live)
    answered = [row for row in rows if not row.error]
    names = dict(Category.everywhere.filter(project=shadow.project_id).values_list("pk", "name"))
    live_answers = {row.prediction: row.prediction__top or NO_CATEGORY for row in answered}
    verdicts = _verdicts(live_answers, names)

    pairs = _one_per_picture(
        (
            PredictionPair(
                row.prediction,
                row.prediction__sample,
                live_answers[row.prediction],
                row.top or NO_CATEGORY,
                row.agrees,
            )
            for row in answered
        ),
        verdicts,
    )
    samples = [pair.sample for pair in pairs]
    learned_from = _learned_from(samples, (shadow, live))
    evidence = [pair for pair in pairs if pair.sample not in learned_from]
    decided = _decided_categories(shadow.project, samples)
    by_verdict, by_decision = _judge(evidence, verdicts, decided)

    def name(category: int) -> str:
        return names.get(category) or _("no category any more")

    shown = sorted({name(each) for pair in pairs for each in (pair.live, pair.shadow)})
    cells = Counter((name(pair.live), name(pair.shadow)) for pair in pairs)
    return ShadowComparison(
        shadow=shadow,
        live=live,
        compared=len(pairs),
        agreeing=sum(pair.agrees for pair in pairs),
        names=shown,
        counts=[[cells[row, column] for column in shown] for row in shown],
        by_verdicts=count_outcomes(by_verdict.values()),
        by_decisions=count_outcomes(by_decision.values()),
        # A reviewer's decision outweighs a user's verdict
        together=count_outcomes((by_verdict | by_decision).values()),
        live_ms=median([row.prediction__latency_ms for row in answered]) if answered else None,
        shadow_ms=median([row.latency_ms for row in answered]) if answered else None,
        learned_from=len(learned_from),
        is_cut=is_cut,
        silent=Counter(row.error for row in rows if row.error).most_common(),
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


def _newest_answers(shadow: ModelVersion, live: ModelVersion) -> tuple[list[Any], bool]:
    """Return rows of the newest answers beside the live model, and whether there are older ones."""
    own = ShadowPrediction.objects.filter(model_version=shadow)
    # Cut by key: a COUNT, or a walk to the oldest answer, would take longer with every upload
    just_too_old = own.order_by("-pk").values_list("pk", flat=True)[WINDOW:].first()
    answers = own.filter(pk__gt=just_too_old or 0, prediction__model_version=live).order_by("-pk")
    fields = ("prediction", "prediction__sample", "prediction__top", "top", "agrees", "error")
    times = ("prediction__latency_ms", "latency_ms")
    rows = list(answers.values_list(*fields, *times, named=True))
    return rows, just_too_old is not None


def _verdicts(live_answers: Mapping[int, int], names: Mapping[int, str]) -> dict[int, int | None]:
    """Return the category that is right by the user's verdict, by prediction.

    None: the user only said that the live model is wrong. "Not sure" says nothing.

    Args:
        live_answers: what the live model answered, by prediction.
        names: those of the project's categories, by id.
    """
    ids = {name: pk for pk, name in names.items()}
    right: dict[int, int | None] = {}
    for keys in _in_parts(list(live_answers)):
        # In parts: SQLite takes a limited number of parameters
        given = Feedback.objects.filter(prediction__in=keys).exclude(
            verdict=Feedback.Verdict.UNSURE
        )
        for key, verdict, category, name in given.values_list(
            "prediction", "verdict", "category", "suggestion"
        ):
            if verdict == Feedback.Verdict.OK:
                right[key] = live_answers[key]
            elif category or name:
                # Words that were no category's name when they were written may be one by now
                right[key] = category or ids.get(name, UNKNOWN_CATEGORY)
            else:
                right[key] = None
    return right


def _one_per_picture(
    pairs: Iterable[PredictionPair], verdicts: Container[int]
) -> list[PredictionPair]:
    """Return for each picture its newest pair with a verdict, or without any its newest one."""
    found: dict[int, PredictionPair] = {}
    for pair in pairs:
        newest = found.setdefault(pair.sample, pair)
        if newest.prediction not in verdicts and pair.prediction in verdicts:
            found[pair.sample] = pair
    return list(found.values())


def _decided_categories(project: Project, samples: Sequence[int]) -> dict[int, set[int]]:
    """Return the categories that are right by the reviewers' decisions, by sample."""
    labelled = ground_truth.labelled_samples(project)
    rows = (row for keys in _in_parts(samples) for row in labelled.filter(pk__in=keys))
    additional = ground_truth.additional_categories(project)
    return {
        row.pk: {row.true_category_id, *additional.get(row.pk, ())}  # type: ignore[attr-defined]  # annotated
        for row in rows
    }


def _judge(
    pairs: Iterable[PredictionPair],
    verdicts: Mapping[int, int | None],
    decided: Mapping[int, set[int]],
) -> tuple[dict[int, PairedCorrectness], dict[int, PairedCorrectness]]:
    """Return who was right by the verdicts, and who by the decisions; both by sample."""
    by_verdict: dict[int, PairedCorrectness] = {}
    by_decision: dict[int, PairedCorrectness] = {}
    for pair in pairs:
        if pair.prediction in verdicts:
            right = verdicts[pair.prediction]
            if right is not None:
                by_verdict[pair.sample] = pair.live == right, pair.shadow == right
            elif pair.shadow == pair.live:
                by_verdict[pair.sample] = False, False
            # else the live model was wrong, and whether the other answer is right nobody knows
        if pair.sample in decided:
            categories = decided[pair.sample]
            by_decision[pair.sample] = pair.live in categories, pair.shadow in categories
    return by_verdict, by_decision


def _learned_from(samples: Sequence[int], versions: Iterable[ModelVersion]) -> set[int]:
    """Return which samples one of these versions was trained or tuned on."""
    items = DatasetItem.objects.filter(dataset__runs__model_version__in=list(versions))
    # The test split is as new to a model as any upload
    items = items.exclude(split=DatasetItem.Split.TEST)
    return {
        key
        for keys in _in_parts(samples)
        for key in items.filter(sample__in=keys).values_list("sample", flat=True)
    }


def _in_parts(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]
