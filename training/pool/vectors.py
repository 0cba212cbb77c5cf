"""The feature vectors of pictures without labels: by the backbone that the next run would take."""

from collections.abc import Sequence

from django.conf import settings

from common.processes import usable_core_count
from common.progress import Progress, no_progress
from predictions.models import Project, Sample
from predictions.predictors.local.engine import LiteRtEngine
from training import backbones
from training.data.datasets import picture_reader
from training.features.cache import FeatureCache, Vectors
from training.features.vectors import load_or_extract
from training.trainers.local import export


def pool_vectors(
    project: Project, samples: Sequence[Sample], progress: Progress = no_progress
) -> Vectors:
    """Return the vectors of those samples that have one or whose picture can be read, by digest.

    They go into the cache of the backbone, where a run finds those that were labelled.

    Raises:
        TrainingFailed: the backbone cannot be had.
    """
    backbone = backbones.load(_backbone_name(project))
    found = load_or_extract(
        FeatureCache(backbone.digest, backbone.preparation),
        {sample.sha256: picture_reader(sample) for sample in samples},
        lambda: LiteRtEngine(export.export_backbone(backbone), threads=usable_core_count()),
        progress,
    )
    return found.vectors


def _backbone_name(project: Project) -> str:
    if project.inspection:
        return backbones.INSPECTION
    # `auto` and `scratch` have no vectors before a run
    wanted = settings.DEFAULT_BACKBONE
    return wanted if wanted in backbones.FROZEN else backbones.KNOWS_IMAGENET
