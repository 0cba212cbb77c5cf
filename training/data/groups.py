"""Which samples play the same part in every data set: those of a group, and near duplicates.

A group here is a connected component: what shares a name that senders gave (`SampleGroup`), or is
nearly the same picture (`NearDuplicate`), directly or through others. Its split follows from the
digest of its earliest sample, so that a group which grows stays where it is. Only where two groups
turn out to be one does the later one move.

Where a camera stands still, all pictures are nearly the same, and likeness says nothing about what
belongs together. So near duplicates make a group only as long as it is a small part of the project;
else those by their vectors are let go, then those by their hashes. Names that were given always
count.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from predictions.models import Project, SampleGroup
from review import ground_truth
from training.models import NearDuplicate

# The largest group of near duplicates: this share of the labelled samples, but at least so many
LARGEST_SHARE = 0.1
LARGEST_AT_LEAST = 5

Edge = tuple[int, int]


@dataclass(frozen=True)
class Groups:
    """The groups of a project, of those that hold more than one sample."""

    anchors: dict[int, int] = field(default_factory=dict)  # sample -> the earliest of its group
    digests: dict[int, str] = field(default_factory=dict)  # of the earliest samples
    named: frozenset[int] = frozenset()  # samples of which a sender said what they are of
    alike: int = 0  # samples that look like too many others to be kept together with them

    def deciding_digest(self, sample: int, sha256: str) -> str:
        """Return the digest that the split of a sample follows from: its own where it is alone."""
        anchor = self.anchors.get(sample)
        return sha256 if anchor is None else self.digests[anchor]

    def key(self, sample: int) -> int:
        """Return what a sample has in common with those of its group, and with no other."""
        return self.anchors.get(sample, sample)


def find_groups(project: Project) -> Groups:
    """Return the groups of a project, in three queries."""
    digests: dict[int, str] = {}
    edges: list[Edge] = []
    first_of: dict[str, int] = {}
    named = SampleGroup.objects.filter(sample__project=project).order_by("pk")
    for sample, sha256, name in named.values_list("sample_id", "sample__sha256", "name"):
        digests[sample] = sha256
        edges.append((first_of.setdefault(name, sample), sample))
    members = frozenset(digests)
    pairs = NearDuplicate.objects.filter(first__project=project, declared_apart=None)
    found: dict[str, list[Edge]] = {each: [] for each in NearDuplicate.By.values}
    for first, first_digest, second, second_digest, by in pairs.values_list(
        "first_id", "first__sha256", "second_id", "second__sha256", "by"
    ):
        digests[first], digests[second] = first_digest, second_digest
        found[by].append((first, second))
    alike: set[int] = set()
    if any(found.values()):
        labelled = ground_truth.labelled_samples(project).count()
        largest = max(LARGEST_AT_LEAST, int(LARGEST_SHARE * labelled))
        by_hashes, by_vectors = found[NearDuplicate.By.HASHES], found[NearDuplicate.By.VECTORS]
        alike = _in_large_groups([*by_hashes, *by_vectors], largest)
        trusted = [edge for edge in by_vectors if edge[0] not in alike]
        near = [*by_hashes, *trusted]
        too_many = _in_large_groups(near, largest)
        edges += [edge for edge in near if edge[0] not in too_many]
    anchors = connected(edges)
    earliest = set(anchors.values())
    earliest_digests = {sample: digests[sample] for sample in earliest}
    return Groups(anchors, earliest_digests, members, len(alike))


def _in_large_groups(edges: Sequence[Edge], largest: int) -> set[int]:
    """Return the samples in connected components of more than `largest`."""
    anchors = connected(edges)
    sizes = Counter(anchors.values())
    return {sample for sample, anchor in anchors.items() if sizes[anchor] > largest}


def connected(edges: Iterable[Edge]) -> dict[int, int]:
    """Return the smallest member of its connected component for each node of an edge.

    Nodes that nothing joins with another are left out.
    """
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]  # halves the path for the next one
            node = parent[node]
        return node

    for one, other in edges:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    found = {node: root(node) for node in list(parent)}
    joined = {anchor for node, anchor in found.items() if anchor != node}
    return {node: anchor for node, anchor in found.items() if anchor in joined}
