"""The Content-Security-Policy of the pages for people. Nothing they load comes from elsewhere."""

from django.http import HttpRequest, HttpResponseBase

from isengard.api.middleware import EitherModeMiddleware

HEADER = "Content-Security-Policy"
COMMON = (
    "default-src 'none'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
PAGES_POLICY = f"{COMMON}; script-src 'self'; style-src 'self'"
# The admin's theme evaluates the expressions in its templates (Alpine.js), and writes its colours into a <style>.
ADMIN_POLICY = f"{COMMON}; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"


class ContentSecurityPolicyMiddleware(EitherModeMiddleware):
    """Adds the policy to every page that has none of its own."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.headers.get("Content-Type", "").startswith("text/html"):
            is_admin = request.path.startswith("/admin/")
            response.headers.setdefault(HEADER, ADMIN_POLICY if is_admin else PAGES_POLICY)
        return response
