"""Groups: what samples are of. Those of one part, lot or patient stay together in data sets."""

from collections.abc import Iterable

from django.utils.translation import gettext as _

from common.errors import InvalidInput
from predictions.models import Sample, SampleGroup

MAX_NAME = 100


def clean_name(text: str) -> str:
    """Return the name of a group as it is kept, "" for none.

    Raises:
        InvalidInput: it is too long, or holds characters that nobody can see.
    """
    name = " ".join(text.split())
    if len(name) > MAX_NAME or not name.isprintable():
        sentence = _("A group's name has at most %(limit)d characters, all of them visible.")
        sentence %= {"limit": MAX_NAME}
        raise InvalidInput(sentence, fields={"group": [sentence]})
    return name


def put_in_group(samples: Iterable[Sample], name: str) -> None:
    """Note that samples are of this group ("": of none); again, nothing changes."""
    if name:
        SampleGroup.objects.bulk_create(
            (SampleGroup(sample=sample, name=name) for sample in samples), ignore_conflicts=True
        )
