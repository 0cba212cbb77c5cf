"""The models that the serving measurements ask: made by the project's own commands, so the path is
the real one.
"""

import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.installation import ROOT, Site
from bench.load import Address
from bench.pictures import paint_folder

CATEGORIES = 10
EACH = 16
BACKBONE = "mobilenetv3large"


@dataclass(frozen=True)
class Served:
    """A project whose live model answers, in an installation: what asks it, and the files of the
    model.
    """

    site: Site
    slug: str
    token: str
    bundle: Path

    @property
    def keras_model(self) -> Path:
        return self.bundle / "model.keras"

    @property
    def compiled_model(self) -> Path:
        return self.bundle / "model.tflite"

    def address(self, port: int) -> Address:
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "image/jpeg"}
        return Address(port, f"/api/v1/projects/{self.slug}/predict", headers)


def large(folder: Path) -> Served:
    """Make a project that MobileNetV3-Large answers for, 224 pixels, ten categories of painted
    textures.

    Its weights are random, as the speed does not depend on them; the head is learned, the export
    compared with the Keras model, the bundle kept, registered and promoted as ever.
    """
    site = Site(
        folder / "large",
        CLASSIFR_WEIGHTS_DIR=str(folder / "weights"),
        CLASSIFR_USER_PASSWORD=secrets.token_urlsafe(),  # nobody logs in with it
    )
    subprocess.run(
        [sys.executable, "-m", "bench.models", str(folder / "weights")], cwd=ROOT, check=True
    )
    paint_folder(folder / "textures", CATEGORIES, EACH)
    site.manage("migrate", "--verbosity", "0")
    site.manage("create_project", "Textures")
    site.manage("import_images", str(folder / "textures"), "--project", "textures")
    site.manage("retrain", "--project", "textures", "--backbone", BACKBONE)
    site.manage("promote", "1", "--project", "textures")  # by hand: no gate judges random weights
    site.manage("create_user", "bench", "--role", "user")
    return _served(site, "textures", "bench")


def demo(folder: Path) -> Served:
    """Make the demo's project, whose model is a head on lite0."""
    site = Site(folder / "demo")
    site.manage("migrate", "--verbosity", "0")
    site.manage("demo", "--hide-users")
    return _served(site, "dishes", "demo")


def _served(site: Site, slug: str, user: str) -> Served:
    token = site.manage("create_token", user).strip()
    (model,) = (site.folder / "models").rglob("model.tflite")
    return Served(site, slug, token, model.parent)


def write_random_weights(folder: Path) -> Path:
    """Write weights of MobileNetV3-Large that were never trained, where `CLASSIFR_WEIGHTS_DIR`
    looks for them.

    Its normalisations are set to what noise gives in each layer: then numbers stay in their usual
    range.
    """
    import numpy as np

    from training.backbones import imagenet
    from training.backbones.keras_session import import_keras_quietly

    import_keras_quietly()
    import keras

    keras.utils.set_random_seed(0)
    network = imagenet.untrained_network(BACKBONE)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the last batch alone counts
    side = imagenet.NETWORKS[BACKBONE].input_size
    network(
        np.random.default_rng(0).uniform(0, 255, (16, side, side, 3)).astype(np.float32),
        training=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / imagenet.NETWORKS[BACKBONE].own_file
    network.save_weights(path)
    return path


if __name__ == "__main__":
    write_random_weights(Path(sys.argv[1]))
