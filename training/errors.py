"""The error that ends a run with a sentence for the person who asked."""

from common.errors import DomainError


class TrainingFailed(DomainError):
    """This run cannot give a model; the message is for the person who asked."""

    code = "training_failed"
