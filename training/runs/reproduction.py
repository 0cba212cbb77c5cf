"""Whether a run that repeats another has made the same model, and if not, what may explain it.

The same data set, parameters and seed give the same bytes on a frozen backbone: feature vectors are
those of a file, and the head is fitted by one thread. A network that learns itself (`scratch`,
fine-tuning) adds floats in the order in which threads end, so its model may differ in the last
digits; `auto` measures time, and may choose another backbone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from training.models import TrainingRun


@dataclass(frozen=True)
class Reproduction:
    """A run, and the one that it repeats."""

    repeated: TrainingRun
    is_same: bool
    reasons: tuple[str, ...]  # why it may be another model

    @property
    def sentence(self) -> str:
        numbers = {"number": self.repeated.number}
        if self.is_same:
            return _("The same model as that of run %(number)d, byte for byte.") % numbers
        sentence = _("Another model than that of run %(number)d.") % numbers
        return " ".join([sentence, *self.reasons])


def compare_with_repeated(run: TrainingRun) -> Reproduction | None:
    """Return how the model of a run compares with that of the run that it repeats.

    None where it repeats none, or one of the two has made no model.
    """
    repeated = run.repeats
    if repeated is None or repeated.model_version is None or run.model_version is None:
        return None
    first, second = repeated.model_version, run.model_version
    # The digest is that of the manifest, which names the digests of all files of a bundle. Models
    # without a bundle have none, and are told by what they are
    is_same = (
        first.digest == second.digest
        and first.reference == second.reference
        and first.class_names == second.class_names
    )
    return Reproduction(repeated, is_same, () if is_same else _reasons(repeated, run))


def _reasons(repeated: TrainingRun, run: TrainingRun) -> tuple[str, ...]:
    before, now = (
        each.model_version.manifest if each.model_version else {} for each in (repeated, run)
    )
    reasons = []
    if repeated.code.get("digest") != run.code.get("digest"):
        reasons.append(_("The code is another one."))
    if changed := _changed(before.get("libraries", {}), now.get("libraries", {})):
        reasons.append(_("Other versions of: %(names)s.") % {"names": ", ".join(changed)})
    if before.get("class_names") != now.get("class_names"):
        reasons.append(_("Categories were renamed, or others are known beforehand."))
    if before.get("data", {}).get("digest") != now.get("data", {}).get("digest"):
        reasons.append(_("Some samples could not be read this time, or not the first time."))
    if before.get("backbone", {}).get("digest") != now.get("backbone", {}).get("digest"):
        reasons.append(_("The backbone is another one."))
    if not before.get("backbone", {}).get("frozen", True):
        reasons.append(
            _("A network that learns itself on several threads does not give the same bytes twice.")
        )
    return tuple(reasons)


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
