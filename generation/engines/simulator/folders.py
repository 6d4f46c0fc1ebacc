"""The folders below the base directory, and the one for LoRAs, searched anew at every look."""

import os
import tempfile
from pathlib import Path

MODEL_SUFFIXES = (".safetensors", ".sft", ".pt", ".pth", ".ckpt", ".bin")
MODEL_FOLDERS = (
    "checkpoints",
    "configs",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "clip_vision",
    "style_models",
    "embeddings",
    "diffusers",
    "vae_approx",
    "controlnet",
    "gligen",
    "upscale_models",
    "latent_upscale_models",
    "custom_nodes",
    "hypernetworks",
    "photomaker",
    "classifiers",
    "model_patches",
    "audio_encoders",
    "ipadapter",
    "ultralytics",
)
FILE_TYPES = ("input", "output", "temp")


class Folders:
    def __init__(self, base_directory: Path, lora_directory: Path | None = None) -> None:
        self.base = base_directory.absolute()
        self._models = {name: self.base / "models" / name for name in MODEL_FOLDERS}
        if lora_directory is not None:
            self._models["loras"] = lora_directory.absolute()
        self._seen: set[str] = set()

    def create(self) -> None:
        for file_type in FILE_TYPES:
            self.directory(file_type).mkdir(parents=True, exist_ok=True)
        for path in self._models.values():
            path.mkdir(parents=True, exist_ok=True)

    def directory(self, file_type: str) -> Path:
        """Return the folder of uploads (`input`), saved images (`output`) or previews (`temp`); raise KeyError."""
        if file_type not in FILE_TYPES:
            raise KeyError(file_type)
        return self.base / file_type

    def choices(self, folder: str) -> list[str]:
        """Return what a combo over `folder` offers: a model folder's files, or the pictures in `input`."""
        return self.input_files() if folder == "input" else self.model_files(folder)

    def input_files(self) -> list[str]:
        return sorted(path.name for path in self.directory("input").iterdir() if path.is_file())

    def model_files(self, folder: str) -> list[str]:
        """Return the model files' names relative to `folder`. Raises KeyError for a folder that does not exist here.

        A search folder that was there and is gone raises FileNotFoundError until it is back, as in ComfyUI.
        """
        root = self._models[folder]
        if root.is_dir():
            self._seen.add(folder)
        elif folder in self._seen:
            raise FileNotFoundError(f"[Errno 2] No such file or directory: '{root}'")
        return sorted(_relative_names(root))

    def model_path(self, folder: str, name: str) -> Path:
        path = self._models[folder] / name
        if not path.is_file():
            raise FileNotFoundError(f"Model in folder '{folder}' with filename '{name}' not found.")
        return path

    def annotated_path(self, name: str) -> Path:
        """Return where `name` lies; it may end in ` [output]`, ` [input]` or ` [temp]` and is an upload otherwise."""
        for file_type in FILE_TYPES:
            if name.endswith(f" [{file_type}]"):
                return self.directory(file_type) / name.removesuffix(f" [{file_type}]")
        return self.directory("input") / name


def _relative_names(root: Path) -> list[str]:
    names = []
    for folder, _, files in os.walk(root, followlinks=True):
        relative = Path(folder).relative_to(root)
        names += [(relative / name).as_posix() for name in files if name.lower().endswith(MODEL_SUFFIXES)]
    return names


def is_below(path: Path, root: Path) -> bool:
    """Say whether `path`, with its `..` resolved but not its links, lies in `root`."""
    return Path(os.path.normpath(path)).is_relative_to(root)


def write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)
