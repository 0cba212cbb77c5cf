"""What this app does in the background: the modules that define its tasks."""

from training.data import contradictions  # noqa: F401
from training.evaluation import label_check  # noqa: F401
from training.runs import execution, known_model, notices, retraining  # noqa: F401
