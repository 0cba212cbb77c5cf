"""Frozen data sets: what was true at one moment, and which split each picture is in.

Two wishes pull at the split: a picture must never wander from test to train, and a small category
would like to be in all three splits. The first wins: the split is a function of the picture's
digest, so it holds across data set versions and relabelling, and a test result stays honest for
ever. What belongs together (see `training.data.groups`) follows the digest of its earliest picture:
a model that has learned from one part of a lot, or from a photo's twin, would look better on the
other than it is. A picture that turns out to belong to others may move, and the report says so. The
price is shown, not hidden: a category none of whose pictures are for training is left out, one
without test pictures is trained but its recall is unknown until more pictures come.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from common.errors import Conflict
from predictions.models import Category, ModelVersion, Project, Sample
from review import ground_truth
from training.data.examples import Example, PictureReader
from training.data.groups import Groups, find_groups
from training.data.known_categories import known_classes
from training.models import (
    AdditionalLabel,
    DatasetItem,
    DatasetVersion,
    KnownCategory,
    TrainingRun,
)

MIN_PICTURES = 5
MIN_CATEGORIES = 2
TRAIN_PERCENT = 70
VALIDATION_PERCENT = 15  # the rest is the test split

Split = DatasetItem.Split
# The demo comes without its pictures
VECTORS_ONLY = Q(location=Sample.Location.NOWHERE, origin=Sample.Origin.DEMO)


class NotEnoughData(Conflict):
    """There are not enough labelled pictures for a data set."""

    code = "too_little_to_learn"


@dataclass(frozen=True)
class ExcludedCategory:
    """A category that is not in the data set, and why."""

    category: str
    pictures: int
    reason: str  # few: fewer than MIN_PICTURES; untrainable: none of them is in the train split

    @property
    def sentence(self) -> str:
        if self.reason == "few":
            return ngettext(
                "“%(category)s” is left out: it has %(count)d picture, and needs at least "
                "%(fewest)d.",
                "“%(category)s” is left out: it has %(count)d pictures, and needs at least "
                "%(fewest)d.",
                self.pictures,
            ) % {"category": self.category, "count": self.pictures, "fewest": MIN_PICTURES}
        return _(
            "“%(category)s” is left out: none of its pictures falls into the part for training. "
            "Add more."
        ) % {"category": self.category}


@dataclass(frozen=True)
class DatasetContent:
    """What a data set frozen now would hold."""

    # Sample id, its SHA-256, its categories: one, or more if multilabel
    items: list[tuple[int, str, list[Category]]]
    counts: dict[str, Counter[str]]  # category name -> split -> pictures that show it
    left_out: list[ExcludedCategory] = field(default_factory=list)
    twins: int = 0  # samples that are the same picture as another one, of which one is enough
    groups: Groups = field(default_factory=Groups)
    uncompared: int = 0  # samples of which it is not known yet whether they have near duplicates

    def split(self, pk: int, sha256: str) -> str:
        """Return the split of a sample, which is that of its whole group."""
        return split_of(self.groups.deciding_digest(pk, sha256))

    @property
    def digest(self) -> str:
        """Return a digest of samples, categories and splits; names do not matter."""
        lines = sorted(
            # The UUID, as a renamed category is still the same
            f"{sha256} {category.uuid} {self.split(pk, sha256)}\n"
            for pk, sha256, categories in self.items
            for category in categories
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def report(self) -> dict[str, Any]:
        return {
            "counts": {name: dict(counts) for name, counts in sorted(self.counts.items())},
            # Read again as ExcludedCategory(**each): its fields are a stored format
            "left_out": [vars(each) for each in self.left_out],
            "twins": self.twins,
            "groups": self.group_counts,
            "uncompared": self.uncompared,
            "alike": self.groups.alike,
        }

    @property
    def group_counts(self) -> dict[str, int]:
        """Return how many groups there are, and how many samples these hold."""
        found = Counter(self.groups.key(pk) for pk, _sha256, _categories in self.items)
        sizes = [size for size in found.values() if size > 1]
        return {"groups": len(sizes), "samples": sum(sizes)}


@dataclass(frozen=True)
class SplitMove:
    """How many samples are in another split than in the data set version before, and why."""

    start: str
    end: str
    why: str  # group: it got one; twin: near duplicates were found; alone: it has neither any more
    count: int

    @property
    def sentence(self) -> str:
        match self.why:
            case "group":
                text = ngettext(
                    "%(count)d sample moved from %(start)s to %(end)s, to the others of its group.",
                    "%(count)d samples moved from %(start)s to %(end)s, to the others of their "
                    "groups.",
                    self.count,
                )
            case "twin":
                text = ngettext(
                    "%(count)d sample moved from %(start)s to %(end)s, to its near duplicates.",
                    "%(count)d samples moved from %(start)s to %(end)s, to their near duplicates.",
                    self.count,
                )
            case _:
                text = ngettext(
                    "%(count)d sample moved from %(start)s to %(end)s, as it belongs to no other "
                    "any more.",
                    "%(count)d samples moved from %(start)s to %(end)s, as they belong to no "
                    "others any more.",
                    self.count,
                )
        names = {
            Split.TRAIN.value: _("training"),
            Split.VALIDATION.value: _("validation"),
            Split.TEST.value: _("test"),
        }
        return text % {"count": self.count, "start": names[self.start], "end": names[self.end]}


def split_of(sha256: str) -> str:
    """Return the split that follows from a digest: 70 % train, 15 % validation, 15 % test."""
    # Digits of a SHA-256 are as good as random, and stay the same for ever
    place = int(sha256[:8], 16) % 100
    if place < TRAIN_PERCENT:
        return Split.TRAIN
    return Split.VALIDATION if place < TRAIN_PERCENT + VALIDATION_PERCENT else Split.TEST


def collect_labelled(project: Project) -> DatasetContent:
    """Return what is true now, and which categories have enough of it.

    Deleted pictures cannot be learned from. Those of the demo never were here, but their feature
    vectors are.
    """
    by_category: dict[int, list[tuple[int, str]]] = defaultdict(list)
    usable = ~Q(location=Sample.Location.NOWHERE) | VECTORS_ONLY
    # By digest: the order of items must not depend on that of uploads
    rows = ground_truth.labelled_samples(project).filter(usable).order_by("sha256")
    additional = ground_truth.additional_categories(project)
    groups = find_groups(project)
    contents: set[str] = set()
    twins = 0
    values = rows.values_list("pk", "sha256", "content_sha256", "true_category_id")  # type: ignore[misc]
    for pk, sha256, content, category in values.iterator(5000):
        # A picture with other metadata, from when that made another sample: in two splits at once
        # it would flatter the model
        known_content = content if content not in ("", Sample.UNKNOWN_CONTENT) else sha256
        if known_content in contents:
            twins += 1
            continue
        contents.add(known_content)
        for each in (category, *additional.get(pk, ())):
            by_category[each].append((pk, sha256))
    shown: dict[tuple[int, str], list[Category]] = defaultdict(list)
    known = set(
        KnownCategory.objects.filter(category__project=project).values_list("pk", flat=True)
    )
    counts, left_out = {}, []
    # By name: what is learned must not depend on the order in which people see them
    for category in project.categories.order_by("name"):
        samples = by_category[category.pk]
        splits = Counter(split_of(groups.deciding_digest(*sample)) for sample in samples)
        # What is known beforehand is only corrected by its pictures
        fewest = 1 if category.pk in known else MIN_PICTURES
        if len(samples) < fewest:
            left_out.append(ExcludedCategory(category.name, len(samples), "few"))
        elif not splits[Split.TRAIN]:
            # The digests decide, so all of a few pictures may fall into the other splits
            left_out.append(ExcludedCategory(category.name, len(samples), "untrainable"))
        else:
            for sample in samples:
                shown[sample].append(category)
            counts[category.name] = splits
    return DatasetContent(
        [(*sample, categories) for sample, categories in shown.items()],
        counts,
        left_out,
        twins,
        groups,
        uncompared_samples(project).count(),
    )


def uncompared_samples(project: Project) -> QuerySet[Sample]:
    """Return the labelled pictures that were not compared with the others by their hashes yet."""
    pictures = ground_truth.labelled_samples(project).filter(media_type__startswith="image/")
    return pictures.exclude(location=Sample.Location.NOWHERE).exclude(fingerprint__is_compared=True)


@transaction.atomic
def freeze_dataset(project: Project, *, by: User | None = None) -> DatasetVersion:
    """Freeze what is true now as the next version, or return the version that holds just that.

    Raises:
        NotEnoughData: if fewer than two categories have enough pictures.
    """
    # Two at once would take the same number, and of the same content make two versions
    Project.objects.select_for_update().get(pk=project.pk)
    content = collect_labelled(project)
    names = set(content.counts) | set(known_classes(project))
    if not content.counts or len(names) < MIN_CATEGORIES:
        raise NotEnoughData(_too_little(content.left_out))
    digest = content.digest
    if existing := project.datasets.filter(digest=digest).first():
        return existing
    newest = project.datasets.order_by("-number").first()
    report = content.report | {"moved": _moved(newest, content) if newest else []}
    dataset = DatasetVersion.objects.create(
        project=project,
        number=newest.number + 1 if newest else 1,
        digest=digest,
        report=report,
        created_by=by,
    )
    items = DatasetItem.objects.bulk_create(
        (
            DatasetItem(
                dataset=dataset,
                sample_id=pk,
                category=categories[0],
                split=content.split(pk, sha256),
            )
            for pk, sha256, categories in content.items
        ),
        batch_size=2000,
    )
    AdditionalLabel.objects.bulk_create(
        (
            AdditionalLabel(item=item, category=category)
            # The first category stands on the item itself; bulk_create keeps the order
            for item, (_pk, _sha256, categories) in zip(items, content.items, strict=True)
            for category in categories[1:]
        ),
        batch_size=2000,
    )
    return dataset


def split_sentences(dataset: DatasetVersion) -> list[str]:
    """Return what is kept together in a data set, what moved for that since the one before, and
    what nobody knows yet.
    """
    report = dataset.report
    sentences = []
    counts = report.get("groups") or {}
    if groups := counts.get("groups", 0):
        sentence = ngettext(
            "%(groups)d group of samples that belong together (%(samples)d samples) is in one "
            "split as a whole.",
            "%(groups)d groups of samples that belong together (%(samples)d samples) are each in "
            "one split as a whole.",
            groups,
        )
        sentences.append(sentence % {"groups": groups, "samples": counts["samples"]})
    sentences += [SplitMove(**each).sentence for each in report.get("moved", [])]
    if count := report.get("alike", 0):
        sentence = ngettext(
            "%(count)d sample looks like so many others that likeness does not tell what belongs "
            "together. If some are of one part or lot, give them a group.",
            "%(count)d samples look like so many others that likeness does not tell what belongs "
            "together. If some are of one part or lot, give them groups.",
            count,
        )
        sentences.append(sentence % {"count": count})
    if count := report.get("uncompared", 0):
        sentence = ngettext(
            "%(count)d picture had not been compared with the others yet, so a near duplicate of "
            "it may be in another split.",
            "%(count)d pictures had not been compared with the others yet, so near duplicates of "
            "them may be in another split.",
            count,
        )
        sentences.append(sentence % {"count": count})
    return sentences


def leaking_samples(dataset: DatasetVersion) -> int:
    """Return how many samples are in another split than others of their group, as known now."""
    groups = find_groups(dataset.project)
    splits: dict[int, set[str]] = defaultdict(set)
    rows = dataset.items.values_list("sample_id", "split") if groups.anchors else ()
    items = [(sample, split) for sample, split in rows if sample in groups.anchors]
    for sample, split in items:
        splits[groups.key(sample)].add(split)
    return sum(len(splits[groups.key(sample)]) > 1 for sample, _split in items)


def learned_before(version: ModelVersion, dataset: DatasetVersion) -> set[str]:
    """Return the digests of test samples from whose groups a model version has learned.

    They were in its own data set's train or validation split, and moved since.
    """
    run = TrainingRun.objects.filter(model_version=version).first()
    if run is None or run.dataset_id == dataset.pk:
        return set()
    learned = run.dataset.items.exclude(split=Split.TEST)
    groups = find_groups(dataset.project)
    keys = {
        groups.anchors[sample]
        for sample in learned.values_list("sample_id", flat=True)
        if sample in groups.anchors
    }
    test = dataset.items.filter(split=Split.TEST)
    found = set(
        test.filter(sample__in=learned.values("sample")).values_list("sample__sha256", flat=True)
    )
    if keys:
        rows = test.values_list("sample_id", "sample__sha256")
        found.update(sha256 for sample, sha256 in rows if groups.anchors.get(sample) in keys)
    return found


def left_out_sentences(dataset: DatasetVersion) -> list[str]:
    """Return what the data set does not hold, and why."""
    report = dataset.report
    sentences = [ExcludedCategory(**each).sentence for each in report.get("left_out", [])]
    if twins := report.get("twins", 0):
        sentence = ngettext(
            "%(count)d sample is left out: it is the same picture as another one, with other "
            "metadata.",
            "%(count)d samples are left out: they are the same pictures as others, with other "
            "metadata.",
            twins,
        )
        sentences.append(sentence % {"count": twins})
    return sentences


def category_counts(dataset: DatasetVersion) -> dict[str, Counter[str]]:
    """Return how many pictures show each category in each split, by its present name."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, split, pictures in dataset.items.values_list("category__name", "split").annotate(
        pictures=Count("pk")
    ):
        counts[name][split] += pictures
    also = AdditionalLabel.objects.filter(item__dataset=dataset).values_list(
        "category__name", "item__split"
    )
    for name, split, pictures in also.annotate(pictures=Count("pk")):
        counts[name][split] += pictures
    return dict(sorted(counts.items()))


def split_totals(dataset: DatasetVersion) -> list[int]:
    """Return how many pictures each split has; one that shows several categories counts once."""
    counts = dict(dataset.items.values_list("split").annotate(pictures=Count("pk")))
    return [counts.get(split, 0) for split in Split.values]


def additional_names(dataset: DatasetVersion) -> dict[int, tuple[str, ...]]:
    """Return the present names of additional categories by item, where there are any."""
    names: dict[int, tuple[str, ...]] = {}
    rows = AdditionalLabel.objects.filter(item__dataset=dataset).order_by("category__name")
    for item, name in rows.values_list("item_id", "category__name"):
        names[item] = (*names.get(item, ()), name)
    return names


def load_examples(dataset: DatasetVersion, *splits: str) -> list[Example]:
    """Return the samples of a data set, or of some of its splits, in the order of their digests."""
    return [example for _sample, example in load_examples_by_sample(dataset, *splits)]


def load_examples_by_sample(dataset: DatasetVersion, *splits: str) -> list[tuple[int, Example]]:
    """Return the same as `load_examples`, each with the id of its sample."""
    items = dataset.items.select_related("sample", "category").order_by("sample__sha256")
    if splits:
        items = items.filter(split__in=splits)
    additional = additional_names(dataset)
    return [
        (
            item.sample_id,
            Example(
                item.sample.sha256,
                item.category.name,
                item.split,
                picture_reader(item.sample),
                additional.get(item.pk, ()),
            ),
        )
        for item in items
    ]


def dataset_class_names(dataset: DatasetVersion) -> tuple[str, ...]:
    """Return the sorted present names of the categories: the order of a new model's outputs."""
    return tuple(category_counts(dataset))


def picture_reader(sample: Sample) -> PictureReader | None:
    """Return a reader of the stored picture, or None if it was not kept."""
    return sample.read if sample.has_picture else None


def count_vectors_only(dataset: DatasetVersion) -> int:
    """Return the number of samples whose feature vector alone is kept, not the picture."""
    return dataset.items.filter(sample__in=Sample.objects.filter(VECTORS_ONLY)).count()


def categories_without_test(dataset: DatasetVersion) -> list[str]:
    """Return the categories that cannot be measured, with no picture in the test split."""
    return [name for name, splits in category_counts(dataset).items() if not splits[Split.TEST]]


def previous_version(dataset: DatasetVersion) -> DatasetVersion | None:
    return dataset.project.datasets.filter(number__lt=dataset.number).order_by("-number").first()


def _moved(before: DatasetVersion, content: DatasetContent) -> list[dict[str, Any]]:
    """Return how many samples are in another split than in the data set before, and why."""
    earlier = dict(before.items.values_list("sample_id", "split"))
    moved: Counter[tuple[str, str, str]] = Counter()
    for pk, sha256, _categories in content.items:
        split = content.split(pk, sha256)
        if pk in earlier and earlier[pk] != split:
            why = "alone"
            if pk in content.groups.anchors:
                why = "group" if pk in content.groups.named else "twin"
            moved[earlier[pk], split, why] += 1
    return [
        vars(SplitMove(start, end, why, count))
        for (start, end, why), count in sorted(moved.items())
    ]


def _too_little(left_out: Iterable[ExcludedCategory]) -> str:
    sentence = _(
        "There is too little to learn from: at least %(categories)d categories need %(pictures)d "
        "labelled pictures each. Add pictures, or decide what waits for review."
    ) % {"categories": MIN_CATEGORIES, "pictures": MIN_PICTURES}
    return " ".join([sentence, *(each.sentence for each in left_out)])
