"""Users in Django's admin, a last resort for superusers. Maintainers have a page of their own."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from accounts.models import User

admin.site.register(User, UserAdmin)
