"""Admin pages for looking, never for changing: what they show is written by the code alone."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from common.numbers import natural_number


class ReadOnlyAdmin(admin.ModelAdmin):
    """Whoever changed these rows here would bypass the rules that keep them true."""

    show_full_result_count = False  # a count of a million rows costs more than the page
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_list_select_related(self, request: HttpRequest) -> bool | list[str] | tuple[str, ...]:
        """Read the related rows along, or else each line of a list asks for its own."""
        return super().get_list_select_related(request) or True

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Model | None:
        """Return a row, or None; Django does not check the range of a key that points elsewhere."""
        if self.opts.pk.is_relation and natural_number(object_id) is None:
            return None
        return super().get_object(request, object_id, from_field)
