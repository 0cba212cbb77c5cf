"""How projects and categories end: deleted with everything, or merged into another one."""
