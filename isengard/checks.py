"""What must hold before anything starts: `manage.py check`."""

from typing import Any

from django.conf import settings
from django.core import checks


@checks.register()
def check_production(**_: Any) -> list[checks.CheckMessage]:
    """Say what a production host will miss; a host without a GPU needs no ai-toolkit, so this stops nothing."""
    if not settings.IS_PRODUCTION or (settings.AI_TOOLKIT_DIR / "run.py").is_file():
        return []
    hint = "Where a training worker runs, set AI_TOOLKIT_DIR to the folder of ai-toolkit that holds run.py."
    return [checks.Warning(f"There is no run.py in {settings.AI_TOOLKIT_DIR}.", hint=hint, id="isengard.W001")]
