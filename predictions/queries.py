"""The statements that every picture needs, in SQL (see `common.raw_sql` for why)."""

from common.media.content import Content
from common.raw_sql import columns, fetch_objects, fetch_rows, insert_object
from predictions.models import ModelVersion, Prediction, Project, Sample

# ruff: noqa: S608 (what is put into the statements are names of our own columns)

# Two branches, each with an index of its own; the second has the form of the partial index, which
# SQLite takes for nothing else
_SAMPLE = f"""
    SELECT {columns(Sample, "sample")}
    FROM predictions_sample AS sample
    WHERE sample.project_id = %s AND sample.sha256 IN (%s, %s)
    UNION ALL
    SELECT {columns(Sample, "sample")}
    FROM predictions_sample AS sample
    WHERE sample.project_id = %s AND sample.content_sha256 = %s
        AND NOT (sample.content_sha256 = '')
"""
# The version that was promoted last is the live one
_LIVE_VERSION = f"""
    SELECT {columns(ModelVersion, "version")}
    FROM predictions_promotion AS promotion
    JOIN predictions_modelversion AS version ON version.id = promotion.model_version_id
    WHERE promotion.project_id = %s
    ORDER BY promotion.id DESC
    LIMIT 1
"""
_LIVE_VERSION_BY_SLUG = f"""
    SELECT {columns(ModelVersion, "version")}, {columns(Project, "project")}
    FROM predictions_promotion AS promotion
    JOIN predictions_project AS project ON project.id = promotion.project_id
    JOIN predictions_modelversion AS version ON version.id = promotion.model_version_id
    WHERE project.slug = %s
    ORDER BY promotion.id DESC
    LIMIT 1
"""
# The ids as text, with or without hyphens: to make a UUID of each takes longer than the query
_CATEGORIES = """
    SELECT COALESCE(merged_into_id, id), CAST(uuid AS text), name FROM predictions_category
    WHERE project_id = %s AND (removed_at IS NULL OR merged_into_id IS NOT NULL)
"""


def find_sample(project: Project, picture: Content) -> Sample | None:
    """Return the sample of a project that is this picture, or None.

    Samples from before are known by the bytes that came, or by what they were found to be since.
    """
    content = picture.sha256
    values = [project.pk, content, picture.received_sha256, project.pk, content]
    for (sample,) in fetch_objects([Sample], _SAMPLE, values):
        return sample
    return None


def find_live_version(project: Project) -> ModelVersion | None:
    """Return the version that was promoted last, or None."""
    for (version,) in fetch_objects([ModelVersion], _LIVE_VERSION, [project.pk]):
        return version
    return None


def find_live_version_by_slug(slug: str) -> ModelVersion | None:
    """Return the version that was promoted last, its project with it, or None."""
    for version, project in fetch_objects([ModelVersion, Project], _LIVE_VERSION_BY_SLUG, [slug]):
        version.project = project
        return version
    return None


def category_rows(project_id: int) -> list[tuple[int, str, str]]:
    """Return key, id as text, and name of each category of a project.

    One that was merged has the key of the category that it was merged into.
    """
    return fetch_rows(_CATEGORIES, [project_id])


def insert_sample(sample: Sample) -> bool:
    """Write a new sample; return False, and write nothing, where the project has its bytes."""
    return insert_object(sample, unless_there=True)


def insert_prediction(prediction: Prediction) -> Prediction:
    """Write a new prediction and return it."""
    insert_object(prediction)
    return prediction
