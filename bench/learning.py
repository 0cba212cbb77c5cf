"""How long it takes until a new category of 50 pictures is live in a project of 1,000, seen from a
terminal.
"""

from pathlib import Path

from bench.installation import Site
from bench.pictures import paint_folder

CATEGORIES = 20
EACH = 50


def measure(folder: Path) -> None:
    """Print the seconds of each command as a whole process, TensorFlow's import included."""
    known, new = folder / "known", folder / "new"
    paint_folder(known, CATEGORIES, EACH)
    paint_folder(new, 1, EACH, first=CATEGORIES)
    (pictures,) = new.iterdir()
    site = Site(folder / "data")
    site.manage("migrate", "--verbosity", "0")
    site.manage("create_project", "Textures")
    steps = {
        f"import_images, {CATEGORIES * EACH} pictures": [
            "import_images",
            str(known),
            "--project",
            "textures",
        ],
        "first retrain --promote: every feature is extracted": [
            "retrain",
            "--project",
            "textures",
            "--promote",
        ],
        f"add_category --images, {EACH} new pictures": [
            "add_category",
            pictures.name,
            "--images",
            str(pictures),
        ],
        f"retrain --promote: {EACH} features are extracted": [
            "retrain",
            "--project",
            "textures",
            "--promote",
        ],
    }
    print("| step | seconds |")
    print("|---|---|")
    seconds = []
    for name, words in steps.items():
        seconds.append(site.timed(*words))
        print(f"| {name} | {seconds[-1]:.1f} |", flush=True)
    print(f"| **a new category, from pictures to live** | **{sum(seconds[-2:]):.1f}** |")
