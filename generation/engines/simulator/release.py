"""What differs between the releases of ComfyUI, as far as a client can tell."""

from dataclasses import dataclass

VERSION_DEFAULT = "0.33.0"
CHOICES_SINCE = (0, 8, 0)
KLEIN_SINCE = (0, 9, 2)
CANCELLED_SINCE = (0, 9, 0)
MISSING_NODES_SINCE = (0, 12, 0)
CACHED_FOR_ALL_SINCE = (0, 19, 0)
UUIDS_SINCE = (0, 25, 0)
PREVIEWABLE_SINCE = (0, 32, 0)


@dataclass(frozen=True, slots=True)
class Release:
    """`text` is three numbers with dots between them, such as 0.7.0; raises ValueError for anything else."""

    text: str = VERSION_DEFAULT

    def __post_init__(self) -> None:
        if len(self.version) != 3:
            raise ValueError(f"'{self.text}' is not a version such as {VERSION_DEFAULT}.")

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.text.split("."))

    @property
    def wants_uuids(self) -> bool:
        """Whether a prompt's id has to be a UUID; before, any text was one."""
        return self.version >= UUIDS_SINCE

    @property
    def names_missing_nodes(self) -> bool:
        return self.version >= MISSING_NODES_SINCE

    @property
    def checks_new_choices(self) -> bool:
        """Whether a choice in the new spelling is checked before the prompt runs."""
        return self.version >= CHOICES_SINCE

    @property
    def lists_cached_outputs_for_all(self) -> bool:
        """Whether the history shows what came from the cache even if the prompt has no client."""
        return self.version >= CACHED_FOR_ALL_SINCE

    @property
    def knows_klein(self) -> bool:
        return self.version >= KLEIN_SINCE

    @property
    def interrupted_status(self) -> str:
        """Return what `/api/jobs` calls a prompt that was interrupted."""
        return "cancelled" if self.version >= CANCELLED_SINCE else "failed"

    @property
    def counts_previewable(self) -> bool:
        return self.version >= PREVIEWABLE_SINCE
