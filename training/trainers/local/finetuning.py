"""Fine-tuning: the top of a backbone and the head go on learning, on the pictures themselves.

What a frozen backbone cannot tell apart, no head on its features can. So its topmost layers are
unfrozen and move by small steps, while the pictures are mirrored, cropped and recoloured in every
epoch. Normalisations stay as they are: a few dozen pictures say too little about the statistics
that they keep. The best epoch on the validation split comes out, and only if it is better there
than the head alone.

Source of the recipe: Keras guide "Transfer learning & fine-tuning", section "Fine-tuning".
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.progress import Progress, StageNote, no_progress, subrange
from predictions.predictors.local.heads import Head
from training import backbones
from training.data.examples import Example
from training.errors import TrainingFailed
from training.features.cache import Vectors
from training.features.vectors import extract_with_keras
from training.trainers.base import TrainingTask
from training.trainers.local import augmentation, export
from training.trainers.local.augmentation import Labelled
from training.trainers.local.extraction import FeatureSet
from training.trainers.local.head import (
    MIN_TO_CHOOSE,
    FittedHead,
    balanced_weights,
    cross_entropy,
    fit_temperature,
)

if TYPE_CHECKING:
    import keras

PARAMETER = "fine_tune"
TOP_SHARE = 1 / 3  # of the layers that can learn: the last stage of the networks that we know
EPOCHS = 20
PATIENCE = 4  # epochs without a lower validation loss
LEARNING_RATE = 1e-4  # a tenth of what scratch takes: these weights are good already
CURVES = {  # what Keras calls each, and what the run does
    "loss": "fine_tuning_loss",
    "val_loss": "validation_fine_tuning_loss",
    "accuracy": "fine_tuning_accuracy",
    "val_accuracy": "validation_fine_tuning_accuracy",
}

Watch = Callable[[int, int, str], None]


@dataclass(frozen=True)
class FineTunedNetwork:
    """The calibrated head of a network that was changed in place, and how its epochs went."""

    head: Head
    curves: Mapping[str, list[float]]
    best_epoch: int
    epochs: int


def check_can_fine_tune(task: TrainingTask, backbone: str) -> None:
    """Refuse, before any work, what cannot be fine-tuned.

    Raises:
        TrainingFailed: there is nothing to tune, a category has no picture to learn from, or too
            few validate.
    """
    if backbone == backbones.SCRATCH:
        raise TrainingFailed(
            _("The backbone “%(name)s” cannot be fine-tuned: it learns as a whole anyway.")
            % {"name": backbone}
        )
    if backbone == backbones.INSPECTION:
        raise TrainingFailed(
            _("The backbone “%(name)s” cannot be fine-tuned. Leave fine-tuning out.")
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
                "kept, or nothing at all: %(names)s. Add pictures of them, or start the run "
                "without fine-tuning."
            )
            % {"names": ", ".join(missing)}
        )
    count = sum(example.split == "validation" for example in pictured)
    if count < MIN_TO_CHOOSE:
        raise TrainingFailed(
            _(
                "Fine-tuning needs at least %(fewest)d validation pictures, to know when to stop, "
                "and there are %(count)d. Add pictures, or start the run without fine-tuning."
            )
            % {"fewest": MIN_TO_CHOOSE, "count": count}
        )


def fine_tune_if_better(
    task: TrainingTask, features: FeatureSet, fitted: FittedHead, progress: Progress = no_progress
) -> tuple[FeatureSet, FittedHead]:
    """Fine-tune, and return the better: the tuned network and head, or those given.

    Better is the lower loss on the same validation pictures. Curves and notes of the attempt are
    added either way.

    Args:
        features: by the frozen network, which is changed in place if that is better. Examples
            without a picture are left out then.
        fitted: the head that was learned on them, calibrated.
    """
    network, class_names = features.trainable_network(), task.class_names
    pictures = augmentation.load_picture_pixels(
        features.examples, int(network.input_shape[1]), subrange(progress, 0, 10)
    )
    _check_pictures(class_names, pictures.examples)  # some may have turned out unreadable
    # A copy: Keras changes the network in place
    frozen_weights = network.get_weights()
    tuned = fine_tune(
        network,
        fitted.head,
        pictures.split("train", class_names),
        pictures.split("validation", class_names),
        seed=task.seed,
        epochs=int(task.parameters.get("epochs") or EPOCHS),
        watch=subrange(progress, 10, 100),
    )
    rows = extract_with_keras(network, pictures.pixels)
    vectors = dict(zip((each.sha256 for each in pictures.examples), rows, strict=True))
    # Both on the pictures that could be read, or the two losses would not be comparable
    before = _validation_loss(fitted.head, features.vectors, pictures.examples, class_names)
    after = _validation_loss(tuned.head, vectors, pictures.examples, class_names)
    without = len(features.examples) - len(pictures.examples)
    features = replace(
        features,
        curves={**features.curves, **tuned.curves},
        notes=[*features.notes, *_notes(tuned, before, after, without=without)],
    )
    if not after < before:
        network.set_weights(frozen_weights)
        return features, fitted
    features = replace(
        features,
        network=network,
        backbone=_tuned_backbone(network, features.backbone),
        vectors=vectors,
        examples=pictures.examples,
    )
    return features, replace(fitted, head=tuned.head, validation_loss=after)


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

    # The seeds of Python, NumPy and TensorFlow at once; NumPy's has 32 bits
    keras.utils.set_random_seed(seed % 2**32)
    tf.config.experimental.enable_op_determinism()
    model = _trainable_model(network, head)
    batches = augmentation.shuffled_batches(train, balanced_weights(train[1], len(head.bias)), seed)
    held_out = augmentation.plain_batches(validation)
    watcher = _Watcher(watch, epochs, len(batches))
    telling = keras.callbacks.LambdaCallback(
        on_train_batch_end=watcher.batch, on_epoch_end=watcher.epoch
    )
    stopping = keras.callbacks.EarlyStopping(
        "val_loss", patience=PATIENCE, restore_best_weights=True
    )
    history = model.fit(
        batches,
        validation_data=held_out,
        epochs=epochs,
        verbose=0,
        callbacks=[telling, stopping],
    ).history
    # As it came, so that nothing built on it learns by accident
    network.trainable = False
    kernel, bias = model.get_layer("tuned_head").get_weights()
    logits = np.concatenate(
        [np.asarray(model.predict_on_batch(held_out[place][0])) for place in range(len(held_out))]
    )
    # Anew: the head has learned on, so the temperature that it came with fits no more
    temperature = fit_temperature(logits.astype(np.float64), validation[1])
    curves = {name: list(map(float, history[key])) for key, name in CURVES.items()}
    best_epoch = int(stopping.best_epoch) + 1  # Keras counts from 0
    return FineTunedNetwork(
        Head(kernel, bias, temperature), curves, best_epoch, len(history["loss"])
    )


def _trainable_model(network: "keras.Model", head: Head) -> "keras.Model":
    """Return the model that learns: the network, its top unfrozen, and the head on it."""
    import keras

    logits = keras.layers.Dense(len(head.bias), name="tuned_head")(network.output)
    model = keras.Model(network.input, logits, name="tuned")
    # From where the head alone ended: random weights would first undo the backbone
    model.get_layer("tuned_head").set_weights([head.kernel, head.bias])
    unfreeze_top(network)
    model.compile(
        optimizer=keras.optimizers.AdamW(LEARNING_RATE, weight_decay=1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return model


def unfreeze_top(network: "keras.Model") -> None:
    """Unfreeze the last third of the layers that can learn, without normalisations."""
    import keras

    layers = [layer for layer in _leaves(network) if layer.weights]
    able = [layer for layer in layers if not isinstance(layer, keras.layers.BatchNormalization)]
    # Keras hands the flag down to every layer, so the network's comes before theirs
    network.trainable = True
    top = {id(layer) for layer in able[-max(1, round(len(able) * TOP_SHARE)) :]}
    for layer in layers:
        layer.trainable = id(layer) in top


def _notes(tuned: FineTunedNetwork, before: float, after: float, *, without: int) -> list[str]:
    """Return lines for the log of the run: both validation losses, and what was not used."""
    values = {"before": before, "after": after, "best": tuned.best_epoch, "epochs": tuned.epochs}
    if not after < before:
        sentence = _(
            "Fine-tuning did not lower the validation loss (%(before).3f with the head alone, "
            "%(after).3f in the best of %(epochs)d epochs): the head on the frozen backbone is "
            "kept."
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
            "%(count)d samples were not used: fine-tuning needs pictures, and of them only "
            "feature vectors are kept.",
            without,
        )
        lines.append(text % {"count": without})
    return lines


def _tuned_backbone(network: "keras.Model", frozen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest's entry for a tuned network."""
    # With the origin in it, the digest is never the frozen network's, not even where no weight
    # moved: under that one other runs would be given cached vectors
    origin = f"fine-tuned from {frozen['digest']}\n".encode()
    digest = hashlib.sha256(origin + export.weights_bytes(network)).hexdigest()[:32]
    return {**frozen, "digest": digest, "frozen": False, "tuned_from": frozen["digest"]}


def _validation_loss(
    head: Head, vectors: Vectors, examples: Sequence[Example], class_names: Sequence[str]
) -> float:
    chosen = [example for example in examples if example.split == "validation"]
    # Fine-tuning is for exclusive categories, so there is no other than this one
    labels = np.array([class_names.index(example.category) for example in chosen])
    return cross_entropy(head, np.stack([vectors[example.sha256] for example in chosen]), labels)


def _leaves(model: "keras.Model") -> Iterator["keras.layers.Layer"]:
    """Yield the layers of a network and of the networks inside it, from the input to the output."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


class _Watcher:
    """Reports progress after every batch, so that a cancelled run stops at any of them."""

    def __init__(self, watch: Watch, epochs: int, steps: int) -> None:
        self._watch, self._epochs, self._steps = watch, epochs, steps
        self._done = 0
        self._loss: float | None = None

    def batch(self, number: int, logs: Any = None) -> None:
        # Every batch has a sentence of its own: `subrange` passes on only what has changed, and
        # passing it on is how a cancelled run finds out
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
