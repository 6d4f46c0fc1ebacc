"""Where ComfyUI finds our LoRAs: the file that tells it, in the form of its `extra_model_paths.yaml`."""

from pathlib import Path

FIRST_LINE = "# Written by `manage.py comfyui_paths`: where ComfyUI finds Isengard's LoRAs."


class FolderUnusable(Exception):
    """ComfyUI cannot be told of this folder, or not by this file; the text says why."""


def paths_file(folder: str) -> str:
    """Return the file's content. Raises FolderUnusable for a path that it could not say.

    The path stands alone, without a `base_path`: ComfyUI replaces `$` and `~` in that one. It splits the value into
    lines, so that a path with a line break in it cannot be told.
    """
    if not folder.startswith("/"):
        raise FolderUnusable(f"{folder!r} is no absolute path.")
    if not folder.isprintable():
        raise FolderUnusable(
            f"The path {folder!r} has a line break or another character that ComfyUI's file cannot name. "
            "Give the folder another name, or give ComfyUI a link to it with --folder."
        )
    # In single quotes nothing but the quote itself means anything to YAML.
    quoted = "'" + folder.replace("'", "''") + "'"
    return f"{FIRST_LINE}\nisengard:\n  loras: {quoted}\n"


def write_paths_file(path: Path, content: str) -> None:
    """Write it whole or not at all. Raises FolderUnusable instead of replacing a file of somebody else's, or OSError.

    ComfyUI reads the file at its start, which may be now.
    """
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(FIRST_LINE):
        raise FolderUnusable(f"{path} exists and has other content. Add these lines to it yourself:\n\n{content}")
    partial = path.with_name(f"{path.name}.tmp")
    try:
        partial.write_text(content, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
