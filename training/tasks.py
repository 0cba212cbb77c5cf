"""What this app does in the background: the modules that define its tasks."""

from training.pool import proposals  # noqa: F401
from training.runs import execution, known_model, notices, outlook, retraining  # noqa: F401
