"""The folders of the data directory that a backup may hold."""

# Each file there is named by a row.
NAMED = ("uploads", "inputs", "loras", "outputs", "samples", "checkpoints", "logs")
# The operator's own files.
OWN = ("workflows", "presets", "wildcards")
PARTS = (*NAMED, *OWN)


def part_of(key: str) -> str:
    return key.split("/", 1)[0]
