"""The versions of a project one after another, on the same test pictures where there are enough."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.evaluation.significance import wilson_interval
from training.models import Evaluation

FEWEST = 10  # shared pictures below which a share says too little


@dataclass(frozen=True)
class MeasuredVersion:
    """How many of the pictures that count a version has right."""

    version: int  # its key
    number: int
    right: int
    count: int

    @property
    def share(self) -> float:
        return self.right / self.count

    @property
    def between(self) -> tuple[float, float]:
        return wilson_interval(self.right, self.count) or (0.0, 1.0)


@dataclass(frozen=True)
class VersionHistory:
    """Some versions in their order; `shared` are the pictures that all were asked about, or 0.

    With 0, too few were, and each stands with the pictures of its own data set.
    """

    versions: Sequence[MeasuredVersion]
    shared: int

    def points_against(self, version: int) -> dict[int, float]:
        """Return by key how many points each is above a version; nothing if none can be told."""
        found = {each.version: each.share for each in self.versions}
        if not self.shared or version not in found:
            return {}
        return {key: 100 * (share - found[version]) for key, share in found.items()}


def compare_versions(measured: Sequence[Evaluation]) -> VersionHistory:
    """Return the history of some versions, one evaluation each.

    A test picture is in the test split of every data set, so what all were asked about is found
    even where no data set has measured them all.
    """
    measured = sorted(
        (each for each in measured if each.answers), key=lambda each: each.model_version.number
    )
    if not measured:
        return VersionHistory([], 0)
    shared = set(measured[0].answers).intersection(*(each.answers for each in measured[1:]))
    is_shared = len(shared) >= FEWEST or (
        len(shared) > 0 and all(len(each.answers) == len(shared) for each in measured)
    )
    versions = []
    for each in measured:
        counted = shared if is_shared else each.answers.keys()
        right = sum(each.answers[sample] for sample in counted)
        version = each.model_version
        versions.append(MeasuredVersion(version.pk, version.number, right, len(counted)))
    return VersionHistory(versions, len(shared) if is_shared else 0)
