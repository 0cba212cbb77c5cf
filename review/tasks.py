"""What the review room does in the background."""

from common import jobs
from review import queue


@jobs.every(600)
def look_for_the_horizon() -> None:
    """Keep the search for waiting samples short, see `review.low_water_mark`."""
    queue.advance_marks()
