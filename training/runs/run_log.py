"""The log of a run: lines with the time of day, one for every stage that its progress comes to.

The stages are kept by themselves too, so that a page can say how long each took.
"""

from typing import Any

from django.db.models import F, Value
from django.db.models.functions import Concat
from django.utils import timezone

from common.progress import Progress, no_progress, stage_of
from training.models import TrainingRun


class RunLog:
    """The log and the `Progress` of a run: it passes on, and writes a line for every new stage."""

    def __init__(self, run: TrainingRun, progress: Progress = no_progress) -> None:
        self._run = run
        self._progress = progress
        self._stage = ""
        self._stages: list[dict[str, Any]] = []

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if note and stage_of(note) != self._stage:
            self.line(note)
            self._stage = stage_of(note)
            began = timezone.now().isoformat()
            self._stages.append({"note": note, "began": began, "done": done})
            TrainingRun.objects.filter(pk=self._run.pk).update(stages=self._stages)
        self._progress(done, total, note)

    def line(self, text: str) -> None:
        """Add a line. The database appends, so that two processes at one run lose none."""
        stamped = f"{timezone.localtime():%H:%M:%S} {text}\n"
        TrainingRun.objects.filter(pk=self._run.pk).update(log=Concat(F("log"), Value(stamped)))
