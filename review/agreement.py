"""How far two reviewers agree beyond chance: Cohen's kappa with its interval."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from predictions.models import Project
from review import second_opinions

Z = 1.959964  # of a two-sided interval of 95 %


@dataclass(frozen=True)
class Agreement:
    """What two sets of opinions about the same samples have in common.

    `kappa` is 1 where they always agree, 0 where they agree as often as chance would have it; None
    where it is undefined, because all of them say the same.
    """

    count: int
    agreeing: int
    kappa: float | None
    interval: tuple[float, float] | None

    @property
    def share(self) -> float:
        """Return the share of samples about which they agree."""
        return self.agreeing / self.count if self.count else math.nan


@dataclass(frozen=True)
class ReviewerPair:
    """Two people, by name, and how far they agree."""

    names: tuple[str, str]
    agreement: Agreement


def measure_agreement(pairs: Iterable[tuple[Hashable, Hashable]]) -> Agreement:
    """Return the agreement of pairs of opinions.

    Source: Cohen 1960, doi:10.1177/001316446002000104; the standard error is that of Fleiss, Cohen
    & Everitt 1969, doi:10.1037/h0028106, formula 13.
    """
    table = Counter(pairs)
    count = sum(table.values())
    if not count:
        return Agreement(0, 0, None, None)
    first: Counter[Hashable] = Counter()
    second: Counter[Hashable] = Counter()
    for (one, other), times in table.items():
        first[one] += times
        second[other] += times
    agreeing = sum(times for (one, other), times in table.items() if one == other)
    observed = agreeing / count
    expected = sum(first[name] * second[name] for name in first) / count**2
    if expected == 1:
        return Agreement(count, agreeing, None, None)
    kappa = (observed - expected) / (1 - expected)
    on_diagonal = sum(
        times / count * (1 - (first[one] + second[one]) / count * (1 - kappa)) ** 2
        for (one, other), times in table.items()
        if one == other
    )
    off_diagonal = (1 - kappa) ** 2 * sum(
        times / count * ((second[one] + first[other]) / count) ** 2
        for (one, other), times in table.items()
        if one != other
    )
    variance = on_diagonal + off_diagonal - (kappa - expected * (1 - kappa)) ** 2
    error = math.sqrt(max(variance, 0.0) / count) / (1 - expected)
    return Agreement(
        count, agreeing, kappa, (max(-1.0, kappa - Z * error), min(1.0, kappa + Z * error))
    )


def project_agreement(project: Project) -> tuple[Agreement, list[ReviewerPair]]:
    """Return the agreement in a project, of everybody and of each two reviewers, in one query.

    Being of no use for training counts as one more category.
    """
    rows = second_opinions.opinions_of(project).values_list(
        "decision__reviewer__username", "reviewer__username", "decision__category", "category"
    )
    by_pair: dict[tuple[str, str], list[tuple[Hashable, Hashable]]] = {}
    for one, other, decided, said in rows:
        # In one order, whoever of the two came first
        names, opinions = ((one or "", other or ""), (decided, said))
        if names[0] > names[1]:
            names, opinions = names[::-1], opinions[::-1]
        by_pair.setdefault(names, []).append(opinions)
    whole = measure_agreement(opinions for some in by_pair.values() for opinions in some)
    pairs = [ReviewerPair(names, measure_agreement(some)) for names, some in by_pair.items()]
    return whole, sorted(pairs, key=lambda pair: (-pair.agreement.count, pair.names))
