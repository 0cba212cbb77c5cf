"""Takes samples in: counts them, checks them, and keeps each once, whole or not at all.

The picture is stored before its row is written: a row never points at nothing, and no transaction
waits for a disk or a blob service. When the row cannot be written, the stored copy is removed
again.
"""

import logging
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.files.base import ContentFile, File
from django.core.files.storage import storages
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import DomainError, Unavailable
from common.media.content import EXTENSIONS, Content
from common.media.upload_handlers import read_upload
from predictions import conditions, projects, queries
from predictions.conditions import NONE, Conditions
from predictions.modalities import modalities, modality_of_type
from predictions.modalities.base import StoredFacts
from predictions.models import Project, Sample
from predictions.quotas import count_upload

logger = logging.getLogger(__name__)

_SHOWN_CHARACTERS = 200


def store_upload(
    project: Project,
    file: File,
    *,
    by: User,
    least_side: int | None = None,
    given: Conditions = NONE,
) -> tuple[Sample, Content]:
    """Take in one upload of a user; return its sample and the content, ready for a predictor.

    Args:
        given: capture conditions that came with it.

    Raises:
        ProjectArchived: the project takes nothing new.
        QuotaReached: too many pictures, too fast or today; says when again.
        InvalidInput: the file is no picture, or no text, that we accept.
        Unavailable: it cannot be stored now; nothing of it was kept.
    """
    picture = decode_user_upload(project, file, by=by, least_side=least_side)
    with kept(project, picture, by=by, given=given) as (sample, _is_new):
        return sample, picture


def decode_user_upload(
    project: Project, file: File, *, by: User, least_side: int | None = None
) -> Content:
    """Count one upload of a user and what decoding it costs; return its content, not stored yet.

    Raises as `store_upload` does, except Unavailable.

    Args:
        least_side: as many pixels of its shorter side are needed now; all of them unless given.
    """
    projects.refuse_archived(project)
    modality = modalities[project.modality]
    try:
        data = read_upload(file)
    except DomainError:
        count_upload(by)  # one that is refused for its length was received all the same
        raise
    # Counted before it is decoded, which is what the quota protects.
    count_upload(by, megapixels=modality.cost(data))
    return modality.decode_upload(data, least_side=least_side, sender=by.pk)


@contextmanager
def kept(
    project: Project,
    picture: Content,
    *,
    by: User | None,
    origin: str = Sample.Origin.UPLOAD,
    given: Conditions = NONE,
) -> Iterator[tuple[Sample, bool]]:
    """Store a picture or a text, and give its sample and whether that is new to the body.

    The body belongs to the transaction that writes the row: if it fails, neither is kept.

    The same picture is the same sample, whatever its metadata; one whose picture was deleted gets
    it back. Of two uploads of the same picture at once, one makes the sample and both get it. The
    capture conditions that were `given`, or read from the picture, are kept with the sample.

    Raises ProjectArchived if the project takes nothing new.
    """
    projects.refuse_archived(project)
    known = queries.find_sample(project, picture)
    if known is not None and known.has_picture:
        with transaction.atomic():
            conditions.record_conditions(known, given)
            yield known, False
        return
    fresh = Sample(
        project=project,
        sha256=picture.sha256,
        uploaded_by=by,
        origin=origin,
        capture=dict(picture.capture),
    )
    # Before the transaction: none waits for a disk or a blob service.
    fresh.location, fresh.file_name = Sample.Location.UPLOADS, _store(project, picture, fresh)
    fresh.media_type, fresh.size_bytes = picture.media_type, len(picture.data)
    fresh.width, fresh.height = picture.size
    try:
        with transaction.atomic():
            sample = _give_back(known, fresh) if known else _insert_or_find(fresh, picture)
            told = conditions.conditions_of_capture(picture.capture) if sample is fresh else NONE
            conditions.record_conditions(sample, {**told, **given})
            yield sample, sample is fresh
    except BaseException:  # also a process that is told to end
        _remove(fresh.file_name)
        raise
    if sample.file_name != fresh.file_name:  # another upload of the same picture was quicker
        _remove(fresh.file_name)


def keep_to_learn_from(project: Project, picture: Content, *, by: User | None) -> Sample:
    """Store a picture to learn from: retention lets it alone, also where users sent it before."""
    with kept(project, picture, by=by, origin=Sample.Origin.IMPORT) as (sample, is_new):
        pass
    if not is_new:
        Sample.objects.filter(pk=sample.pk, origin=Sample.Origin.UPLOAD).update(
            origin=Sample.Origin.IMPORT
        )
        if not Sample.objects.with_picture().filter(pk=sample.pk).exists():
            # Let go a moment before that
            with kept(project, picture, by=by, origin=Sample.Origin.IMPORT) as (sample, _is_new):
                pass
    return sample


def load_picture(sample: Sample, *, least_side: int | None = None) -> Content:
    """Return the stored content of a sample, for a predictor that needs `least_side` pixels.

    Raises:
        FileNotFoundError: it was deleted, is not there, or is damaged: waiting for it would not
            help.
        Unavailable: the storage does not answer.
    """
    if not sample.has_picture:
        raise FileNotFoundError(sample.file_name)
    try:
        data = sample.read()
    except FileNotFoundError:
        raise
    except Exception as error:  # every storage raises its SDK's own errors
        raise Unavailable(
            _("The picture storage does not answer. Please try again in a moment.")
        ) from error
    try:
        facts = StoredFacts(sample.media_type, sample.sha256, (sample.width, sample.height))
        modality = modality_of_type(sample.media_type)
        return modality.decode_stored(data, facts, least_side=least_side)
    except OSError as error:
        logger.error("The stored picture %s is damaged: %s", sample.file_name, error)
        raise FileNotFoundError(sample.file_name) from error


def display_name(name: str) -> str:
    """Return a user's file name as it may be shown: no folders, no invisible characters."""
    # The categories C* hold those that turn the text, too: "gpj.exe" cannot look like "exe.jpg".
    base = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(character for character in base if unicodedata.category(character)[0] != "C")
    name = " ".join(visible.split())
    if len(name) <= _SHOWN_CHARACTERS:
        return name
    # Shortened in the middle: the suffix is what tells files apart.
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 10:
        return f"{name[: _SHOWN_CHARACTERS - 1]}…"
    return f"{stem[: _SHOWN_CHARACTERS - len(suffix) - 2]}….{suffix}"


def _store(project: Project, picture: Content, sample: Sample) -> str:
    """Store our encoding under our own name, and return that name."""
    name = f"{project.slug}/{sample.uuid}.{EXTENSIONS[picture.media_type]}"
    try:
        return storages[Sample.Location.UPLOADS].save(name, ContentFile(picture.data))
    except OSError as error:
        logger.exception("A picture could not be stored")
        message = _(
            "The picture could not be stored, so nothing was kept of it. Try again in a minute."
        )
        raise Unavailable(message, retry_after_seconds=60) from error


def _insert_or_find(fresh: Sample, picture: Content) -> Sample:
    """Write the row of a sample; where another upload of the picture was quicker, return its."""
    # ON CONFLICT rather than an error: that one would have ended the transaction on PostgreSQL.
    if queries.insert_sample(fresh):
        return fresh
    quicker = queries.find_sample(fresh.project, picture)
    if quicker is None:
        raise IntegrityError(f"The row of {fresh.file_name} was not written.")
    return quicker


def _give_back(sample: Sample, fresh: Sample) -> Sample:
    """Give a sample its picture again, unless another upload did so in the meantime."""
    fields = ("location", "file_name", "media_type", "width", "height", "size_bytes")
    content = "" if sample.sha256 == fresh.sha256 else fresh.sha256
    Sample.objects.filter(pk=sample.pk, location=Sample.Location.NOWHERE).update(
        content_sha256=content, **{name: getattr(fresh, name) for name in fields}
    )
    sample.refresh_from_db()
    return sample


def _remove(file_name: str) -> None:
    try:
        storages[Sample.Location.UPLOADS].delete(file_name)
    except OSError:
        logger.exception("%s stays behind in the storage of uploads", file_name)
