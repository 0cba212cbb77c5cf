"""What people are told without asking: on a page, by mail, or both, as each of them wishes."""
