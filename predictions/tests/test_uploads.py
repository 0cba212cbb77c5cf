"""Pictures are counted, checked, and kept once, whole or not at all."""

import hashlib
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.db import connection
from django.db.models import F
from django.utils import timezone
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from common.errors import QuotaReached, Unavailable
from common.media import images
from common.media.images import InvalidPicture
from predictions import content_digests, uploads
from predictions.models import DailyUploads, Sample
from predictions.tests.factories import (
    keep_picture,
    make_picture_bytes,
    make_project,
    make_sample,
    make_upload,
    make_user,
)

pytestmark = pytest.mark.django_db


def exif_of_camera() -> bytes:
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    return exif.tobytes()


def text_chunk() -> PngInfo:
    info = PngInfo()
    info.add_text("Author", "somebody")
    return info


def stored_names(project) -> list[str]:
    storage = storages["uploads"]
    return storage.listdir(project.slug)[1] if storage.exists(project.slug) else []


@pytest.fixture
def project():
    return make_project()


@pytest.fixture
def alice():
    return make_user(username="alice")


def test_an_upload_becomes_a_stored_sample(project, alice):
    data = make_picture_bytes(size=(64, 48))
    sample, picture = uploads.store_upload(project, make_upload(data), by=alice)
    assert sample.sha256 == hashlib.sha256(sample.read()).hexdigest() == picture.sha256
    assert picture.received_sha256 == hashlib.sha256(data).hexdigest()
    assert (sample.project, sample.uploaded_by, sample.origin) == (project, alice, "upload")
    assert (sample.width, sample.height, sample.media_type) == (64, 48, "image/jpeg")
    assert sample.read() == picture.data
    assert sample.capture["format"] == "JPEG"


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {"comment": b"another one"}),
        ("JPEG", {"exif": exif_of_camera()}),
        ("PNG", {"pnginfo": text_chunk()}),
    ],
)
def test_the_same_picture_with_other_metadata_is_the_same_sample(project, alice, format, options):
    plain = make_picture_bytes("red", format=format)
    told = make_picture_bytes("red", format=format, **options)
    assert plain != told
    first, second = (
        uploads.store_upload(project, make_upload(data), by=alice)[0] for data in (plain, told)
    )
    assert first == second and project.samples.count() == 1


@pytest.fixture
def from_before(project, alice):
    """A sample that is known by the bytes that came, as it was before 0.2, and these bytes."""
    data = make_picture_bytes(comment=b"from before")
    sample, picture = uploads.store_upload(project, make_upload(data), by=alice)
    sample.sha256, sample.content_sha256 = picture.received_sha256, Sample.UNKNOWN_CONTENT
    sample.save()
    return sample, data


def test_a_sample_from_before_is_known_by_the_bytes_that_came(project, alice, from_before):
    sample, data = from_before
    assert uploads.store_upload(project, make_upload(data), by=alice)[0] == sample


def test_a_sample_from_before_is_known_by_its_content_once_that_was_found(
    project, alice, from_before
):
    sample, _data = from_before
    stored = sample.read()
    assert content_digests.find_contents() == 1
    assert content_digests.find_contents() == 0
    assert uploads.store_upload(project, make_upload(stored), by=alice)[0] == sample
    sample.refresh_from_db()
    assert sample.sha256 != sample.content_sha256  # splits and vectors know it as before


def test_a_sample_from_before_whose_picture_is_lost_is_no_trouble(project, from_before):
    sample, _data = from_before
    sample.storage.delete(sample.file_name)
    assert content_digests.find_contents() == 1
    assert content_digests.find_contents() == 0


def test_the_stored_name_is_ours(project, alice):
    sample, _ = uploads.store_upload(
        project, make_upload(name="../../etc/pass\x00wd.php"), by=alice
    )
    assert sample.file_name == f"{project.slug}/{sample.uuid}.jpg"


def test_a_stored_picture_comes_back_as_large_as_a_predictor_needs_it(project, alice):
    sample, picture = uploads.store_upload(
        project, make_upload(make_picture_bytes(size=(640, 480))), by=alice
    )
    again, small = uploads.load_picture(sample), uploads.load_picture(sample, least_side=100)
    assert (again.data, again.sha256, again.media_type) == (
        picture.data,
        picture.sha256,
        "image/jpeg",
    )
    assert (again.image.size, small.image.size) == ((640, 480), (160, 120))
    assert small.size == (640, 480)


def test_a_picture_that_was_let_go_or_is_damaged_is_not_there(project):
    with pytest.raises(FileNotFoundError):
        uploads.load_picture(make_sample(project, location="nowhere"))
    with pytest.raises(FileNotFoundError):
        uploads.load_picture(make_sample(project, data=make_picture_bytes()[:100]))


def test_a_storage_that_does_not_answer_is_told_as_such(project, monkeypatch):
    def broken(sample):
        raise ConnectionError("no route")

    monkeypatch.setattr(Sample, "read", broken)
    with pytest.raises(Unavailable):
        uploads.load_picture(make_sample(project))


def test_what_is_no_picture_is_refused_and_leaves_nothing(project, alice):
    with pytest.raises(InvalidPicture):
        uploads.store_upload(project, make_upload(b"<svg/onload=alert(1)>", name="a.jpg"), by=alice)
    assert not Sample.objects.exists()
    assert stored_names(project) == []


def test_the_same_bytes_are_the_same_sample(project, alice):
    data = make_picture_bytes()
    first, _ = uploads.store_upload(project, make_upload(data), by=alice)
    again, _ = uploads.store_upload(project, make_upload(data), by=make_user())
    assert first == again
    assert len(stored_names(project)) == 1


def test_the_same_bytes_are_another_sample_in_another_project(project, alice):
    data = make_picture_bytes()
    first, _ = uploads.store_upload(project, make_upload(data), by=alice)
    other, _ = uploads.store_upload(make_project(), make_upload(data), by=alice)
    assert first != other


def test_a_sample_that_was_let_go_gets_its_picture_back(project, alice):
    data = make_picture_bytes(size=(30, 20))
    gone = make_sample(project, location="nowhere", sha256=hashlib.sha256(data).hexdigest())
    sample, picture = uploads.store_upload(project, make_upload(data), by=alice)
    assert sample.pk == gone.pk
    assert sample.read() == picture.data
    assert (sample.width, sample.height) == (30, 20)


def test_a_picture_given_back_by_another_in_the_meantime_is_kept_once(project, alice, monkeypatch):
    data = make_picture_bytes()
    gone = make_sample(project, location="nowhere", sha256=hashlib.sha256(data).hexdigest())
    picture, store = images.decode_upload(data), uploads._store

    def store_after_another(*args):
        monkeypatch.setattr(uploads, "_store", store)
        keep_picture(project, picture, by=None)
        return store(*args)

    monkeypatch.setattr(uploads, "_store", store_after_another)
    sample, created = keep_picture(project, picture, by=alice)
    assert (sample, created) == (gone, False)
    assert stored_names(project) == [sample.file_name.rpartition("/")[2]]


def test_of_two_uploads_at_once_one_makes_the_sample(project, alice, monkeypatch):
    picture, store = images.decode_upload(make_picture_bytes()), uploads._store

    def store_after_another(*args):
        monkeypatch.setattr(uploads, "_store", store)
        keep_picture(project, picture, by=None)
        return store(*args)

    monkeypatch.setattr(uploads, "_store", store_after_another)
    sample, created = keep_picture(project, picture, by=alice)
    assert not created
    assert Sample.objects.get() == sample
    assert stored_names(project) == [sample.file_name.rpartition("/")[2]]


def test_a_full_disk_is_told_and_leaves_nothing(project, alice, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("common.storages.DiskStorage._write_whole", full)
    with pytest.raises(Unavailable) as refused:
        uploads.store_upload(project, make_upload(), by=alice)
    assert refused.value.status == 503
    assert refused.value.retry_after_seconds
    assert not Sample.objects.exists()


def test_without_a_row_the_stored_picture_is_removed_again(project, alice, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("database gone")

    monkeypatch.setattr(uploads.queries, "insert_sample", broken)
    with pytest.raises(RuntimeError):
        uploads.store_upload(project, make_upload(), by=alice)
    assert stored_names(project) == []


def test_more_than_the_rate_is_refused_until_the_window_ends(project, alice, settings):
    settings.UPLOAD_RATE = "2/h"
    for _ in range(2):
        uploads.store_upload(project, make_upload(), by=alice)
    with pytest.raises(QuotaReached) as refused:
        uploads.store_upload(project, make_upload(), by=alice)
    assert refused.value.status == 429
    assert 0 < refused.value.retry_after_seconds <= 3601


def test_the_rate_of_one_user_is_not_anothers(project, alice, settings):
    settings.UPLOAD_RATE = "1/h"
    uploads.store_upload(project, make_upload(), by=alice)
    uploads.store_upload(project, make_upload(), by=make_user())


def test_the_rate_is_counted_anew_in_the_next_window(project, alice, settings):
    settings.UPLOAD_RATE = "1/h"
    uploads.store_upload(project, make_upload(), by=alice)
    DailyUploads.objects.update(window=F("window") - 1)
    uploads.store_upload(project, make_upload(), by=alice)
    with pytest.raises(QuotaReached, match="in a short time"):
        uploads.store_upload(project, make_upload(), by=alice)
    assert DailyUploads.objects.get().pictures == 2


def test_more_than_the_quota_of_a_day_is_refused(project, alice, settings):
    settings.UPLOAD_QUOTA = 2
    data = make_picture_bytes()
    for _ in range(2):
        uploads.store_upload(project, make_upload(data), by=alice)
    with pytest.raises(QuotaReached) as refused:
        uploads.store_upload(project, make_upload(data), by=alice)
    assert 0 < refused.value.retry_after_seconds <= 86_401


def test_the_quota_begins_anew_with_the_day(project, alice, settings):
    settings.UPLOAD_QUOTA = 1
    yesterday = timezone.now().date() - timedelta(days=1)
    DailyUploads.objects.create(user=alice, day=yesterday, pictures=1)
    uploads.store_upload(project, make_upload(), by=alice)
    with pytest.raises(QuotaReached):
        uploads.store_upload(project, make_upload(), by=alice)


def test_imports_are_not_counted(project, settings):
    settings.UPLOAD_QUOTA = 0
    sample, created = keep_picture(
        project, images.decode_upload(make_picture_bytes()), by=None, origin="import"
    )
    assert created
    assert sample.origin == "import"


@pytest.mark.django_db(transaction=True)
def test_many_uploads_of_the_same_bytes_at_once_make_one_sample(settings):
    project, users = make_project(), [make_user() for _ in range(4)]
    picture, samples, errors = images.decode_upload(make_picture_bytes()), [], []

    def upload(user):
        try:
            samples.append(keep_picture(project, picture, by=user)[0].pk)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=upload, args=[user]) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(samples) == 4
    assert len(set(samples)) == 1
    assert len(stored_names(project)) == 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("dinner.jpg", "dinner.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Ann\\lunch.png", "lunch.png"),
        ("a\x00b\r\nc.jpg", "abc.jpg"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("  two   words .jpg ", "two words .jpg"),
        ("cafe\u0301.jpg", "café.jpg"),
        ("料理.jpg", "料理.jpg"),
        ("bad\udcffname.jpg", "badname.jpg"),
        ("", ""),
    ],
)
def test_a_name_is_cleaned_for_display(name, shown):
    assert uploads.display_name(name) == shown


def test_a_long_name_keeps_its_ending():
    shown = uploads.display_name("x" * 400 + ".jpeg")
    assert len(shown) == 200
    assert shown.endswith("….jpeg")
    assert len(uploads.display_name("y" * 400)) == 200


def test_what_is_to_be_learned_from_is_let_alone_from_then_on_whoever_sent_it_before():
    project, picture = make_project(), images.decode_upload(make_picture_bytes())
    sent, _created = keep_picture(project, picture, by=make_user())
    assert uploads.keep_to_learn_from(project, picture, by=None) == sent
    sent.refresh_from_db()
    assert sent.origin == Sample.Origin.IMPORT and sent.storage.exists(sent.file_name)


def test_what_was_let_go_a_moment_before_is_stored_again_to_learn_from(monkeypatch):
    project, picture = make_project(), images.decode_upload(make_picture_bytes())
    sent, _created = keep_picture(project, picture, by=make_user())
    keep, kept = uploads.kept, []

    @contextmanager
    def keep_and_let_go(*arguments, **options):
        with keep(*arguments, **options) as found:
            yield found
        kept.append(found)
        if len(kept) == 1:
            Sample.objects.filter(pk=sent.pk).update(location=Sample.Location.NOWHERE, file_name="")

    monkeypatch.setattr(uploads, "kept", keep_and_let_go)
    sample = uploads.keep_to_learn_from(project, picture, by=None)
    assert sample == sent and sample.has_picture and sample.storage.exists(sample.file_name)
