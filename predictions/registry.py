"""Which models there are, and which one answers now."""

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from accounts.models import User
from common.errors import Conflict
from predictions import queries
from predictions.models import ModelVersion, Project, Promotion
from predictions.predictors.base import ModelRef


class NoLiveModel(Conflict):
    """Nothing was promoted in this project yet."""

    code = "no_live_model"


def model_ref(version: ModelVersion) -> ModelRef:
    return ModelRef(
        reference=version.reference, class_names=tuple(version.class_names), digest=version.digest
    )


def live_version(project: Project) -> ModelVersion | None:
    """Return the model version that answers now, or None before the first promotion.

    One indexed query, asked anew for every prediction: so a promotion reaches every process at
    once.
    """
    return queries.find_live_version(project)


def require_live_version(project: Project) -> ModelVersion:
    """Return the live model version. Raises NoLiveModel with a sentence for the user."""
    if version := live_version(project):
        version.project = project
        return version
    raise NoLiveModel(
        _("This project has no model yet. A maintainer has to add categories and train one first.")
    )


def live_version_by_slug(slug: str) -> ModelVersion | None:
    """Return the live model version of a project with its project, or None; one query for both."""
    return queries.find_live_version_by_slug(slug)


def fallback_version(version: ModelVersion) -> ModelVersion | None:
    """Return the version that answers when this one's predictor cannot, by `FALL_BACK_TO`.

    That is the one promoted last, or else the newest: what was good enough once goes before what
    never was.
    """
    alias = settings.FALL_BACK_TO.get(version.predictor)
    if not alias:
        return None
    promoted = Promotion.objects.filter(project=version.project_id, model_version__predictor=alias)
    if newest := promoted.select_related("model_version").order_by("-id").first():
        return newest.model_version
    return (
        ModelVersion.objects.filter(project=version.project_id, predictor=alias)
        .order_by("-number")
        .first()
    )


def class_names_now(version: ModelVersion) -> list[str]:
    """Return what the classes of a model are called now, in the order of its outputs.

    `class_names` stay what the model was trained with, and what its bundle is checked against; a
    category that was renamed since is found by the id that training left in the manifest.
    """
    return [name for name, _key in class_categories_now(version)]


def class_categories_now(version: ModelVersion) -> list[tuple[str, int | None]]:
    """Return the present name of each class of a model, and its category's key if there is one."""
    found = queries.category_rows(version.project_id)
    names = {id_.replace("-", ""): name for _key, id_, name in found}
    keys = {name: key for key, _id, name in found}
    # A version without ids in its manifest goes by the names of its training.
    ids = version.manifest.get("category_uuids") or [""] * len(version.class_names)
    current = [
        names.get(id_.replace("-", ""), name)
        for id_, name in zip(ids, version.class_names, strict=True)
    ]
    return [(name, keys.get(name)) for name in current]


@transaction.atomic
def register_version(
    project: Project,
    *,
    predictor: str,
    reference: str,
    class_names: list[str],
    digest: str = "",
    manifest: dict | None = None,
    description: str = "",
) -> ModelVersion:
    """Give a trained model the next number of its project; it answers nobody until promoted."""
    # Locked, so that two runs that end at once get two numbers.
    Project.objects.select_for_update().get(pk=project.pk)
    newest = project.model_versions.aggregate(newest=Max("number"))["newest"] or 0
    return ModelVersion.objects.create(
        project=project,
        number=newest + 1,
        predictor=predictor,
        reference=reference,
        class_names=class_names,
        digest=digest,
        manifest=manifest or {},
        description=description,
    )


def promote_version(
    version: ModelVersion, *, by: User | AnonymousUser | None, reason: str = ""
) -> Promotion:
    """From now on this version answers. Going back to an older one is a promotion too."""
    user = by if isinstance(by, User) else None
    return Promotion.objects.create(
        project=version.project, model_version=version, promoted_by=user, reason=reason[:300]
    )


def newest_promotion(project: Project) -> Promotion | None:
    """Return what made the live version live."""
    promotions = project.promotions.select_related("promoted_by", "model_version")
    return promotions.order_by("-id").first()


def previous_version(project: Project) -> ModelVersion | None:
    """Return the version that was live before the present one, where a roll-back would lead."""
    now = live_version(project)
    if now is None:
        return None
    earlier = (
        project.promotions.exclude(model_version=now)
        .select_related("model_version")
        .order_by("-id")
        .first()
    )
    return earlier.model_version if earlier else None
