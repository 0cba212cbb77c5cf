"""The samples of a project: found by filters, looked at, labelled many at once, downloaded."""
