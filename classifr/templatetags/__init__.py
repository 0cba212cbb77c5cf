"""Template tags of the shell: what every page has around it."""
