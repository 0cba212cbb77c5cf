"""A local model as an archive that runs elsewhere: SavedModel, TensorFlow Lite or ONNX.

Only a worker calls `build_archive`: it loads the Keras model, and with it TensorFlow.
"""

import importlib.util
import io
import json
import logging
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from django.utils.translation import gettext as _

from common.errors import DomainError
from predictions.predictors.base import ModelRef
from predictions.predictors.local import bundles, preprocessing
from training.backbones.keras_session import import_keras_quietly

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

PREDICTOR = "keras"  # whose models are bundles with a Keras model inside
LABELS, README, MANIFEST = "labels.txt", "README.txt", "cvexport.manifest"
PROPERTIES = "metadata_properties.json"
# How exports of Custom Vision say that the whole picture is scaled, whatever its proportions
STRETCHED = {
    "CustomVision.Preprocess.CropMethod": "NoCrop",
    "CustomVision.Preprocess.ResizeMethod": "Stretch",
    "Image.NominalPixelRange": "NominalRange_0_255",
}
README_TEXT = """A model of Classifr: {model}

Input:  "pixels", uint8, shape (N, {size}, {size}, 3): red, green, blue from 0 to 255. Nothing is subtracted or scaled.
Output: probabilities, float32, one for each line of {labels}, in its order.

A picture is made into pixels in this way, or the answers differ from those of the server:
{preprocessing}.

In Python: turn the picture upright with PIL.ImageOps.exif_transpose, convert it to RGB, crop the centred square, and
resize it with PIL.Image.Resampling.BILINEAR to {size} x {size}.
"""  # noqa: E501


class CannotExport(DomainError):
    """This model cannot be made into such an archive."""

    code = "cannot_export"


@dataclass(frozen=True)
class ArchiveFormat:
    """One kind of archive: how Keras calls it, and how its model is called in the folder."""

    name: str
    keras_format: str
    model: str
    target: str  # what Keras is given to write, in the folder; "": the folder itself
    needs: tuple[str, ...] = ()  # modules without which Keras cannot write it

    def write(self, model: "keras.Model", folder: Path) -> None:
        """Put the model into a folder. Raises CannotExport if a module is missing."""
        if missing := [name for name in self.needs if importlib.util.find_spec(name) is None]:
            raise CannotExport(
                _(
                    "ONNX needs %(names)s, which the worker does not have: install "
                    "requirements.txt there."
                )
                % {"names": ", ".join(missing)}
            )
        model.export(folder / self.target, format=self.keras_format, verbose=False)


FORMATS = {
    each.name: each
    for each in (
        ArchiveFormat("saved_model", "tf_saved_model", "saved_model.pb", ""),
        ArchiveFormat("lite", "litert", "model.tflite", "model.tflite"),
        ArchiveFormat("onnx", "onnx", "model.onnx", "model.onnx", needs=("onnx", "tf2onnx")),
    )
}


def build_archive(model: ModelRef, labels: list[str], of: str) -> bytes:
    """Return a ZIP archive of a model.

    Args:
        model: one of the local predictor.
        labels: what its outputs are called, in their order.
        of: a key of `FORMATS`.

    Raises:
        CannotExport: a library is missing.
        PredictorError, PredictorUnavailable: the model cannot be read.
    """
    format_ = FORMATS[of]
    bundle = bundles.open_bundle(model, bundles.KERAS_MODEL)
    size = int(bundle.manifest["input_size"])
    preparation = preprocessing.preparation_of(bundle.manifest) or preprocessing.CENTRED
    facts = {
        "DomainType": "Classification",
        "ModelFileName": format_.model,
        "LabelFileName": LABELS,
        "InputSize": size,
        "Preprocessing": preparation.name,
        "ModelDigest": model.digest,
    }
    readme = README_TEXT.format(
        model=format_.model, size=size, labels=LABELS, preprocessing=preparation.definition
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            format_.write(_probability_model(bundle.paths[bundles.KERAS_MODEL]), folder)
        except CannotExport:
            raise
        except Exception as error:  # converters raise what they like; trying again changes nothing
            logger.exception("A model could not be written as %s", format_.name)
            raise CannotExport(
                _("The model could not be written in this format: %(reason)s") % {"reason": error}
            ) from error
        (folder / LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
        (folder / README).write_text(readme, encoding="utf-8")
        (folder / MANIFEST).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        if preparation.whole:
            (folder / PROPERTIES).write_text(json.dumps(STRETCHED, indent=1), encoding="utf-8")
        return _zipped(folder)


def _probability_model(path: Path) -> "keras.Model":
    """Return the Keras model with the probabilities as its only output."""
    import_keras_quietly()
    import keras

    # The digest was checked already; safe_mode also refuses code that the file might hold
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    served = keras.Model(model.input, model.output["probabilities"], name="classifr")
    # The export to ONNX takes no model that was never called
    served(np.zeros((1, *model.input_shape[1:]), np.uint8))
    return served


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        # SavedModel is a folder of files, the others are one file
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()
