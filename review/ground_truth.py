"""What counts as true, and nothing else does: the newest ruling of a sample, if it names a category.

A user's OK alone is no truth: a model must not confirm itself. A NOK is none either: it says what a picture is not.
"""

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from predictions.models import Project, Sample
from review.models import Decision

NAMES_A_CATEGORY = (Decision.Outcome.LABELLED, Decision.Outcome.CONFIRMED)


def labelled(project: Project) -> QuerySet[Sample]:
    """Return the samples of a project whose true category is known, each once, annotated with `true_category_id`."""
    newer = Decision.objects.filter(sample=OuterRef("pk"), pk__gt=OuterRef("decisions__pk"))
    # One call of filter(): conditions in two would be about two different rulings of the sample
    return Sample.objects.filter(Q(decisions__outcome__in=NAMES_A_CATEGORY) & ~Exists(newer), project=project).annotate(
        true_category_id=F("decisions__category")
    )
