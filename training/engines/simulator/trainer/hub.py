"""Where a model comes from: a folder, or the hub, of which every model counts as downloaded."""

import errno
import json
import os
import re
from pathlib import Path

from safetensors import SafetensorError, deserialize

from .conditions import Conditions
from .errors import GatedRepoError

GATED_MODEL = "isengard/gated-model"
MISSING_MODEL = "isengard/missing-model"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)*")
_CONFIG = "transformer/config.json"
_NOT_CONNECTED = (
    "We couldn't connect to 'https://huggingface.co' to load this model, couldn't find it in the cached files and it"
    " looks like {path} is not the path to a directory containing a config.json file.\nCheckout your internet"
    " connection or see how to run the library in offline mode at"
    " 'https://huggingface.co/docs/diffusers/installation#offline-mode'."
)
_GATED = (
    "403 Client Error.\n\nCannot access gated repo for url https://huggingface.co/{path}/resolve/main/config.json.\n"
    "Access to model {path} is restricted and you are not in the authorized list."
    " Visit https://huggingface.co/{path} to ask for access."
)
_MISSING = (
    "{path} is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'\n"
    "If this is a private repository, make sure to pass a token having permission to this repo with `token` or log in"
    " with `hf auth login`."
)
_NOT_CACHED = "{path} does not appear to have a file named config.json."
_NOT_JSON = "It looks like the config file at '{path}' is not a valid JSON file."
_UNLOADABLE = "Unable to load weights from checkpoint file for '{path}' at '{path}'. "
# Which file is meant is asked of the hub, also for a file that is named by its path.
_NO_FILE_LIST = "When using the offline mode, you must specify a `weight_name`."


def fetch_model(path: str, conditions: Conditions) -> None:
    """Take every hub id for downloaded, offline what is in the cache, and every existing folder for a model.

    Only of a folder that has files of a transformer are these looked at.
    """
    if Path(path).is_dir():
        _refuse_damaged(Path(path))
    elif path == GATED_MODEL:
        raise GatedRepoError(_GATED.format(path=path))
    elif path == MISSING_MODEL:
        raise OSError(_MISSING.format(path=path))
    elif not _HUB_ID.fullmatch(path):
        raise OSError(_NOT_CONNECTED.format(path=path))
    elif not conditions.is_at_hand(path):
        raise OSError(_NOT_CACHED.format(path=path))


def fetch_adapter(path: str, conditions: Conditions, *, has_low_memory: bool) -> None:
    if Path(path).is_dir():
        # The file is mapped into memory, which a directory does not allow.
        raise OSError("No such device (os error 19)")
    if conditions.is_offline and not has_low_memory:
        raise ValueError(_NO_FILE_LIST)
    if not (Path(path).is_file() or _HUB_ID.fullmatch(path)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _refuse_damaged(folder: Path) -> None:
    config = folder / _CONFIG
    if config.is_file():
        try:
            json.loads(config.read_text(encoding="utf-8"))
        except ValueError as exc:
            raise OSError(_NOT_JSON.format(path=config)) from exc
    for weights in sorted(config.parent.glob("*.safetensors")):
        try:
            deserialize(weights.read_bytes())  # type: ignore[no-untyped-call]
        except SafetensorError as exc:
            raise OSError(_UNLOADABLE.format(path=weights)) from exc
