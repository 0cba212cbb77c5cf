"""Imports projects from Custom Vision, or from a server that answers in its place.

service             what the service knows, as plain dataclasses
downloads           pictures by their links, without the key
project_mapping     project and tags -> project and categories
image_import        images -> samples and decisions
history_import      iterations and stored predictions, as they were
import_report       what was there, what is here
service_comparison  the service's metrics beside ours
import_jobs         requesting an import, doing it, deleting the key
"""
