"""Backups: the database, all files and the key in one archive, taken while people work."""
