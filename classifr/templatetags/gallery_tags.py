"""How the gallery writes its filters and splits."""

from typing import Any

from django import template

from classifr.gallery.filters import Split
from classifr.gallery.forms import GalleryForm

register = template.Library()


@register.inclusion_tag("gallery/_filter.html")
def filter_menu(form: GalleryForm, title: str, *names: str) -> dict[str, Any]:
    """Show some fields of the filters behind their title."""
    return {"title": title, "fields": [form[name] for name in names]}


@register.filter
def split_name(split: str) -> str:
    return str(Split(split).label)
