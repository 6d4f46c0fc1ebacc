"""What the admin pages are called."""

from django.contrib import admin

admin.site.site_header = "Isengard"
admin.site.site_title = "Isengard"
admin.site.index_title = "Operations"
