"""Brings projects home from Custom Vision, or from a server that answers in its place.

remote       what the service knows, as plain dataclasses       downloads    pictures by their
links, without the key
adoption     project and tags -> project and categories         images       images -> samples and
labels
history      iterations and stored predictions, as they were    report       what was there, what is
here
errands      asking for an import, doing it, forgetting the key
"""
