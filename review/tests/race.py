"""Several reviewers empty one queue as fast as they can; run as a process of its own.

Prints as JSON how many samples there were, and how many decisions each got.
"""

import json
import sys
import threading

import django

SAMPLES, REVIEWERS = 40, 6


def review_until_empty(reviewer) -> None:
    from django.db import connection

    from review import decisions
    from review.tests.factories import lease_next

    while sample := lease_next(reviewer):
        decisions.confirm_prediction(sample, by=reviewer)
    connection.close()


def main() -> None:
    django.setup()
    from django.core.management import call_command
    from django.db.models import Count

    from predictions.models import Sample
    from predictions.tests.factories import make_live_model, make_project
    from review.tests.factories import make_nok, make_reviewer

    call_command("migrate", verbosity=0)
    project = make_project()
    make_live_model(project)
    for _ in range(SAMPLES):
        make_nok(project)
    threads = [
        threading.Thread(target=review_until_empty, args=[make_reviewer()])
        for _ in range(REVIEWERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    decisions = Sample.objects.annotate(count=Count("decisions")).values_list("count", flat=True)
    reviewers = Sample.objects.values("decisions__reviewer").distinct().count()
    json.dump({"decisions": list(decisions), "reviewers": reviewers}, sys.stdout)


if __name__ == "__main__":
    main()
