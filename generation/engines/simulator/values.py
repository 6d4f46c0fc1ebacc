"""What flows along the links of a graph."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from PIL.Image import Image


@dataclass(frozen=True, slots=True, order=True)
class AppliedLora:
    name: str
    digest: str
    strength: float


@dataclass(frozen=True, slots=True)
class Clip:
    file_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A VAE, ControlNet, style, vision or upscale model: only its name matters here."""

    folder: str
    file_name: str
    variant: str = ""
    """What it was told to be: a union of ControlNets is told which of them."""


@dataclass(frozen=True, slots=True)
class Influence:
    """What a style model or a ControlNet adds to a conditioning, or an IP-Adapter to a model.

    `digest` is of the picture that it looked at; `lack` is what the sampling will miss.
    """

    model: str
    digest: str
    strengths: tuple[float | str, ...]
    lack: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """`loras` are sorted: their weights are added up, in whatever order they come."""

    file_name: str
    loras: tuple[AppliedLora, ...] = ()
    sampling: tuple[float, ...] = ()
    adapters: tuple[Influence, ...] = ()


@dataclass(frozen=True, slots=True)
class Conditioning:
    text: str
    guidance: float | None = None
    influences: tuple[Influence, ...] = ()


@dataclass(frozen=True, slots=True)
class Guider:
    """`negative` and `cfg` are None for a guider that has only one conditioning."""

    model: Model
    positive: Conditioning
    negative: Conditioning | None = None
    cfg: float | None = None


@dataclass(frozen=True, slots=True)
class Sigmas:
    scheduler: str
    steps: int
    denoise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what a sampled picture looks like. Sizes are pixels."""

    model: Model
    positive: Conditioning
    negative: Conditioning | None
    cfg: float | None
    seed: int
    sampler: str
    sigmas: Sigmas
    width: int
    height: int
    source_digest: str | None

    def digest(self, index: int) -> bytes:
        """Return 32 bytes that differ as soon as anything differs; `index` is the place in the batch."""
        text = json.dumps([asdict(self), index], sort_keys=True)
        return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Pictures before they are decoded: `pictures` came from an encoder, `recipe` from a sampler, neither is empty."""

    width: int
    height: int
    batch_size: int
    pictures: tuple[Image, ...] = ()
    recipe: Recipe | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a node gives: its output slots, and what the client is shown, if anything."""

    outputs: tuple[Any, ...] = ()
    shown: dict[str, Any] | None = field(default=None)


def digest_of_pictures(pictures: tuple[Image, ...]) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(repr(picture.size).encode())
        digest.update(picture.tobytes())
    return digest.hexdigest()
