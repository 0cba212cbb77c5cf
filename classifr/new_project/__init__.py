"""A new project, from its name to its first answer: name, pictures, train, try."""
