"""Texts: messages, reviews, feedback; up to some thousand characters each."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.errors import InvalidInput
from common.media import text_files, texts
from common.media.texts import Text
from common.media.upload_handlers import read_upload
from predictions.modalities.base import Modality, Sentences, StoredFacts

CHARACTERS_PER_MEGAPIXEL = 5_000  # a text of so many takes about as long as decoding a megapixel


class Texts(Modality[Text]):
    alias = "text"
    stored_types = (texts.MEDIA_TYPE,)
    accepted_types = ("multipart/form-data", "text/plain", "application/json")
    sentences = Sentences(
        noun=gettext_lazy("Texts"),
        choose_first=gettext_lazy("Please write or paste a text first, or choose a file."),
        send_one=gettext_lazy(
            "Send one text: as JSON, {“text”: “...”}, or as the whole body, of the type text/plain "
            "in UTF-8."
        ),
        too_many=gettext_lazy("Too many texts: at most %(limit)d at once."),
        classify_many=gettext_lazy("Classify more texts"),
        classify_another=gettext_lazy("Classify another text"),
        not_kept=gettext_lazy("The text was not kept."),
        not_kept_short=gettext_lazy("Not kept"),
        not_kept_unanswered=gettext_lazy(
            "The text was not kept, so this can no longer be answered."
        ),
        ok_not_kept=gettext_lazy("Thank you. The text is not kept."),
        nok_kept=gettext_lazy("Thank you. The text is kept, and a reviewer will look at it."),
        unsure_kept=gettext_lazy("Thank you. The text is kept until a reviewer has looked at it."),
        what_nok_does=gettext_lazy(
            "With NOK the text and its prediction are stored, so that reviewers can look at it and "
            "the next model gets better."
        ),
        what_ok_does=gettext_lazy("With OK the text is removed."),
        is_unfamiliar=gettext_lazy("This text is unlike anything in the training data."),
        is_unsure=gettext_lazy(
            "The model is unsure about this text: none of its answers is probable enough."
        ),
        asks_why=gettext_lazy("Which words led to this answer?"),
        add_some=gettext_lazy("Add texts"),
    )

    def decode_upload(
        self, data: bytes, *, least_side: int | None = None, sender: object = None
    ) -> Text:
        return texts.decode_upload(data)

    def decode_stored(
        self, data: bytes, facts: StoredFacts, *, least_side: int | None = None
    ) -> Text:
        return Text(texts.decode_stored(data), data, facts.sha256)

    def cost(self, data: bytes) -> float:
        return len(data) / CHARACTERS_PER_MEGAPIXEL

    def default_trainer(self) -> str:
        return settings.DEFAULT_TEXT_TRAINER

    def most_at_once(self) -> int:
        return int(settings.TEXT_BATCH_MAX)

    def submitted(self, fields: Mapping[str, str], files: Sequence[File]) -> Sequence[File]:
        """Return what was typed, and each text of the files: of a CSV every row."""
        written = fields.get("text", "")
        found: list[File] = [ContentFile(written.encode("utf-8", "replace"), name="")]
        if not written.strip():
            found = []
        most = self.most_at_once()
        for file in files:
            name = file.name or ""
            if text_files.kind_of(name) == "txt":
                found.append(file)
                continue
            # One more than fit, so that the batch itself says how many may be sent at once
            for row in text_files.rows_of(name, read_upload(file), most=most):
                found.append(
                    ContentFile(row.text.encode("utf-8", "replace"), f"{name}:{row.number}")
                )
                if len(found) > most:
                    raise InvalidInput(str(self.sentences.too_many) % {"limit": most})
        return found

    def context(self) -> dict[str, Any]:
        return {
            "most_characters": settings.TEXT_MAX_CHARACTERS,
            "most_texts": self.most_at_once(),
            "note": _(
                "Plain text in UTF-8 (.txt), a column “text” (.csv), or JSON Lines (.jsonl)."
            ),
        }
