"""TF-IDF of a text: how often words and runs of letters stand there, and how telling each is.

One definition, to train and to serve. Words alone would not do: Japanese puts no spaces between
them, and a typing error makes another word; so runs of two to five letters stand beside them.
"""

import hashlib
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

WORDS = (1, 2)  # how many words in a row
LETTERS = (2, 5)  # from so many letters in a row, to so many
MAX_TERMS = (
    60_000  # a row of float32 each in the head: what a model of ten categories takes is 2 MB
)
# In how many texts a term must stand: once says nothing of another text
LEAST_TEXTS = 2
NAME = "casefolded NFKC; words 1-2, letters 2-5 within words; 1 + log(count); l2"
DIGEST = hashlib.sha256(NAME.encode()).hexdigest()[:16]

# A word, or a mark that says something: "!", "?", an emoji
_TOKEN = re.compile(r"[\w'’]+|[^\w\s]")


@dataclass(frozen=True)
class Row:
    """The weights of one text, of unit length: rising places in the vocabulary, a value each."""

    places: np.ndarray
    values: np.ndarray


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
        kept = sorted(frequent[:MAX_TERMS])
        texts_with = np.array([found[term] for term in kept], np.float64)
        weights = np.log((1 + count) / (1 + texts_with)) + 1
        return cls(kept, weights.astype(np.float32))

    @cached_property
    def places(self) -> dict[str, int]:
        return {term: place for place, term in enumerate(self.terms)}

    def row(self, text: str) -> Row:
        """Return what a text weighs; empty where it has no term that the model knows."""
        known = self.places
        counts = Counter(place for term in terms_of(text) if (place := known.get(term)) is not None)
        places = np.array(sorted(counts), np.int64)
        values = np.array([counts[place] for place in places.tolist()], np.float32)
        values = (1 + np.log(values)) * self.weights[places]
        length = float(np.linalg.norm(values))
        return Row(places, values / length if length else values)

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
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
    # A tab tells a word from the same letters of a longer one
    terms = ["\t" + token for token in tokens]
    terms += [f"\t{one}\t{other}" for one, other in zip(tokens, tokens[1:], strict=False)]
    shortest, longest = LETTERS
    for token in tokens:
        padded = f" {token} "
        for length in range(shortest, longest + 1):
            terms += [padded[at : at + length] for at in range(len(padded) - length + 1)]
    return terms
