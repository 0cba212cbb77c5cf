"""Names that a reader takes for the same are the same: one key for them, unique in the database.

Upper and lower case, composed and compatible characters (NFKC), and characters that nobody sees
make no other name. A database compares letters in its own way (SQLite knows ASCII alone), so the
key is made here.
"""

import hashlib
import re
import unicodedata
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _

MAX_KEY = 255
_TWIN = "\n"  # stands in no name: what follows it keeps the keys of twins from before apart

# Default_Ignorable_Code_Point of Unicode 16, but the joiners; and the flags that a black one and
# tags make, in which the tags are seen
_FLAG = "\U0001f3f4[\U000e0020-\U000e007f]+"
_IGNORABLE = re.compile(
    f"{_FLAG}|[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Zero-width (non-)joiners matter in the scripts of India and Persia and in emoji, all beyond these
_IDLE_JOINER = re.compile(
    "(?<![\u0600-\U0010ffff])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\U0010ffff])"
)
# Variation selectors belong to emoji: kept in what is shown, ignored in the key
_SHOWN = ("\U0001f3f4", "\ufe0e", "\ufe0f")


def without_invisible(name: str) -> str:
    """Return a name without the characters that nobody sees, but those that others need."""
    seen = _IGNORABLE.sub(lambda found: found[0] if found[0].startswith(_SHOWN) else "", name)
    return _IDLE_JOINER.sub("", seen)


def comparison_key(name: str) -> str:
    """Return what two names have in common that a reader takes for the same."""
    seen = _IGNORABLE.sub(lambda found: found[0] if len(found[0]) > 1 else "", name)
    folded = unicodedata.normalize("NFKC", seen).casefold()
    key = " ".join(_IDLE_JOINER.sub("", unicodedata.normalize("NFKC", folded)).split())
    return key if len(key) <= MAX_KEY // 2 else hashlib.sha256(key.encode()).hexdigest()


def twin_key(key: str, number: int) -> str:
    """Return the key of a row that had a twin before keys were unique."""
    return f"{key}{_TWIN}{number}"


class NameKeyField(models.CharField):
    """Holds the comparison key of another field of its row, which whoever saves the row has made.

    Args:
        of: the name of that field.
    """

    def __init__(self, *, of: str, **options: Any) -> None:
        self.of = of
        options.setdefault("max_length", MAX_KEY)
        options.setdefault("editable", False)
        options.setdefault("default", "")
        super().__init__(**options)

    def deconstruct(self) -> Any:
        name, path, positional, options = super().deconstruct()
        return name, path, positional, {**options, "of": self.of}

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        key = comparison_key(getattr(model_instance, self.of))
        # A twin from before goes on as it is until it gets another name
        if (kept := getattr(model_instance, self.attname)).partition(_TWIN)[0] != key:
            kept = key
        setattr(model_instance, self.attname, kept)
        return kept


class UniqueNames(models.Model):
    """A model with name keys: they follow the names, and forms tell who has a name already.

    `name_scope` names the fields within which the names are unique.
    """

    name_scope: tuple[str, ...] = ()

    class Meta:
        abstract = True

    def save(self, *args: Any, update_fields: Any = None, **options: Any) -> None:
        if update_fields is not None:
            keys = [field.name for field in self._name_keys() if field.of in update_fields]
            update_fields = [*update_fields, *keys]
        super().save(*args, update_fields=update_fields, **options)

    def clean(self) -> None:
        super().clean()
        others = type(self)._default_manager.exclude(pk=self.pk)
        others = others.filter(**{name: getattr(self, name) for name in self.name_scope})
        for field in self._name_keys():
            key = field.pre_save(self, add=False)
            if key and others.filter(**{field.name: key}).exists():
                raise ValidationError({field.of: _("This name is already in use.")})

    @classmethod
    def twins(cls) -> models.QuerySet:
        """Return the rows with a name that another row had already when names became unique."""
        is_twin = models.Q()
        for field in cls._name_keys():
            is_twin |= models.Q(**{f"{field.name}__contains": _TWIN})
        return cls._default_manager.filter(is_twin)

    @classmethod
    def _name_keys(cls) -> list[NameKeyField]:
        return [field for field in cls._meta.concrete_fields if isinstance(field, NameKeyField)]


def fill_name_keys(model: type[models.Model], *scope: str) -> None:
    """Give every row of a migration's model its keys; the second of two that are alike, a twin's.

    The first one is that with the lowest key, the oldest.
    """
    fields = [field for field in model._meta.concrete_fields if isinstance(field, NameKeyField)]
    known: set[tuple] = set()
    for row in model._base_manager.order_by("pk").iterator():
        for field in fields:
            key = comparison_key(getattr(row, field.of))
            place = (field.name, *(getattr(row, name) for name in scope), key)
            if place in known and key:
                key = twin_key(key, row.pk)
            known.add(place)
            setattr(row, field.attname, key)
        model._base_manager.filter(pk=row.pk).update(
            **{field.name: getattr(row, field.attname) for field in fields}
        )
