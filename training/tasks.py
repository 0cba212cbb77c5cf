"""What this app does in the background: the modules that define its tasks."""

from training.runs import execution, notices, retraining  # noqa: F401
