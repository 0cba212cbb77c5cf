"""TF-IDF of a text: how often words and runs of letters stand there, and how telling each is.

One definition, to train and to serve. Words alone would not do: Japanese puts no spaces between
them, and a typing error makes another word; so runs of two to five letters stand beside them.
"""

import hashlib
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from predictions.predictors.text.words import WORD_OR_MARK

WORDS = (1, 2)  # how many words in a row
LETTERS = (2, 5)  # from so many letters in a row, to so many
# At most so many of each kind: a row of float32 each in the head, 4 MB for ten categories
MAX_WORDS, MAX_LETTERS = 40_000, 60_000
# In how many texts a term must stand: once says nothing of another text
LEAST_TEXTS = 2
NAME = "casefolded NFKC; words by script 1-2, letters 2-5 within words; 1 + log(count); l2 of each"
DIGEST = hashlib.sha256(NAME.encode()).hexdigest()[:16]

_WORD = "\t"  # tells a word from the same letters of a longer one


@dataclass(frozen=True)
class Row:
    """The weights of one text: rising places in the vocabulary, and a value each.

    Those of the words and those of the letters are as long together, so that the many runs of
    letters do not drown the words; both together are of unit length. `known` is the share of its
    words, in [0, 1], that the vocabulary has: of a text in another language next to none.
    """

    places: np.ndarray
    values: np.ndarray
    known: float


@dataclass(frozen=True)
class Vocabulary:
    """The terms that a model knows, in order of their place, and the weight of each.

    `weights` is of shape (V,), float32: log((1 + N) / (1 + n)) + 1 for a term in n of N texts.

    Source: Manning, Raghavan & Schütze 2008, "Introduction to Information Retrieval", chapter 6;
    the smoothing is that of scikit-learn.
    """

    terms: Sequence[str]
    weights: np.ndarray

    @classmethod
    def learn(cls, texts: Iterable[str]) -> "Vocabulary":
        """Return the terms of these texts that stand in several of them, the most frequent ones.

        The same texts give the same vocabulary, whatever their order.
        """
        found: Counter[str] = Counter()
        count = 0
        for text in texts:
            found.update(set(terms_of(text)))
            count += 1
        frequent = [term for term, texts_with in found.items() if texts_with >= LEAST_TEXTS]
        # Of equally frequent ones the alphabet chooses, so that nothing depends on an order
        frequent.sort(key=lambda term: (-found[term], term))
        words = [term for term in frequent if term.startswith(_WORD)][:MAX_WORDS]
        letters = [term for term in frequent if not term.startswith(_WORD)][:MAX_LETTERS]
        kept = sorted([*words, *letters])
        texts_with = np.array([found[term] for term in kept], np.float64)
        weights = np.log((1 + count) / (1 + texts_with)) + 1
        return cls(kept, weights.astype(np.float32))

    @cached_property
    def places(self) -> dict[str, int]:
        return {term: place for place, term in enumerate(self.terms)}

    @cached_property
    def _are_words(self) -> np.ndarray:
        return np.array([term.startswith(_WORD) for term in self.terms], bool)

    def row(self, text: str) -> Row:
        """Return what a text weighs; empty where it has no term that the model knows."""
        place_of, terms = self.places.get, terms_of(text)
        found = [place for term in terms if (place := place_of(term)) is not None]
        places, counts = np.unique(np.array(found, np.int64), return_counts=True)
        values = counts.astype(np.float32)
        values = (1 + np.log(values)) * self.weights[places]
        are_words = self._are_words[places]
        for kind in (are_words, ~are_words):
            length = float(np.linalg.norm(values[kind]))
            values[kind] /= (length or 1) * np.float32(np.sqrt(2))
        words = [term for term in terms if term.startswith(_WORD) and _WORD not in term[1:]]
        share = sum(term in self.places for term in words) / len(words) if words else 0.0
        return Row(places, values, share)

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        # As bytes, with an end of line after each: no term has one, and an array of strings would
        # be as wide as the longest
        joined = np.frombuffer("\n".join(self.terms).encode(), np.uint8)
        np.savez_compressed(buffer, terms=joined, weights=self.weights)
        return buffer.getvalue()

    @classmethod
    def from_file(cls, path: Path) -> "Vocabulary":
        """Read what `to_bytes` wrote. Raises ValueError or KeyError for anything else."""
        with np.load(path, allow_pickle=False) as stored:
            text = stored["terms"].tobytes().decode()
            terms, weights = text.split("\n") if text else [], stored["weights"]
        if weights.shape != (len(terms),):
            raise ValueError("The vocabulary's weights do not fit its terms.")
        return cls(terms, weights)


def terms_of(text: str) -> list[str]:
    """Return every term of a text, as often as it stands there: words, pairs of them, and letters.

    Letters are marked by the word's ends: " no" begins a word, "no" may stand within one.
    """
    tokens = WORD_OR_MARK.findall(unicodedata.normalize("NFKC", text).casefold())
    terms = [_WORD + token for token in tokens]
    terms += [f"{_WORD}{one}{_WORD}{other}" for one, other in zip(tokens, tokens[1:], strict=False)]
    shortest, longest = LETTERS
    for token in tokens:
        padded = f" {token} "
        for length in range(shortest, longest + 1):
            terms += [padded[at : at + length] for at in range(len(padded) - length + 1)]
    return terms
