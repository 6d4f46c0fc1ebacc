"""Everything but the streams, for a WSGI server: `isengard.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "isengard.settings")
application = get_wsgi_application()
