"""TensorFlow without its start-up chatter; for processes that train, and only for them."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from common import fetching

CHATTER = (b"absl::InitializeLog()", b"oneDNN custom operations are on", b"cpu_feature_guard")


def import_keras_quietly() -> None:
    """Import TensorFlow for work on the CPU, and keep its start-up chatter off the console."""
    if "tensorflow" in sys.modules:
        return
    # Read when TensorFlow is imported, so they are set before; an operator's own values stay
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    fetching.load_libcurl()
    with _chatter_held_back():
        import tensorflow

        tensorflow.zeros(1)  # the second half of the chatter comes with the first operation
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def reset_keras_session() -> None:
    """Name layers from the start again, so that a second model is named like the first."""
    import_keras_quietly()
    import keras

    keras.utils.clear_session()


@contextmanager
def _chatter_held_back() -> Iterator[None]:
    """Pass on what is written to stderr, without the lines that TensorFlow always writes."""
    sys.stderr.flush()
    # C++ writes to the descriptor itself, so replacing sys.stderr would hold nothing back
    console = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(console, 2)
            os.close(console)
            held.seek(0)
            lines = [line for line in held if not any(mark in line for mark in CHATTER)]
            os.write(2, b"".join(lines))
