"""What the roof does in the background."""

from classifr import demo
from classifr.gallery import acts  # noqa: F401 (defines tasks)
from common.tasks import periodic


@periodic(seconds=86_400)
def restore_demo_vectors() -> int:
    """Keep what this version's backbone sees in the demo's samples, of which there are no pictures;
    return how many were missing. After an update it sees something else.
    """
    return demo.restore_vectors()
