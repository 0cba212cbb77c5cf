"""Pictures: the first modality, for which everything was made."""

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from common.media import cost, images
from common.media.images import Picture
from predictions.modalities.base import Modality, Sentences, StoredFacts


class Pictures(Modality[Picture]):
    alias = "image"
    stored_types = ("image/jpeg", "image/png", "image/webp")
    accepted_types = ("multipart/form-data", "image/*", "application/octet-stream")
    sentences = Sentences(
        noun=_("Pictures"),
        choose_first=_("Please choose a picture first."),
        send_one=_("Send one picture: as `file` of a form, or as the whole body of the request."),
        too_many=_("Too many pictures: at most %(limit)d at once."),
        classify_many=_("Classify more pictures"),
        classify_another=_("Classify another picture"),
        not_kept=_("The picture was not kept."),
        not_kept_short=_("Not kept"),
        not_kept_unanswered=_("The picture was not kept, so this can no longer be answered."),
        ok_not_kept=_("Thank you. The picture is not kept."),
        nok_kept=_("Thank you. The picture is kept, and a reviewer will look at it."),
        unsure_kept=_("Thank you. The picture is kept until a reviewer has looked at it."),
        what_nok_does=_(
            "With NOK the picture and its prediction are stored, so that reviewers can look at it "
            "and the next model gets better."
        ),
        what_ok_does=_("With OK the picture is removed."),
        is_unfamiliar=_("This picture does not look like anything in the training data."),
        is_unsure=_(
            "The model is unsure about this picture: none of its answers is probable enough."
        ),
        asks_why=_("What in the picture led to this answer?"),
        add_some=_("Add pictures"),
    )

    def decode_upload(
        self, data: bytes, *, least_side: int | None = None, sender: object = None
    ) -> Picture:
        return images.decode_upload(data, least_side=least_side, sender=sender)

    def decode_stored(
        self, data: bytes, facts: StoredFacts, *, least_side: int | None = None
    ) -> Picture:
        image = images.decode_stored(data, least_side=least_side)
        return Picture(image, data, facts.media_type, facts.sha256, full_size=facts.size)

    def cost(self, data: bytes) -> float:
        return cost.megapixels(data)

    def default_trainer(self) -> str:
        return settings.DEFAULT_TRAINER

    def most_at_once(self) -> int:
        return int(settings.UPLOAD_BATCH_MAX_FILES)
