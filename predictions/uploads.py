"""Takes pictures in: counts them, checks them, and keeps each once, whole or not at all.

The picture is stored before its row is written: a row never points at nothing, and no transaction waits for a disk or a
blob service. When the row cannot be written, the stored copy is removed again.
"""

import logging
import unicodedata
from datetime import UTC, datetime, time, timedelta

from django.conf import settings
from django.core.cache import cache
from django.core.files.base import ContentFile, File
from django.core.files.storage import storages
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from classifr.common.errors import QuotaReached, Unavailable
from classifr.common.media import images
from classifr.common.media.images import Picture
from classifr.common.media.upload_handlers import read_file
from predictions.models import DailyUploads, Project, Sample

logger = logging.getLogger(__name__)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SUFFIX = {"image/jpeg": "jpg", "image/png": "png"}
_SHOWN_CHARACTERS = 200


def receive(project: Project, file: File, *, by: User) -> tuple[Sample, Picture]:
    """Take in one upload of a user, and return the sample that it is and the picture, ready for a predictor.

    Raises:
        QuotaReached: too many pictures, too fast or today; says when again.
        InvalidPicture: the file is no picture that we accept.
        Unavailable: it cannot be stored now; nothing of it was kept.
    """
    count_one(by)
    picture = images.receive(read_file(file))
    sample, _created = keep(project, picture, by=by)
    return sample, picture


def count_one(user: User) -> None:
    """Count one more picture of this user, or raise QuotaReached. What turns out to be no picture counts as well."""
    _check_rate(user)
    _check_quota(user)


def keep(
    project: Project, picture: Picture, *, by: User | None, origin: str = Sample.Origin.UPLOAD
) -> tuple[Sample, bool]:
    """Store a picture and return its sample, and whether that is new.

    The same bytes are the same sample; one whose picture was let go gets it back. Of two uploads of the same bytes at
    once, one makes the sample and both get it.
    """
    sample = Sample.objects.filter(project=project, sha256=picture.sha256).first()
    if sample is not None and sample.has_picture:
        return sample, False
    fresh = Sample(project=project, sha256=picture.sha256, uploaded_by=by, origin=origin, capture=dict(picture.capture))
    _describe(fresh, picture, file_name=_store(project, picture, fresh))
    try:
        if sample is None:
            with transaction.atomic():
                fresh.save(force_insert=True)
            return fresh, True
        return _give_back(sample, fresh), False
    except IntegrityError:
        _remove(fresh.file_name)
        quicker = Sample.objects.filter(project=project, sha256=picture.sha256).first()
        if quicker is None:
            raise
        return quicker, False
    except BaseException:
        _remove(fresh.file_name)
        raise


def shown_name(name: str) -> str:
    """Return a user's file name as it may be shown: no folders, no characters that are invisible or turn the text."""
    base = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(character for character in base if unicodedata.category(character)[0] != "C")
    name = " ".join(visible.split())
    if len(name) <= _SHOWN_CHARACTERS:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 10:
        return f"{name[: _SHOWN_CHARACTERS - 1]}…"
    return f"{stem[: _SHOWN_CHARACTERS - len(suffix) - 2]}….{suffix}"


def _store(project: Project, picture: Picture, sample: Sample) -> str:
    """Store our encoding under our own name, and return that name."""
    name = f"{project.slug}/{sample.uuid}.{_SUFFIX[picture.media_type]}"
    try:
        return storages[Sample.Location.UPLOADS].save(name, ContentFile(picture.data))
    except OSError as error:
        logger.exception("A picture could not be stored")
        message = _("The picture could not be stored just now, so nothing was kept of it. Try again in a minute.")
        raise Unavailable(message, retry_after_seconds=60) from error


def _describe(sample: Sample, picture: Picture, *, file_name: str) -> None:
    sample.location, sample.file_name, sample.media_type = Sample.Location.UPLOADS, file_name, picture.media_type
    sample.width, sample.height = picture.size
    sample.size_bytes = len(picture.data)


def _give_back(sample: Sample, fresh: Sample) -> Sample:
    """Give a sample its picture again, unless somebody else did so in the meantime."""
    fields = ("location", "file_name", "media_type", "width", "height", "size_bytes")
    changed = Sample.objects.filter(pk=sample.pk, location=Sample.Location.NOWHERE).update(
        **{name: getattr(fresh, name) for name in fields}
    )
    if not changed:
        _remove(fresh.file_name)
    sample.refresh_from_db()
    return sample


def _remove(file_name: str) -> None:
    try:
        storages[Sample.Location.UPLOADS].delete(file_name)
    except OSError:
        logger.exception("%s stays behind in the storage of uploads", file_name)


def _check_rate(user: User) -> None:
    """Count in the cache, in windows of fixed length: cheap, and exact enough for a rate.

    A cache that cannot be reached lets pictures pass; the quota still holds.
    """
    count, _slash, unit = settings.UPLOAD_RATE.partition("/")
    seconds = _SECONDS[unit[:1]]
    now = timezone.now().timestamp()
    key = f"uploads:{user.pk}:{int(now // seconds)}"
    try:
        cache.add(key, 0, timeout=seconds)
        sent = cache.incr(key)
    except Exception:  # every cache has errors of its own
        logger.exception("The rate of uploads is not counted")
        return
    if sent > int(count):
        wait = int(seconds - now % seconds) + 1
        message = _("These were more than %(count)s pictures in a short time. Try again in %(seconds)s seconds.")
        raise QuotaReached(message % {"count": count, "seconds": wait}, retry_after_seconds=wait)


def _check_quota(user: User) -> None:
    """Count in the database, in one guarded UPDATE: exact over all processes, and it survives a restart."""
    now = timezone.now().astimezone(UTC)
    today = now.date()
    own = DailyUploads.objects.filter(user=user)
    for _attempt in range(2):
        if own.filter(day=today, pictures__lt=settings.UPLOAD_QUOTA).update(pictures=F("pictures") + 1):
            return
        if own.filter(day__lt=today).update(day=today, pictures=1):
            return
        # The first upload ever; or another one of this moment began the day, and the second attempt counts with it
        DailyUploads.objects.bulk_create([DailyUploads(user=user, day=today)], ignore_conflicts=True)
    midnight = datetime.combine(today + timedelta(days=1), time(), UTC)
    message = _("You have sent %(count)s pictures today, which is the limit. Go on tomorrow, or ask a maintainer.")
    raise QuotaReached(
        message % {"count": settings.UPLOAD_QUOTA}, retry_after_seconds=int((midnight - now).total_seconds()) + 1
    )
