"""The demo: a project of dishes and one of texts, each with a model, and a user of each role."""

import json
import os
import secrets
from pathlib import Path

import numpy as np
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import user_admin
from accounts.models import User
from accounts.roles import Role
from common.errors import InvalidInput
from common.transactions import durable_transaction
from predictions import categories, projects
from predictions.models import Category, Project, Sample
from review import decisions
from training import backbones
from training.data import text_import
from training.features.cache import FeatureCache

SLUG = "dishes"
NAME = "Dishes"
DESCRIPTION = gettext_lazy(
    "What is on the plate? Show the model what it does not know yet: pizza, for example."
)
BACKBONE = "lite0"
TEXT_SLUG, TEXT_NAME = "guest-feedback", "Guest feedback"
TEXT_DESCRIPTION = gettext_lazy(
    "What guests of a restaurant write, in English, French or Japanese: praise, a complaint or a "
    "question?"
)
DISHES = ("bibimbap", "edamame", "gnocchi", "risotto", "sushi", "tiramisu")
MAY = {
    "demo": "upload pictures, say OK or NOK",
    "reviewer": "also decide what a picture really shows",
    "maintainer": "also add categories, train and promote models, invite people",
}
ROLES = {"demo": Role.USER, "reviewer": Role.REVIEWER, "maintainer": Role.MAINTAINER}
VECTORS = Path(settings.BASE_DIR) / "classifr/demo_data/vectors.npz"
# Written for this demo by its authors: 45 messages, each in three languages
TEXTS = Path(settings.BASE_DIR) / "classifr/demo_texts.csv"
PASSWORD_VARIABLE = "CLASSIFR_DEMO_PASSWORD"  # noqa: S105 (the name of a variable)

# Letters and digits that nobody mistakes for another
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def passwords_file() -> Path:
    return Path(settings.DATA_DIR) / "demo-passwords.json"


def make_users() -> None:
    """Make the demo users that are missing; a password in the environment holds for all of them.

    Made twice does no harm: the passwords are kept for the next run to show them again.

    Raises:
        ValidationError: if the password in the environment is too weak.
    """
    known = _kept_passwords()
    wanted = os.environ.get(PASSWORD_VARIABLE, "")
    for username, role in ROLES.items():
        user = User.objects.filter(username=username).first()
        if user is None:
            known[username] = wanted or "".join(secrets.choice(ALPHABET) for _place in range(12))
            user_admin.create_user(
                username, role, email=f"{username}@example.org", password=known[username]
            )
        elif wanted:
            known[username] = wanted
            # Only a new one is set: setting a password ends the user's sessions.
            if not user.check_password(wanted):
                validate_password(wanted, user)
                user.set_password(wanted)
                user.save()
    # Readable for its owner alone, from its first moment on.
    descriptor = os.open(passwords_file(), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(known, file)


def _kept_passwords() -> dict[str, str]:
    try:
        return json.loads(passwords_file().read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def format_users() -> str:
    """Return the demo users with their passwords, as far as we still know them."""
    known = _kept_passwords()
    rows = []
    for user in User.objects.filter(username__in=ROLES).order_by("pk"):
        # Whoever was given another password since is not shown with one that does not work.
        password = known.get(user.username, "")
        shown = password if password and user.check_password(password) else "(changed)"
        rows.append((user.username, shown, MAY[user.username]))
    width = max(len(shown) for _name, shown, _may in [("", "password", ""), *rows])
    return "\n".join(
        f"  {name:<12}{shown:<{width}}  {may}"
        for name, shown, may in [("user", "password", "may"), *rows]
    )


@transaction.atomic
def make_project() -> Project:
    """Return the demo project; made with its categories when it is missing."""
    project, created = Project.objects.get_or_create(
        slug=SLUG, defaults={"name": NAME, "description": str(DESCRIPTION)}
    )
    # Only for a new one: categories that somebody removed from the demo stay away.
    if created:
        for name in DISHES:
            categories.add_category(project, name)
    return project


def load_demo_samples(project: Project) -> int:
    """Load the labelled samples that come with the product; return how many are new."""
    digests, names, vectors = _read_samples()
    # There are no pictures, only what the backbone saw in them: training finds the vectors in the
    # cache, by the digests of pictures that it never gets.
    _keep_vectors(digests, vectors)
    known = set(project.samples.filter(sha256__in=digests).values_list("sha256", flat=True))
    by_name = {
        category.name: category for category in project.categories.filter(name__in=set(names))
    }
    with durable_transaction():
        new = [
            (
                Sample(
                    project=project,
                    sha256=digest,
                    origin=Sample.Origin.DEMO,
                    location=Sample.Location.NOWHERE,
                ),
                name,
            )
            # By digest, or a gallery of the newest would show one dish for long
            for digest, name in sorted(zip(digests, names, strict=True))
            if digest not in known and name in by_name
        ]
        Sample.objects.bulk_create([sample for sample, _name in new])
        pairs: list[tuple[Sample, Category]] = [(sample, by_name[name]) for sample, name in new]
        decisions.label_many(project, pairs, by=None, reason=_("comes with the demo"))
    return len(new)


def make_text_project() -> Project:
    """Return the demo project of texts; made when it is missing, with its labelled texts."""
    known = Project.objects.filter(slug=TEXT_SLUG).first()
    if known:
        return known
    with transaction.atomic():
        project = projects.create_project(
            projects.free_name(TEXT_NAME), TEXT_SLUG, modality=Project.Modality.TEXT
        )
        project.description = str(TEXT_DESCRIPTION)
        project.save(update_fields=["description"])
    text_import.import_text_file(project, None, TEXTS)
    return project


def restore_vectors() -> int:
    """Keep the vectors of the demo's samples that are missing, and return how many these are."""
    demos = Sample.objects.filter(project__slug=SLUG, origin=Sample.Origin.DEMO)
    if not VECTORS.exists() or not demos.exists():
        return 0
    digests, _names, vectors = _read_samples()
    return _keep_vectors(digests, vectors)


def dishes_by_digest(path: Path) -> dict[str, str]:
    """Return what the photo with a digest shows, for those that come with the product."""
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return dict(zip(stored["sha256"].tolist(), stored["category"].tolist(), strict=True))


def _read_samples() -> tuple[list[str], list[str], np.ndarray]:
    """Return the digests, the categories and the vectors of what comes with the product.

    Raises:
        InvalidInput: the demo's data was removed.
    """
    if not VECTORS.exists():
        raise InvalidInput(
            _("The demo's data %(path)s is missing. Everything but the demo works without it.")
            % {"path": VECTORS}
        )
    with np.load(VECTORS, allow_pickle=False) as stored:
        digests = [str(value) for value in stored["sha256"]]
        names = [str(value) for value in stored["category"]]
        return digests, names, stored["features"]


def _keep_vectors(digests: list[str], vectors: np.ndarray) -> int:
    cache = FeatureCache(backbones.load(BACKBONE).digest)
    kept = cache.get(digests)
    missing = [place for place, digest in enumerate(digests) if digest not in kept]
    cache.put([digests[place] for place in missing], vectors[missing])
    return len(missing)
