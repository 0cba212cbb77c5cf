"""Template tags: how many notifications wait to be read."""
