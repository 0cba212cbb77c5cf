"""A local model as an archive that runs elsewhere: SavedModel, TensorFlow Lite or ONNX.

Only a worker calls `build_archive`: it loads the Keras model, and with it TensorFlow. A model that
an int8 file serves has none: its network is made anew. As TensorFlow Lite it is in int8 again; the
other formats compute in float32 and round where int8 does, so they answer nearly the same.
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
from predictions.predictors.local.heads import Head
from training import backbones
from training.backbones import quantization
from training.backbones.base import Backbone
from training.backbones.keras_session import import_keras_quietly
from training.errors import TrainingFailed
from training.trainers.local import export

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

PREDICTOR = "keras"  # whose models are bundles with a Keras model inside
LITE = "lite"
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
{remark}"""  # noqa: E501
IN_FLOAT = """
The server computes this model in int8. This file computes in float32 and rounds where int8 does, so a probability may
differ by some hundredths, and it is slower than in int8. As TensorFlow Lite the model is in int8, as on the server.
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
        ArchiveFormat(LITE, "litert", "model.tflite", "model.tflite"),
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
    bundle = bundles.open_bundle(model)
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
    in_int8 = bundles.KERAS_MODEL not in bundle.paths
    readme = README_TEXT.format(
        model=format_.model,
        size=size,
        labels=LABELS,
        preprocessing=preparation.definition,
        remark=IN_FLOAT if in_int8 and of != LITE else "",
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            if in_int8 and of == LITE:
                (folder / format_.model).write_bytes(_int8_file(bundle))
            else:
                format_.write(_probability_model(bundle), folder)
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


def _probability_model(bundle: bundles.ModelBundle) -> "keras.Model":
    """Return the Keras model with the probabilities as its only output."""
    import_keras_quietly()
    import keras

    if path := bundle.paths.get(bundles.KERAS_MODEL):
        # The digest was checked already; safe_mode also refuses code that the file might hold
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    else:
        backbone, head = _backbone_and_head(bundle)
        model = export.build_int8_model(backbone.build(), head, scaled=False)
    served = keras.Model(model.input, model.output["probabilities"], name="classifr")
    # The export to ONNX takes no model that was never called
    served(np.zeros((1, *model.input_shape[1:]), np.uint8))
    return served


def _int8_file(bundle: bundles.ModelBundle) -> bytes:
    """Return the served file with the head in it."""
    import_keras_quietly()
    import keras

    backbone, head = _backbone_and_head(bundle)
    model = export.build_int8_model(backbone.build(), head, scaled=True)
    probabilities = {"probabilities": model.output["probabilities"]}
    return quantization.to_litert(keras.Model(model.input, probabilities), int8=True)


def _backbone_and_head(bundle: bundles.ModelBundle) -> tuple[Backbone, Head]:
    """Return what the model was made of. Raises CannotExport if its backbone is another by now."""
    learned_on = bundle.manifest["backbone"]
    try:
        backbone = backbones.load(learned_on["name"])
    except TrainingFailed as error:
        raise CannotExport(str(error)) from error
    if backbone.digest != learned_on["digest"]:
        raise CannotExport(
            _(
                "The backbone “%(name)s” has changed since this model was trained. Train a new "
                "model, and export that one."
            )
            % {"name": backbone.name}
        )
    return backbone, Head.from_file(bundle.paths[bundles.HEAD])


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        # SavedModel is a folder of files, the others are one file
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()
