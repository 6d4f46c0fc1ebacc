"""Everything but the streams, for a WSGI server: `isengard.wsgi:application`."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from isengard.databases.serving import serve_with_patience

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "isengard.settings")
application = get_wsgi_application()
serve_with_patience(settings.DATABASE_WAIT_SECONDS)
