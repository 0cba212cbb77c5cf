"""Fine-tuning: the top of a backbone and the head learn on from where the head alone ended, on the
pictures themselves.

What a frozen backbone cannot tell apart, no head on its features can. So its topmost layers are
freed and move by small steps, while the pictures are mirrored, cropped and coloured anew in every
epoch. Normalisations stay as they are: a few dozen pictures say too little about the statistics
that they keep. The best epoch on the validation split comes out, and only if it is better there
than the head alone.

Source of the recipe: Keras guide "Transfer learning & fine-tuning", section "Fine-tuning".
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.progress import Progress, StageNote, no_progress, subrange
from training import backbones
from training.data.examples import Example
from training.errors import TrainingFailed
from training.features.cache import Vectors
from training.features.vectors import extract_with_keras
from training.trainers.base import TrainingTask
from training.trainers.local import augmentation
from training.trainers.local.augmentation import Labelled, PicturePixels
from training.trainers.local.head import (
    MIN_TO_CHOOSE,
    Head,
    balanced_weights,
    cross_entropy,
    fit_temperature,
)

if TYPE_CHECKING:
    import keras

PARAMETER = "fine_tune"
TOP_SHARE = 1 / 3  # of the layers that can learn: the last stage of the networks that we know
EPOCHS = 20
PATIENCE = 4
LEARNING_RATE = 1e-4

Watch = Callable[[int, int, str], None]


@dataclass(frozen=True)
class FineTunedNetwork:
    """A head that fits the network as it is now, calibrated; and a value per epoch for each
    curve.
    """

    head: Head
    curves: Mapping[str, list[float]]
    best_epoch: int
    epochs: int


@dataclass(frozen=True)
class FineTuningResult:
    """What came of fine-tuning. Unless it was better, only curves and notes mean anything."""

    better: bool
    head: Head
    validation_loss: float
    vectors: Vectors
    examples: Sequence[Example]  # those that were used
    curves: Mapping[str, Sequence[float]]
    notes: Sequence[str]


def check_can_fine_tune(task: TrainingTask, backbone: str) -> None:
    """Refuse, before any work, what cannot be fine-tuned.

    Raises:
        TrainingFailed: there is nothing to tune, a category has no picture to learn from, or too
            few validate.
    """
    if backbone not in backbones.FROZEN:
        raise TrainingFailed(
            _("The backbone “%(name)s” cannot be fine-tuned: it learns as a whole anyway.")
            % {"name": backbone}
        )
    _check_pictures(
        task.class_names, [example for example in task.examples if example.read is not None]
    )


def _check_pictures(class_names: Sequence[str], pictured: Sequence[Example]) -> None:
    present = {example.category for example in pictured if example.split == "train"}
    if missing := [name for name in class_names if name not in present]:
        raise TrainingFailed(
            _(
                "Fine-tuning needs pictures, and of these categories only feature vectors are "
                "kept, or nothing at all: "
                "%(names)s. Add pictures of them, or start the run without fine-tuning."
            )
            % {"names": ", ".join(missing)}
        )
    count = sum(example.split == "validation" for example in pictured)
    if count < MIN_TO_CHOOSE:
        raise TrainingFailed(
            _(
                "Fine-tuning needs at least %(fewest)d validation pictures, to know when to stop, "
                "and there are "
                "%(count)d. Add pictures, or start the run without fine-tuning."
            )
            % {"fewest": MIN_TO_CHOOSE, "count": count}
        )


def fine_tune_if_better(
    task: TrainingTask,
    network: "keras.Model",
    head: Head,
    frozen: Vectors,
    examples: Sequence[Example],
    progress: Progress = no_progress,
) -> FineTuningResult:
    """Fine-tune a network, and give it its weights back unless that lowered the loss on the same
    validation pictures.

    Args:
        task: whose seed, class names and parameter `epochs` hold.
        network: pixels 0 to 255 to feature vectors; changed in place if that is better.
        head: what was learned on its feature vectors, calibrated.
        frozen: the network's feature vectors of the examples as it is.
        examples: of the train and the validation split; those without a picture are left out.
    """
    shown = augmentation.load_picture_pixels(
        examples, int(network.input_shape[1]), subrange(progress, 0, 10)
    )
    _check_pictures(task.class_names, shown.examples)  # some may have turned out unreadable
    before = network.get_weights()
    tuned = fine_tune(
        network,
        head,
        shown.split("train", task.class_names),
        shown.split("validation", task.class_names),
        seed=task.seed,
        epochs=int(task.parameters.get("epochs") or EPOCHS),
        watch=subrange(progress, 10, 100),
    )
    found = tuned_vectors(network, shown)
    loss_before = _validation_loss(head, frozen, shown.examples, task.class_names)
    loss_after = _validation_loss(tuned.head, found, shown.examples, task.class_names)
    better = loss_after < loss_before
    if not better:
        network.set_weights(before)
    told = _notes(tuned, loss_before, loss_after, without=len(examples) - len(shown.examples))
    return FineTuningResult(
        better, tuned.head, loss_after, found, shown.examples, tuned.curves, told
    )


def fine_tune(
    network: "keras.Model",
    head: Head,
    train: Labelled,
    validation: Labelled,
    *,
    seed: int,
    epochs: int = EPOCHS,
    watch: Watch = lambda done, total, note: None,
) -> FineTunedNetwork:
    """Let the top of the network learn, and leave it with the weights of the best epoch.

    Args:
        network: pixels 0 to 255 to feature vectors; changed in place.
        head: what was learned on its feature vectors; where the new head starts from.
        train: pixels uint8 (N, S, S, 3) and labels (N,).
        validation: the same; not empty.
        seed: the same one gives the same weights on the same machine.
        watch: called after every batch; what it raises ends the training.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed % 2**32)
    tf.config.experimental.enable_op_determinism()
    model = _with_head(network, head)
    unfreeze_top(network)
    model.compile(
        optimizer=keras.optimizers.AdamW(LEARNING_RATE, weight_decay=1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    batches = augmentation.shuffled_batches(train, balanced_weights(train[1], len(head.bias)), seed)
    watcher = _Watcher(watch, epochs, len(batches))
    stopping = keras.callbacks.EarlyStopping(
        "val_loss", patience=PATIENCE, restore_best_weights=True
    )
    history = model.fit(
        batches,
        validation_data=augmentation.plain_batches(validation),
        epochs=epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_train_batch_end=watcher.batch, on_epoch_end=watcher.epoch
            ),
            stopping,
        ],
    ).history
    network.trainable = False
    kernel, bias = model.get_layer("tuned_head").get_weights()
    held = augmentation.plain_batches(validation)
    logits = np.concatenate(
        [np.asarray(model.predict_on_batch(held[place][0])) for place in range(len(held))]
    )
    found = Head(kernel, bias, fit_temperature(logits.astype(np.float64), validation[1]))
    return FineTunedNetwork(
        found, _curves(history), int(stopping.best_epoch) + 1, len(history["loss"])
    )


def unfreeze_top(network: "keras.Model") -> None:
    """Free the last layers of a network that can learn, but for its normalisations."""
    import keras

    layers = [layer for layer in _leaves(network) if layer.weights]
    able = [layer for layer in layers if not isinstance(layer, keras.layers.BatchNormalization)]
    network.trainable = True
    top = {id(layer) for layer in able[-max(1, round(len(able) * TOP_SHARE)) :]}
    for layer in layers:
        layer.trainable = id(layer) in top


def tuned_vectors(network: "keras.Model", shown: PicturePixels) -> Vectors:
    """Return what the network makes of every picture, kept nowhere."""
    rows = extract_with_keras(network, shown.pixels)
    return dict(zip((example.sha256 for example in shown.examples), rows, strict=True))


def _notes(tuned: FineTunedNetwork, before: float, after: float, *, without: int) -> list[str]:
    """Return what the run says of it: the validation losses of the head alone and after, and what
    was not used.
    """
    values = {"before": before, "after": after, "best": tuned.best_epoch, "epochs": tuned.epochs}
    if not after < before:
        sentence = _(
            "Fine-tuning did not lower the validation loss (%(before).3f with the head alone, "
            "%(after).3f in the best "
            "of %(epochs)d epochs): the head on the frozen backbone is kept."
        )
        return [sentence % values]
    sentence = _(
        "Fine-tuning lowered the validation loss from %(before).3f to %(after).3f, in epoch "
        "%(best)d of %(epochs)d."
    )
    lines = [sentence % values]
    if without:
        text = ngettext(
            "%(count)d sample was not used: fine-tuning needs pictures, and of it only a feature "
            "vector is kept.",
            "%(count)d samples were not used: fine-tuning needs pictures, and of them only feature "
            "vectors are kept.",
            without,
        )
        lines.append(text % {"count": without})
    return lines


def tuned_digest(network: "keras.Model", backbone_digest: str) -> str:
    """Return the digest of a tuned network: never that of the frozen one that it came from."""
    found = hashlib.sha256(f"fine-tuned from {backbone_digest}\n".encode())
    for array in network.get_weights():
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:32]


def _validation_loss(
    head: Head, found: Vectors, examples: Sequence[Example], class_names: Sequence[str]
) -> float:
    chosen = [example for example in examples if example.split == "validation"]
    labels = np.array([class_names.index(example.category) for example in chosen])
    return cross_entropy(head, np.stack([found[example.sha256] for example in chosen]), labels)


def _with_head(network: "keras.Model", head: Head) -> "keras.Model":
    import keras

    logits = keras.layers.Dense(len(head.bias), name="tuned_head")(network.output)
    model = keras.Model(network.input, logits, name="tuned")
    model.get_layer("tuned_head").set_weights([head.kernel, head.bias])
    return model


def _leaves(model: "keras.Model") -> Iterator["keras.layers.Layer"]:
    """Yield the layers of a network and of the networks inside it, from the input to the output."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


class _Watcher:
    """Tells after every batch how far it is and what the last epoch reached, so that any batch can
    be the last.
    """

    def __init__(self, watch: Watch, epochs: int, steps: int) -> None:
        self._watch, self._epochs, self._steps = watch, epochs, steps
        self._done = 0
        self._loss: float | None = None

    def batch(self, number: int, logs: Any = None) -> None:
        values = {
            "epoch": self._done + 1,
            "epochs": self._epochs,
            "step": number + 1,
            "steps": self._steps,
        }
        if self._loss is None:
            stage = "first_epoch"  # on its own, so that a log also has the first loss
            sentence = (
                _("Fine-tuning, epoch %(epoch)d of at most %(epochs)d, step %(step)d of %(steps)d")
                % values
            )
        else:
            stage = "fine_tuning"
            sentence = _(
                "Fine-tuning, epoch %(epoch)d of at most %(epochs)d, step %(step)d of %(steps)d, "
                "validation loss %(loss).3f"
            ) % (values | {"loss": self._loss})
        self._watch(self._done, self._epochs, StageNote(sentence, stage=stage))

    def epoch(self, number: int, logs: Mapping[str, float]) -> None:
        self._done, self._loss = number + 1, logs["val_loss"]


def _curves(history: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    names = {
        "loss": "fine_tuning_loss",
        "val_loss": "validation_fine_tuning_loss",
        "accuracy": "fine_tuning_accuracy",
        "val_accuracy": "validation_fine_tuning_accuracy",
    }
    return {name: list(map(float, history[key])) for key, name in names.items() if key in history}
