"""Drift: whether what is sent, and what is answered, is still as it was when a model went live."""
