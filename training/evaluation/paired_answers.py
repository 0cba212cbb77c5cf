"""Two models on the same test pictures, one by one: what the second fixed, and what it broke."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from predictions.models import ModelVersion
from training.evaluation.significance import PairedOutcomes, count_outcomes
from training.models import DatasetVersion, Evaluation, TrainingRun


@dataclass(frozen=True)
class PairedAnswers:
    """The evaluations of two models, and the ids of the samples that only one has right.

    Both are on the same data set version where that was measured; else each is on its own, and what
    both were asked about is compared: a test picture is in the test split of every version.
    """

    first: Evaluation
    second: Evaluation
    fixed: list[int]  # the second alone is right; ascending
    broke: list[int]  # the first alone
    outcomes: PairedOutcomes

    @property
    def is_on_one_dataset(self) -> bool:
        return self.first.dataset_id == self.second.dataset_id

    def flip_of(self, sample: int) -> str:
        """Return "fixed", "broke" or "" for a sample that both have right, or neither."""
        return "fixed" if sample in self.fixed else "broke" if sample in self.broke else ""

    @property
    def sentence(self) -> str:
        """Say who is better, as far as chance does not explain the difference."""
        if not self.outcomes.count:
            return _("No picture was asked of both.")
        numbers = {
            "first": self.first.model_version.number,
            "second": self.second.model_version.number,
        }
        if self.outcomes.is_second_better:
            sentence = _("Version %(second)d is better than version %(first)d.")
        elif self.outcomes.is_first_better:
            sentence = _("Version %(second)d is worse than version %(first)d.")
        else:
            sentence = _("Chance alone may explain what tells the two versions apart.")
        return sentence % numbers


def pair_answers(first: Evaluation, second: Evaluation) -> PairedAnswers:
    both = first.answers.keys() & second.answers.keys()
    fixed: list[int] = []
    broke: list[int] = []
    for sample in sorted(map(int, both)):
        was_right, is_right = first.answers[str(sample)], second.answers[str(sample)]
        if was_right != is_right:
            (fixed if is_right else broke).append(sample)
    outcomes = count_outcomes((first.answers[each], second.answers[each]) for each in both)
    return PairedAnswers(first, second, fixed, broke, outcomes)


def pair_versions(first: ModelVersion, second: ModelVersion) -> PairedAnswers | None:
    """Pair two versions on the newest data set on which both were measured, or each on its own.

    None if one was not measured at all.
    """
    evaluations = (_by_dataset(each) for each in (first, second))
    of_first, of_second = evaluations
    if not of_first or not of_second:
        return None
    if shared := of_first.keys() & of_second.keys():
        number = max(shared)
        return pair_answers(_whole(of_first[number]), _whole(of_second[number]))
    # The oldest is that of its own run; later ones are beside a candidate
    return pair_answers(_whole(of_first[min(of_first)]), _whole(of_second[min(of_second)]))


def learned_version(dataset: DatasetVersion) -> ModelVersion | None:
    """Return the newest model version that learned from a data set version."""
    run = (
        dataset.runs.filter(status=TrainingRun.Status.SUCCEEDED)
        .select_related("model_version__project")
        .order_by("-pk")
        .first()
    )
    return run.model_version if run else None


def pair_datasets(older: DatasetVersion, newer: DatasetVersion) -> PairedAnswers | None:
    """Pair the models learned from two data set versions; None if one has none, or unmeasured."""
    first, second = learned_version(older), learned_version(newer)
    return pair_versions(first, second) if first and second else None


def among(samples: Iterable[int], changed: set[int]) -> int:
    """Return how many of some samples changed."""
    return sum(sample in changed for sample in samples)


def _by_dataset(version: ModelVersion) -> dict[int, int]:
    """Return the keys of a version's evaluations by the number of the data set."""
    return dict(version.evaluations.values_list("dataset__number", "pk"))


def _whole(key: int) -> Evaluation:
    return Evaluation.objects.select_related("dataset", "model_version__project").get(pk=key)
