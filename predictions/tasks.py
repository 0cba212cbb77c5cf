"""What this app does in the background: the modules that define its tasks."""

from predictions import (  # noqa: F401
    batches,
    content_digests,
    daily_figures,
    orphaned_files,
    outbox,
    retention,
    shadow_inference,
)
