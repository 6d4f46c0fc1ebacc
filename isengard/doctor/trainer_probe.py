"""Run by the trainer's own interpreter in the trainer's folder: says, as one line of JSON, what it can import.

Arguments: the packages to import, then `--program` where the program's own extensions are to be loaded too. It imports
nothing of Isengard, whose packages that interpreter does not have.
"""

import importlib
import json
import sys
from typing import Any

PROGRAM = "--program"
EXTENSIONS = "toolkit.extension"


def main(arguments: list[str]) -> None:
    answer: dict[str, Any] = {
        "python": sys.version.split()[0],
        "versions": {},
        "broken": {},
        "trainers": [],
        "gpus": [],
    }
    for name in [argument for argument in arguments if argument != PROGRAM]:
        _attempt(name, answer, lambda name=name: answer["versions"].update({name: _version(name)}))
    if PROGRAM in arguments and not answer["broken"]:
        _attempt(EXTENSIONS, answer, lambda: answer["trainers"].extend(_trainers()))
    if "torch" in answer["versions"]:
        _attempt("torch.cuda", answer, lambda: answer["gpus"].extend(_gpus()))
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


def _attempt(name: str, answer: dict[str, Any], look: Any) -> None:
    try:
        look()
    except Exception as exc:
        # Somebody else's packages fail at their import with whatever they like.
        answer["broken"][name] = f"{type(exc).__name__}: {exc}"


def _version(name: str) -> str:
    return str(getattr(importlib.import_module(name), "__version__", ""))


def _trainers() -> list[str]:
    # As the program itself does at every start: one extension whose import fails ends every job.
    return [str(name) for name in importlib.import_module(EXTENSIONS).get_all_extensions_process_dict()]


def _gpus() -> list[list[Any]]:
    cuda = importlib.import_module("torch").cuda
    found = [cuda.get_device_properties(number) for number in range(cuda.device_count())] if cuda.is_available() else []
    return [[gpu.name, gpu.total_memory] for gpu in found]


if __name__ == "__main__":
    main(sys.argv[1:])
