"""Finds samples that are nearly the same, by perceptual hashes and by feature vectors.

Hashes are of the stored pictures, and found before a run; vectors find what was cropped or shot
again as well, and are compared after a run, which has made them. Each new sample is compared with
all others, block by block, and paired with the nearest few; so 100,000 pictures take a few hundred
megabytes and minutes, and one more takes a moment.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice

import numpy as np
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Conflict
from common.media import images
from common.parallel import parallel_map
from common.progress import Progress, no_progress, subrange
from common.storages import StorageUnavailable
from predictions.models import Project, Sample
from review import ground_truth
from training.data import datasets, perceptual_hash
from training.data.examples import UNREADABLE
from training.features.cache import Vectors
from training.models import DeclaredApart, Fingerprint, NearDuplicate

logger = logging.getLogger(__name__)

LINKS = 5  # pairs of one sample at most: groups stay connected, and rows stay few
AT_ONCE = 500  # pictures whose hashes are written together
LEAST_SIDE = 64  # pixels of a picture that is only hashed
# Cosine of two feature vectors from which two samples are nearly the same; bench/README.md says why
LEAST_COSINE = 0.97
ROWS_AT_ONCE = 256  # vectors compared with all others at once

By = NearDuplicate.By
Pair = tuple[int, int, float]  # two samples, and how similar they are


class NotAPair(Conflict):
    """These two samples are no near duplicates, or not any more."""

    code = "no_pair"


def find_by_hashes(project: Project, progress: Progress = no_progress) -> int:
    """Pair the new labelled pictures of a project with those that look the same.

    Returns how many pairs are new.

    Raises:
        StorageUnavailable: the storage does not answer; what was hashed is kept.
    """
    _hash_new(project, subrange(progress, 0, 80))
    fingerprints = Fingerprint.objects.filter(sample__project=project).order_by("pk")
    found_rows = list(fingerprints.values_list("pk", "dhash", "phash", "is_compared"))
    rows = [row for row in found_rows if row[1] is not None]
    new = np.array([place for place, row in enumerate(rows) if not row[3]], np.int64)
    hashes = np.array([row[1:3] for row in rows], np.int64).reshape(-1, 2).view(np.uint64)
    progress(80, 100, _("Comparing the samples"))
    found = perceptual_hash.nearest_pairs(hashes, new, links=LINKS)
    count = _keep_pairs(
        project,
        ((rows[one][0], rows[other][0], 1 - bits / 128) for one, other, bits in found),
        By.HASHES,
    )
    # Last, so that a crash before has them compared again; not those that came in the meantime
    keys = [row[0] for row in found_rows if not row[3]]
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        Fingerprint.objects.filter(pk__in=some).update(is_compared=True)
    progress(100, 100)
    return count


def find_by_vectors(
    project: Project,
    samples: Sequence[tuple[int, str]],
    vectors: Vectors,
    backbone: str,
    progress: Progress = no_progress,
) -> int:
    """Pair samples, given by key and digest, whose vectors by a backbone are nearly the same.

    Those that were compared by it before are only compared with new ones. Returns how many pairs
    are new.
    """
    usable = [(pk, sha256) for pk, sha256 in samples if sha256 in vectors]
    done = set(
        Fingerprint.objects.filter(sample__project=project, compared_by=backbone).values_list(
            "pk", flat=True
        )
    )
    new = np.array([place for place, (pk, _sha) in enumerate(usable) if pk not in done], np.int64)
    if not len(new):
        return 0
    matrix = np.stack([_unit(vectors[sha256]) for _pk, sha256 in usable])
    found = nearest_vectors(matrix, new, subrange(progress, 0, 100))
    count = _keep_pairs(
        project,
        ((usable[one][0], usable[other][0], cosine) for one, other, cosine in found),
        By.VECTORS,
    )
    Fingerprint.objects.bulk_create(
        (Fingerprint(sample_id=usable[place][0], compared_by=backbone) for place in new),
        update_conflicts=True,
        unique_fields=["sample"],
        update_fields=["compared_by"],
        batch_size=AT_ONCE,
    )
    return count


def nearest_vectors(
    matrix: np.ndarray, new: np.ndarray, progress: Progress = no_progress
) -> Iterator[tuple[int, int, float]]:
    """Yield (row, other row, cosine) of rows nearly the same, `LINKS` of a new row at most.

    Args:
        matrix: unit vectors, shape (N, D).
        new: as in `perceptual_hash.nearest_pairs`.
    """
    is_new = np.zeros(len(matrix), bool)
    is_new[new] = True
    places = np.arange(len(matrix))
    for start in range(0, len(new), ROWS_AT_ONCE):
        progress(start, len(new), _("Comparing the samples"))
        rows = new[start : start + ROWS_AT_ONCE]
        cosines = matrix[rows] @ matrix.T
        cosines[is_new[None, :] & (places[None, :] >= rows[:, None])] = -1
        for place in np.flatnonzero((cosines >= LEAST_COSINE).any(axis=1)):
            close = np.flatnonzero(cosines[place] >= LEAST_COSINE)
            nearest = close[np.argsort(-cosines[place, close], kind="stable")][:LINKS]
            for other in nearest:
                yield int(rows[place]), int(other), float(cosines[place, other])


def pairs_of(project: Project) -> QuerySet[NearDuplicate]:
    """Return the pairs of a project whose samples are still labelled, with both samples."""
    labelled = ground_truth.labelled_samples(project).order_by().values("pk")
    return NearDuplicate.objects.filter(
        first__project=project, first__in=labelled, second__in=labelled, declared_apart=None
    ).select_related("first", "second")


def declare_apart(project: Project, key: int, *, by: User) -> NearDuplicate:
    """Note that a pair is not the same, so that it no longer joins the two.

    Raises:
        NotAPair: there is no such pair in the project.
    """
    pair = NearDuplicate.objects.filter(pk=key, first__project=project).first()
    if pair is None:
        raise NotAPair(_("These two are no pair any more. Reload the page."))
    DeclaredApart.objects.get_or_create(pair=pair, defaults={"by": by})
    return pair


def _hash_new(project: Project, progress: Progress) -> None:
    """Keep the hashes of labelled pictures that have none yet."""
    missing = datasets.uncompared_samples(project).filter(
        Q(fingerprint=None) | Q(fingerprint__is_compared=False, fingerprint__dhash=None)
    )
    total = missing.count()
    last, done = 0, 0
    while samples := list(missing.filter(pk__gt=last).order_by("pk")[:AT_ONCE]):
        progress(done, max(total, done), _("Looking for pictures that are the same"))
        with closing(parallel_map(_hashed, samples)) as hashed:
            rows = [
                Fingerprint(sample_id=pk, dhash=_signed(hashes, 0), phash=_signed(hashes, 1))
                for pk, hashes in hashed
            ]
        # One that has been compared by its vectors has a row already
        Fingerprint.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["sample"],
            update_fields=["dhash", "phash"],
        )
        last, done = samples[-1].pk, done + len(samples)


def _hashed(sample: Sample) -> tuple[int, tuple[int, int] | None]:
    try:
        picture = images.decode_stored(sample.read(), least_side=LEAST_SIDE)
    except StorageUnavailable:
        raise
    except UNREADABLE as error:
        logger.warning("The picture of sample %s cannot be compared: %s", sample.uuid, error)
        return sample.pk, None
    return sample.pk, perceptual_hash.perceptual_hashes(picture)


def _keep_pairs(project: Project, pairs: Iterable[Pair], by: By) -> int:
    """Keep pairs as they come, each once; return how many are new."""
    kept = NearDuplicate.objects.filter(first__project=project)
    before = kept.count()
    remaining = iter(pairs)
    while some := list(islice(remaining, AT_ONCE)):
        NearDuplicate.objects.bulk_create(
            (
                NearDuplicate(
                    first_id=min(one, other), second_id=max(one, other), by=by, similarity=likeness
                )
                for one, other, likeness in some
            ),
            ignore_conflicts=True,
        )
    return kept.count() - before


def _signed(hashes: tuple[int, int] | None, kind: int) -> int | None:
    """Return a hash as a signed number of 64 bits, which databases can keep."""
    if hashes is None:
        return None
    return int(np.uint64(hashes[kind]).astype(np.int64))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
