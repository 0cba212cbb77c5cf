import io
import itertools

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from PIL import Image, ImageEnhance

from common import jobs
from common.models import Job
from predictions.tests.factories import make_project, make_sample, make_user
from review.models import Decision, Recheck
from training.data import contradictions, datasets, near_duplicates, perceptual_hash
from training.models import Fingerprint, NearDuplicate
from training.tests.factories import label

pytestmark = pytest.mark.django_db


def scene(seed: int) -> Image.Image:
    """Draw large soft patches, as a photo has them."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.fixture
def project():
    return make_project(categories=["cat", "dog"])


def add(project, picture: Image.Image | bytes, name: str = "cat"):
    data = picture if isinstance(picture, bytes) else encoded(picture)
    sample = make_sample(project, data=data)
    label(sample, project.categories.get(name=name))
    return sample


def paired() -> set[tuple[int, int]]:
    return set(NearDuplicate.objects.values_list("first", "second"))


@pytest.mark.parametrize(
    "changed",
    [
        lambda picture: picture.resize((80, 60)),
        lambda picture: ImageEnhance.Brightness(picture).enhance(1.15),
        lambda picture: Image.open(io.BytesIO(encoded(picture, 40))),
    ],
)
def test_the_same_picture_in_another_form_is_found(project, changed):
    picture = scene(1)
    first, second = add(project, picture), add(project, changed(picture))
    add(project, scene(2))
    assert near_duplicates.find_by_hashes(project) == 1
    assert paired() == {(first.pk, second.pk)}


def test_other_pictures_and_those_that_show_nothing_are_not_paired(project):
    for seed in range(12):
        add(project, scene(seed))
    for shade in (10, 11, 12):
        add(project, Image.new("RGB", (64, 64), (shade,) * 3))
    assert near_duplicates.find_by_hashes(project) == 0
    assert not datasets.uncompared_samples(project).exists()


def test_only_what_is_new_is_compared(project, monkeypatch):
    first = add(project, scene(1))
    near_duplicates.find_by_hashes(project)
    second = add(project, scene(1).resize((80, 60)))
    decoded = []
    hashes = perceptual_hash.perceptual_hashes

    def watched(picture):
        decoded.append(picture.size)
        return hashes(picture)

    monkeypatch.setattr(perceptual_hash, "perceptual_hashes", watched)
    assert near_duplicates.find_by_hashes(project) == 1
    assert near_duplicates.find_by_hashes(project) == 0
    assert (paired(), len(decoded)) == ({(first.pk, second.pk)}, 1)


def test_stopped_between_hashing_and_comparing_it_goes_on(project, monkeypatch):
    add(project, scene(1))
    add(project, scene(1).resize((80, 60)))
    with monkeypatch.context() as patched:
        patched.setattr(perceptual_hash, "nearest_pairs", lambda *_args, **_options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            near_duplicates.find_by_hashes(project)
    assert near_duplicates.find_by_hashes(project) == 1


def test_a_picture_that_is_gone_is_passed_over(project):
    lost = add(project, scene(1))
    lost.storage.delete(lost.file_name)
    assert near_duplicates.find_by_hashes(project) == 0
    assert Fingerprint.objects.get(sample=lost).dhash is None


def test_a_thousand_pictures_of_the_same_make_few_pairs_but_one_group():
    hashes = np.zeros((200, 2), np.uint64)
    found = list(perceptual_hash.nearest_pairs(hashes, np.arange(200), links=5))
    assert len(found) <= 1_000
    assert {row for row, _other, _bits in found} == set(range(1, 200))
    assert all(other < row for row, other, _bits in found)


def test_vectors_pair_what_the_network_takes_for_the_same(project):
    samples = [add(project, encoded(scene(0))) for _number in range(4)]
    rows = np.random.default_rng(3).normal(size=(4, 32)).astype(np.float32)
    rows[3] = rows[0] * 2 + 0.01
    vectors = {sample.sha256: row for sample, row in zip(samples, rows, strict=True)}
    keys = [(sample.pk, sample.sha256) for sample in samples]
    assert near_duplicates.find_by_vectors(project, keys, vectors, "a backbone") == 1
    assert paired() == {(samples[0].pk, samples[3].pk)}
    assert near_duplicates.find_by_vectors(project, keys, vectors, "a backbone") == 0


def test_what_only_the_network_takes_for_the_same_contradicts_nothing(project):
    first, second = add(project, scene(1)), add(project, scene(2), "dog")
    NearDuplicate.objects.create(first=first, second=second, by="vectors", similarity=0.98)
    assert not contradictions.contradictions_of(project).exists()


def test_the_periodic_task_asks_once_for_projects_with_new_pictures(project):
    add(project, scene(1))
    make_project()
    assert (contradictions.request_searches(), contradictions.request_searches()) == (1, 0)
    jobs.run_due_jobs()
    assert Job.objects.get().status == Job.Status.SUCCEEDED
    assert contradictions.request_searches() == 0


def test_twins_with_different_labels_wait_for_review_once(project):
    first = add(project, scene(1))
    second = add(project, scene(1).resize((80, 60)), "dog")
    add(project, scene(1).resize((100, 75)), "dog")
    near_duplicates.find_by_hashes(project)
    differing = set(contradictions.contradictions_of(project).values_list("first", "second"))
    assert (first.pk, second.pk) in differing
    assert contradictions.request_review(project) > 0
    assert contradictions.request_review(project) == 0
    assert set(Recheck.objects.values_list("reason", flat=True)) == {"contradiction"}
    Decision.objects.create(
        sample=first, category=project.categories.get(name="dog"), outcome="labelled"
    )
    assert not contradictions.contradictions_of(project).exists()


@pytest.fixture
def twins(project):
    first, second = add(project, scene(1)), add(project, scene(1).resize((80, 60)), "dog")
    near_duplicates.find_by_hashes(project)
    return first, second


def test_twins_stand_side_by_side_until_somebody_says_that_they_differ(client, project, twins):
    client.force_login(make_user("reviewer"))
    url = f"/training/{project.slug}/near-duplicates/"
    shown = client.get(url).content.decode()
    assert "cat or dog?" in shown and "Show the 1 pair with different labels" in shown
    assert "cat or dog?" in client.get(f"{url}?show=differing").content.decode()
    key = NearDuplicate.objects.get().pk
    assert client.post(f"{url}{key}/").status_code == 302
    assert "There are none." in client.get(url).content.decode()


def test_a_pair_cannot_be_declared_apart_through_another_project(client, project, twins):
    client.force_login(make_user("reviewer"))
    url = f"/training/{make_project().slug}/near-duplicates/{NearDuplicate.objects.get().pk}/"
    assert client.post(url).status_code == 409
    assert contradictions.contradictions_of(project).exists()


def test_many_pairs_take_no_more_queries(client, project, django_assert_max_num_queries):
    samples = [add(project, scene(0)) for _number in range(12)]
    NearDuplicate.objects.bulk_create(
        NearDuplicate(first=one, second=other, by="hashes", similarity=0.99)
        for one, other in itertools.pairwise(samples)
    )
    client.force_login(make_user("reviewer"))
    with django_assert_max_num_queries(15):
        client.get(f"/training/{project.slug}/near-duplicates/")


def test_the_database_knows_a_pair_once_and_in_one_order(project, twins):
    first, second = twins
    for one, other in ((first, second), (second, first), (first, first)):
        with pytest.raises(IntegrityError), transaction.atomic():
            NearDuplicate.objects.create(first=one, second=other, by="hashes", similarity=1)
