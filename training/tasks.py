"""What this app does in the background: the modules that define its tasks."""

from training.provenance import neighbours  # noqa: F401
from training.runs import execution, known_model, mlflow, notices, retraining, sweeps  # noqa: F401
