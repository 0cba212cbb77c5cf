"""The error that ends a run with a sentence for the person who asked."""

from common.errors import DomainError


class TrainingFailed(DomainError):
    """This run cannot give a model, for a reason that the person who asked can understand."""

    code = "training_failed"
