"""What in a picture spoke for an answer: asked of the model, drawn over the picture, in words."""

import io
from dataclasses import dataclass

import numpy as np
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from PIL import Image

from accounts.models import User
from common.errors import Conflict, InvalidInput
from common.media.content import Content
from common.media.images import Picture
from predictions import registry, uploads
from predictions.models import Prediction, Sample
from predictions.predictors.base import NotExplainable, PredictorError, predictors
from predictions.predictors.local import preprocessing
from predictions.quotas import count_work

# How bright the grey picture is within the square that the model sees and around it, so that the
# heat stands out.
SEEN, UNSEEN = 0.7, 0.25
SIDE = 640  # of the drawn picture at most: a screen's worth, and a PNG of some 300 KB
# The page asks twice, for the words and for the picture; another category costs nothing
REMEMBERED_SECONDS = 3600
MEGAPIXELS = 40  # a model that looks at all the parts takes about as long as decoding so many
LEAST = 0.05  # log-odds that hiding a part must cost before it is said to have spoken for anything
# Heat from none to most, as red, green, blue; like matplotlib's "inferno" it rises in brightness,
# for those who see no colours.
RAMP = np.array(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], np.float32
)
# The nine places of a square of three by three, row by row.
MOSTLY = (
    gettext_lazy("The evidence is mostly at the top left."),
    gettext_lazy("The evidence is mostly at the top."),
    gettext_lazy("The evidence is mostly at the top right."),
    gettext_lazy("The evidence is mostly at the left."),
    gettext_lazy("The evidence is mostly in the middle."),
    gettext_lazy("The evidence is mostly at the right."),
    gettext_lazy("The evidence is mostly at the bottom left."),
    gettext_lazy("The evidence is mostly at the bottom."),
    gettext_lazy("The evidence is mostly at the bottom right."),
)
SPREAD = (
    gettext_lazy("The evidence is spread over the picture, most of it at the top left."),
    gettext_lazy("The evidence is spread over the picture, most of it at the top."),
    gettext_lazy("The evidence is spread over the picture, most of it at the top right."),
    gettext_lazy("The evidence is spread over the picture, most of it at the left."),
    gettext_lazy("The evidence is spread over the picture, most of it in the middle."),
    gettext_lazy("The evidence is spread over the picture, most of it at the right."),
    gettext_lazy("The evidence is spread over the picture, most of it at the bottom left."),
    gettext_lazy("The evidence is spread over the picture, most of it at the bottom."),
    gettext_lazy("The evidence is spread over the picture, most of it at the bottom right."),
)


class PictureDeleted(Conflict):
    """The picture was deleted, and only a picture can be looked at again."""

    code = "picture_gone"


@dataclass(frozen=True)
class Explanation:
    """How much each part of what the model sees spoke for each category, in log-odds.

    `evidence` is of shape (rows, columns, K), or of a text (parts, K), in the order of `names`.
    """

    names: list[str]
    evidence: np.ndarray

    def category_index(self, name: str) -> int:
        """Return the place of a category. Raises InvalidInput if the model does not know it."""
        if name not in self.names:
            sentence = _("The model does not know this category. Please choose one from the list.")
            raise InvalidInput(sentence, fields={"category": [sentence]})
        return self.names.index(name)

    def heat(self, name: str) -> np.ndarray:
        """Return what spoke for a category, shaped as `evidence`, in [0, 1]; zeros for nothing."""
        # What spoke against it is left out. Below LEAST, scaling would blow noise up to full heat.
        spoke_for = self.evidence[..., self.category_index(name)].clip(0, None)
        most = float(spoke_for.max(initial=0))
        return spoke_for / most if most >= LEAST else np.zeros_like(spoke_for)


def explain_prediction(prediction: Prediction, *, by: User | None = None) -> Explanation:
    """Have the model that gave an answer look at its picture again, part by part.

    Args:
        by: whose quota it counts for, if not that of the user who got the answer.

    Raises:
        PictureDeleted: the picture was deleted.
        QuotaReached: the user had this done too often; says when again.
        NotExplainable: the predictor cannot tell.
        PredictorUnavailable, PredictorError: the model does not answer.
    """
    version, key = prediction.model_version, f"explanation-{prediction.uuid}"
    names = registry.class_names_now(version)
    if (kept := caches["explanations"].get(key)) is not None:
        return Explanation(names, kept)
    try:
        predictor = predictors[version.predictor]
    except ImproperlyConfigured as error:
        raise PredictorError(str(error)) from error
    model = registry.model_ref(version)
    # Counted before the work, and not for what is remembered.
    count_work(by or prediction.user, megapixels=MEGAPIXELS + _megapixels(prediction.sample))
    picture = _picture(prediction.sample, least_side=predictor.least_side(model))
    evidence = predictor.explain(picture, model).astype(np.float32)
    caches["explanations"].set(key, evidence, REMEMBERED_SECONDS)
    return Explanation(names, evidence)


def current_category_name(prediction: Prediction, explanation: Explanation) -> str:
    """Return what the category that was answered is called now."""
    for name in (prediction.top.name if prediction.top else "", prediction.ranked[0][0]):
        if name in explanation.names:
            return name
    return explanation.names[0]


def describe_location(heat: np.ndarray) -> str:
    """Say in words which ninth of what the model sees the heat is in.

    Args:
        heat: its rows and columns are divisible by three.
    """
    rows, columns = heat.shape
    ninths = heat.reshape(3, rows // 3, 3, columns // 3).sum(axis=(1, 3))
    if not ninths.any():
        return _("No single part of the picture was decisive.")
    strongest = int(ninths.argmax())
    is_concentrated = ninths.flat[strongest] >= ninths.sum() / 3
    return str((MOSTLY if is_concentrated else SPREAD)[strongest])


def render_heatmap(prediction: Prediction, heat: np.ndarray, *, by: User | None = None) -> bytes:
    """Return the picture in grey, the heat over it in colour, dark where no model looks; as PNG.

    Raises as `explain` does.
    """
    count_work(by or prediction.user, megapixels=_megapixels(prediction.sample))
    picture = _picture(prediction.sample, least_side=SIDE)
    if not isinstance(picture, Picture):
        raise NotExplainable(_("Only over a picture can a heat map be drawn."))
    image = picture.image
    image.thumbnail((SIDE, SIDE))
    preparation = preprocessing.preparation_of(prediction.model_version.manifest)
    left, top, right, bottom = preprocessing.seen_part(
        image.size, preparation=preparation or preprocessing.CENTRED
    )
    seen = slice(top, bottom), slice(left, right)
    large = Image.fromarray(heat.astype(np.float32)).resize(
        (right - left, bottom - top), Image.Resampling.BICUBIC
    )
    strength = np.asarray(large).clip(0, 1)[:, :, None]
    grey = np.repeat(np.asarray(image.convert("L"), np.float32)[:, :, None], 3, axis=2)
    canvas = grey * UNSEEN
    square = grey[seen] * SEEN
    # The root lifts faint heat into sight; a quarter of the picture shows through the strongest.
    share = 0.75 * np.sqrt(strength)
    canvas[seen] = square * (1 - share) + colour_map(strength[:, :, 0]) * share
    buffer = io.BytesIO()
    Image.fromarray(canvas.round().astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def colour_map(strength: np.ndarray) -> np.ndarray:
    """Return the colour of every value in [0, 1], along the last axis."""
    places = np.linspace(0, 1, len(RAMP))
    return np.stack(
        [np.interp(strength, places, RAMP[:, channel]) for channel in range(3)], axis=-1
    )


def _megapixels(sample: Sample) -> float:
    return sample.width * sample.height / 1e6  # what is stored has one scan


def _picture(sample: Sample, *, least_side: int | None) -> Content:
    try:
        return uploads.load_picture(sample, least_side=least_side)
    except FileNotFoundError as error:
        raise PictureDeleted(
            _("The picture was not kept, so it can no longer be reviewed.")
        ) from error
