"""Make a file of MobileNetV2 weights that the `imagenet` backbone loads, from int8 arrays with
folded normalisation.

    python bench/mobilenet_weights.py mobilenetv2_100_224_qat_int8.npz FOLDER

For tests and measurements where Keras cannot fetch its own weights: name FOLDER in
CLASSIFR_WEIGHTS_DIR. The arrays hold, per layer NN in order of the network, `NN_conv_q` (O, h, w,
I) or `NN_dw_q` (1, h, w, C) with `NN_scale`, `NN_zero` and `NN_bias`; the real weight is (q - zero)
* scale.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from training.backbones import imagenet


def convert(source: Path, folder: Path) -> Path:
    """Write the weights file into the folder and return its path. An existing one is kept."""
    target = folder / imagenet.NETWORKS["imagenet"].own_file
    if target.exists():
        return target
    import keras

    network = imagenet.untrained_network("imagenet")
    convolutions = [
        layer
        for layer in network.layers
        if layer.__class__.__name__ in ("Conv2D", "DepthwiseConv2D")
    ]
    normalisations = [
        layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    with np.load(source, allow_pickle=False) as stored:
        for place, (convolution, normalisation) in enumerate(
            zip(convolutions, normalisations, strict=True)
        ):
            kernel, bias = layer_weights(stored, place)
            convolution.set_weights([kernel.reshape(convolution.kernel.shape)])
            # What is left of the normalisation: adding the bias. It divides by sqrt(variance +
            # epsilon).
            identity = np.sqrt(np.ones_like(bias) + normalisation.epsilon)
            normalisation.set_weights([identity, bias, np.zeros_like(bias), np.ones_like(bias)])
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".writing-{target.name}"
    network.save_weights(partial)
    os.replace(partial, target)
    return target


def layer_weights(stored: np.lib.npyio.NpzFile, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (h, w, I, O) or (h, w, C, 1), and bias, of one layer as float32."""
    depthwise = f"{place:02d}_dw_q" in stored
    quantised = stored[f"{place:02d}_dw_q" if depthwise else f"{place:02d}_conv_q"].astype(
        np.float32
    )
    scale, zero = (
        np.atleast_1d(stored[f"{place:02d}_{part}"]).astype(np.float32)
        for part in ("scale", "zero")
    )
    along = (1, 1, 1, -1) if depthwise else (-1, 1, 1, 1)
    kernel = (quantised - zero.reshape(along)) * scale.reshape(along)
    order = (1, 2, 3, 0)
    return kernel.transpose(order), stored[f"{place:02d}_bias"].astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(convert(options.source, options.folder))


if __name__ == "__main__":
    main()
