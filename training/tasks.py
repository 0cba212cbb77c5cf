"""What this app does in the background: the modules that define its tasks."""

from training import model_downloads  # noqa: F401
from training.data import contradictions, sent_datasets  # noqa: F401
from training.drift import reports  # noqa: F401
from training.evaluation import label_check  # noqa: F401
from training.lifecycle import category_removal, project_deletion  # noqa: F401
from training.pool import proposals  # noqa: F401
from training.provenance import neighbours  # noqa: F401
from training.runs import (  # noqa: F401
    execution,
    known_model,
    mlflow,
    outlook,
    retraining,
    sweeps,
)
