"""Loaded before Django's settings are (`-p tests.environment`): a data directory of the tests' own, and no `.env`."""

import atexit
import os
import shutil
import tempfile

_kept_out = (
    "ISENGARD_",
    "COMFYUI_",
    "AI_TOOLKIT_",
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "CORS_",
)
for _name in [name for name in os.environ if name.startswith(_kept_out)]:
    if not _name.startswith(("ISENGARD_TEST_", "ISENGARD_FORBID_SKIPS")):
        del os.environ[_name]

DATA_DIR = tempfile.mkdtemp(prefix="isengard-test-")
atexit.register(shutil.rmtree, DATA_DIR, ignore_errors=True)
os.environ["ISENGARD_DATA_DIR"] = DATA_DIR
os.environ["ISENGARD_SIMULATOR_STEP_SECONDS"] = "0.002"
os.environ["ISENGARD_ENV_FILE"] = "/dev/null"
# The in-process tests run on PostgreSQL too: ISENGARD_TEST_DATABASE_URL=postgres://user@/postgres?host=/socket/folder
if os.environ.get("ISENGARD_TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = os.environ["ISENGARD_TEST_DATABASE_URL"]
