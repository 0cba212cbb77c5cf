"""Model bundles: a folder in `STORAGES["models"]` that holds everything about one trained model.

    <project slug>/<16 hex>/   model.keras     architecture and weights, loaded with safe_mode; of a
                                               network that is made anew from its backbone, none
                               model.tflite    the compiled network: pixels to feature vectors and,
                                               unless `head.npz` gives them, probabilities
                               head.npz        the head in plain numbers
                               scope.npz       the OOD detector; old bundles have none
                               terms.npz       of a text model: the terms of its TF-IDF, and
                               text_head.npz   its two heads, in place of the first three; its
                               tokenizer.json  with model.onnx, if the encoder came as one
                               manifest.json   what it is, and the SHA-256 of every other file

A bundle is named by the digest of its manifest, so the same training gives the same bundle and
writing it again after a crash changes nothing. The manifest is written last: a folder without one
is no bundle. Nothing is read that was not verified, and nothing is unpickled.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.utils.translation import gettext as _

from predictions.predictors.base import ModelRef, PredictorError, PredictorUnavailable
from predictions.predictors.local import verified_files

FORMAT = 1
MANIFEST = "manifest.json"
KERAS_MODEL = "model.keras"
COMPILED_MODEL = "model.tflite"
ONNX_MODEL = "model.onnx"  # of a model that came as one, in place of the other two
HEAD = "head.npz"
SCOPE = "scope.npz"
TERMS, TEXT_HEAD, TOKENIZER = "terms.npz", "text_head.npz", "tokenizer.json"
FILE_NAMES = frozenset(
    {KERAS_MODEL, COMPILED_MODEL, ONNX_MODEL, HEAD, SCOPE, TERMS, TEXT_HEAD, TOKENIZER}
)
REFERENCE = re.compile(r"[\w-]+/[0-9a-f]{16}")


@dataclass(frozen=True)
class ModelBundle:
    """A bundle whose files were verified and lie on this machine's disk."""

    manifest: Mapping[str, Any]
    paths: Mapping[str, Path]


def write_bundle(
    project: str, files: Mapping[str, bytes], manifest: Mapping[str, Any]
) -> tuple[str, str]:
    """Keep a trained model for good.

    Args:
        project: slug, the folder that the bundle goes into.
        files: name (of `FILE_NAMES`) to content.
        manifest: facts about the model; `format` and `files` (name to SHA-256) are added. Without
            times or machine names, the same model gets the same digest.

    Returns:
        The reference and the digest that a `ModelRef` needs.
    """
    if unknown := set(files) - FILE_NAMES:
        raise ValueError(
            f"A bundle holds {', '.join(sorted(FILE_NAMES))}, not {', '.join(sorted(unknown))}."
        )
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    text = json.dumps(
        {**manifest, "format": FORMAT, "files": digests},
        indent=1,
        sort_keys=True,
        ensure_ascii=False,
    )
    content = text.encode()
    digest = hashlib.sha256(content).hexdigest()
    reference = f"{project}/{digest[:16]}"
    # The manifest last: until it is there, a crash has left no bundle.
    for name, data in files.items():
        _replace(f"{reference}/{name}", data)
    _replace(f"{reference}/{MANIFEST}", content)
    return reference, digest


def open_bundle(model: ModelRef, *names: str, if_there: str = "") -> ModelBundle:
    """Return the manifest and the local paths of some files of a bundle; of all when none is named.

    The file `if_there` is opened as well where the bundle has one: an older bundle may not.

    Raises:
        PredictorError: the bundle is missing, incomplete, was changed, or is of a kind that we do
            not read.
        PredictorUnavailable: the storage does not answer now.
    """
    # The pattern keeps a reference within its folder: no "..", no absolute path.
    if not REFERENCE.fullmatch(model.reference) or not model.digest:
        raise PredictorError(
            _("“%(reference)s” is not a model of this predictor. Promote another model version.")
            % {"reference": model.reference}
        )
    manifest = json.loads(_local(model, MANIFEST, model.digest).read_bytes())
    if manifest.get("format") != FORMAT:
        raise _broken(model, MANIFEST, _("it was written by another version of Classifr"))
    digests: Mapping[str, str] = manifest["files"]
    paths = {}
    wanted = [*names, if_there] if if_there in digests else names
    for name in wanted or sorted(digests):
        if name not in digests or name not in FILE_NAMES:
            raise _broken(model, name, _("it is missing"))
        paths[name] = _local(model, name, digests[name])
    return ModelBundle(manifest=manifest, paths=paths)


def _local(model: ModelRef, name: str, sha256: str) -> Path:
    path = str(PurePosixPath(model.reference) / name)
    try:
        return verified_files.verified_path(_storage(), path, sha256)
    except FileNotFoundError as error:
        raise _broken(model, name, _("it is missing")) from error
    except verified_files.DigestMismatch as error:
        raise _broken(model, name, _("its content is not what was trained")) from error
    except Exception as error:  # every storage raises its SDK's own errors
        raise PredictorUnavailable(
            _("The storage that holds the models does not answer. Try again in a moment.")
        ) from error


def _broken(model: ModelRef, name: str, reason: str) -> PredictorError:
    return PredictorError(
        _(
            "Model %(reference)s cannot be used because of its file %(name)s: %(reason)s. "
            "Restore the file from a backup, or promote another model version."
        )
        % {"reference": model.reference, "name": name, "reason": reason}
    )


def _replace(name: str, data: bytes) -> None:
    storage: Any = _storage()
    if hasattr(storage, "save_with_metadata"):
        storage.save_with_metadata(name, data, {})
    elif not storage.exists(name):
        storage.save(name, ContentFile(data))


def _storage() -> Storage:
    return storages["models"]
