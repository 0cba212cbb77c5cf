"""What every kind of sample decides for itself: its door, its view and who learns from it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.files.base import File
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from common.errors import InvalidInput
from common.media.content import Content

ContentT = TypeVar("ContentT", bound=Content)


class WrongKind(InvalidInput):
    """What was sent is of another kind than the project's."""

    code = "unsupported_media_type"
    status = 415


@dataclass(frozen=True)
class Sentences:
    """What pages say of a sample, where a picture and a text need other words."""

    noun: Promise  # "Pictures", as the name of the kind
    choose_first: Promise
    send_one: Promise  # to whoever calls the API without any
    too_many: Promise  # with %(limit)d
    classify_many: Promise
    classify_another: Promise
    not_kept: Promise
    not_kept_short: Promise
    not_kept_unanswered: Promise
    ok_not_kept: Promise
    nok_kept: Promise
    unsure_kept: Promise
    what_nok_does: Promise
    what_ok_does: Promise
    is_unfamiliar: Promise
    is_unsure: Promise
    asks_why: Promise
    add_some: Promise


class Modality(ABC, Generic[ContentT]):
    """One kind of sample. `alias` is the value of `Project.modality`.

    `stored_types` are the media types of what is kept, `accepted_types` those that the body of a
    request may have, each as a whole type or as "image/*"; templates that show a sample are in
    `templates/predictions/<alias>/`.
    """

    alias: str
    sentences: Sentences
    stored_types: Sequence[str]
    accepted_types: Sequence[str]

    @abstractmethod
    def decode_upload(
        self, data: bytes, *, least_side: int | None = None, sender: object = None
    ) -> ContentT:
        """Make content of bytes that anybody may have sent.

        Raises:
            InvalidInput: with a sentence that says what is wrong and what is accepted.
            Unavailable: there is no memory for it now.
        """

    @abstractmethod
    def decode_stored(
        self, data: bytes, facts: "StoredFacts", *, least_side: int | None = None
    ) -> ContentT:
        """Make content of what is stored. Raises OSError: the bytes were damaged since."""

    @abstractmethod
    def cost(self, data: bytes) -> float:
        """Return what decoding will cost, in the megapixels that quotas count."""

    @abstractmethod
    def default_trainer(self) -> str:
        """Return the alias of the trainer of a project that names none."""

    @abstractmethod
    def most_at_once(self) -> int:
        """Return how many samples a batch may have."""

    def submitted(self, fields: Mapping[str, str], files: Sequence[File]) -> Sequence[File]:
        """Return the samples that a form brings, a file for each, not checked yet.

        Raises InvalidInput for a file that holds none.
        """
        return files

    def check_media_type(self, media_type: str) -> None:
        """Raise WrongKind if the body of a request is of a type that is not taken here."""
        main = media_type.partition(";")[0].strip().lower()
        if (
            main
            and main not in self.accepted_types
            and (f"{main.partition('/')[0]}/*" not in self.accepted_types)
        ):
            raise WrongKind(
                _("This project does not take a body of the type %(type)s. %(send)s")
                % {"type": main, "send": self.sentences.send_one}
            )

    def context(self) -> dict[str, Any]:
        """Return what the page on which samples are sent needs to know."""
        return {}


@dataclass(frozen=True)
class StoredFacts:
    """What the row of a sample says of its stored bytes."""

    media_type: str
    sha256: str
    size: tuple[int, int]
