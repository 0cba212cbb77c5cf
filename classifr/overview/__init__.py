"""The overview of a project: what to do next, how it is doing, and what happened lately."""
