"""What Prometheus is told: requests, predictions, verdicts, work that waits."""
