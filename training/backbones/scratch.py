"""A plain convolutional network, learned from random weights on the project's own pictures.

For projects whose pictures are unlike all that other backbones were trained on (X-rays, spectra,
surfaces), and as the baseline that a pretrained backbone has to beat.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from common.progress import StageNote

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 96
FEATURES = 192
EPOCHS = 60
PATIENCE = 12
BATCH = 32
LEARNING_RATE = 1e-3
CURVES = {  # what Keras calls each, and what the run does
    "loss": "network_loss",
    "val_loss": "network_validation_loss",
    "accuracy": "network_accuracy",
    "val_accuracy": "network_validation_accuracy",
}
MARGIN = 8  # pixels by which a training picture is shifted at most

Labelled = tuple[np.ndarray, np.ndarray]
Watch = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TrainedNetwork:
    """The network without its classifier, and a value per epoch for each curve."""

    network: "keras.Model"
    curves: Mapping[str, list[float]]


def build_network(classes: int, size: int = INPUT_SIZE) -> "keras.Model":
    """Return the untrained network with a classifier on top; its layer `features` is what stays."""
    import keras
    from keras import layers

    pixels = layers.Input((size, size, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, -1.0, name="scaled")(pixels)
    for place, filters in enumerate((24, 48, 96, FEATURES)):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv_{place}")(x)
        # The default of 0.99 needs more steps than a few dozen pictures give
        x = layers.BatchNormalization(momentum=0.9, name=f"norm_{place}")(x)
        x = layers.ReLU(name=f"relu_{place}")(x)
        x = layers.MaxPooling2D(name=f"pool_{place}")(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    return keras.Model(pixels, layers.Dense(classes, name="classifier")(x), name="scratch")


def train_network(
    train: Labelled,
    validation: Labelled,
    weights: np.ndarray,
    classes: int,
    *,
    seed: int,
    epochs: int = EPOCHS,
    watch: Watch = lambda done, total, note: None,
) -> TrainedNetwork:
    """Train the network until the validation loss (without one, the training loss) stops falling.

    Args:
        train: pixels uint8 (N, S, S, 3) and labels (N,).
        validation: the same; may be empty.
        weights: per training example.
        seed: the same one gives the same network on the same machine.
        watch: called after every epoch; what it raises ends the training.
    """
    import keras
    import tensorflow as tf

    # The seeds of Python, NumPy and TensorFlow at once; NumPy's has 32 bits
    keras.utils.set_random_seed(seed % 2**32)
    tf.config.experimental.enable_op_determinism()
    model = build_network(classes, train[0].shape[1])
    watched = "val_loss" if len(validation[1]) else "loss"
    model.compile(
        optimizer=keras.optimizers.AdamW(LEARNING_RATE, weight_decay=1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    history = model.fit(
        _batches(train, weights, seed),
        validation_data=validation if len(validation[1]) else None,
        epochs=epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: watch(epoch + 1, epochs, _note(logs))
            ),
            keras.callbacks.ReduceLROnPlateau(watched, factor=0.5, patience=PATIENCE // 3),
            keras.callbacks.EarlyStopping(watched, patience=PATIENCE, restore_best_weights=True),
        ],
    )
    # Without the classifier: as with any backbone, a calibrated head is learned on the features
    trained = keras.Model(model.input, model.get_layer("features").output, name="scratch")
    trained.trainable = False
    curves = {
        CURVES[key]: list(map(float, values))
        for key, values in history.history.items()
        if key in CURVES
    }
    return TrainedNetwork(trained, curves)


def _batches(train: Labelled, weights: np.ndarray, seed: int) -> "keras.utils.PyDataset":
    """Return shuffled, augmented batches: mirrored, shifted, brighter or darker, by the seed."""
    import keras

    pixels, labels = train

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__(workers=1)
            self.rng = np.random.default_rng(seed)
            self.order = self.rng.permutation(len(labels))

        def __len__(self) -> int:
            return -(-len(labels) // BATCH)

        def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            rows = self.order[place * BATCH : (place + 1) * BATCH]
            return augment_shift(pixels[rows], self.rng), labels[rows], weights[rows]

        def on_epoch_end(self) -> None:
            self.order = self.rng.permutation(len(labels))

    return Batches()


def augment_shift(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a batch, float32: each picture mirrored or not, shifted, its contrast changed."""
    result = np.empty(pixels.shape, np.float32)
    size = pixels.shape[1]
    for place, picture in enumerate(pixels):
        left, top = rng.integers(0, 2 * MARGIN + 1, size=2)
        # Reflected, as black borders would be something to learn
        wide = np.pad(picture, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="reflect")
        shifted = wide[top : top + size, left : left + size]
        mirrored = shifted[:, ::-1] if rng.random() < 0.5 else shifted
        # Contrast around the middle of the scale, then brightness
        result[place] = (mirrored - 127.5) * rng.uniform(0.8, 1.2) + 127.5 + rng.uniform(-20, 20)
    return result.clip(0, 255)


def _note(logs: Mapping[str, Any]) -> StageNote:
    metrics = (f"{CURVES[key]} {value:.3f}" for key, value in logs.items() if key in CURVES)
    return StageNote(", ".join(metrics), stage="network")
