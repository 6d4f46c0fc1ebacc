"""`manage.py comfyui_paths`: the file that tells ComfyUI where the LoRAs are."""

import io
import os
from pathlib import Path

import pytest
import yaml
from django.conf import LazySettings
from django.core.management import CommandError, call_command


def _call(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("comfyui_paths", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def _folders(text: str) -> list[str]:
    """Return what ComfyUI makes of the file: it goes through all sections, and splits each value into lines."""
    found = []
    for section in yaml.safe_load(text).values():
        base = section.pop("base_path", None)
        assert base is None, "a base path would be expanded"
        assert set(section) == {"loras"}
        found += [os.path.normpath(line) for line in section["loras"].split("\n") if line]
    return found


@pytest.mark.parametrize(
    "name",
    ["plain", "with space ", "it's", 'say "hi"', "$HOME", "~", "a: b", "a #b", "- x", "{a}", "größe-😀", "%41", "\\n"],
)
def test_any_folder_arrives_as_it_is(tmp_path: Path, settings: LazySettings, name: str) -> None:
    settings.MEDIA_ROOT = tmp_path / name
    text, _ = _call()
    assert _folders(text) == [str(tmp_path / name / "loras")]
    assert (tmp_path / name / "loras").is_dir()


@pytest.mark.parametrize("name", ["two\nlines", "a\tb", "\x85", "\u2028", os.fsdecode(b"\xff")])
def test_a_folder_that_the_file_cannot_name_is_refused(tmp_path: Path, settings: LazySettings, name: str) -> None:
    settings.MEDIA_ROOT = tmp_path / name
    with pytest.raises(CommandError, match="cannot name"):
        _call()


def test_a_folder_as_another_machine_sees_it(settings: LazySettings) -> None:
    assert _folders(_call("--folder", "/mnt/isengard/loras")[0]) == ["/mnt/isengard/loras"]
    with pytest.raises(CommandError, match="no absolute path"):
        _call("--folder", "loras")


def test_the_file_is_written_whole_and_again(tmp_path: Path, settings: LazySettings) -> None:
    settings.MEDIA_ROOT = tmp_path / "data"
    settings.COMFYUI_URLS = ("http://ann:sesame@gpu-2:8188#gpu=0",)
    target = tmp_path / "extra_model_paths.yaml"
    for _ in range(2):
        printed, said = _call("--write", str(target))
        assert printed == ""
        assert f"--extra-model-paths-config {target}" in said
        assert "gpu-2:8188" in said
        assert "sesame" not in said
    assert _folders(target.read_text()) == [str(tmp_path / "data" / "loras")]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["extra_model_paths.yaml"]


def test_a_file_of_somebody_else_is_left_as_it_is(tmp_path: Path, settings: LazySettings) -> None:
    settings.MEDIA_ROOT = tmp_path / "data"
    target = tmp_path / "extra_model_paths.yaml"
    target.write_text("mine:\n  loras: /elsewhere\n")
    with pytest.raises(CommandError, match="Add these lines"):
        _call("--write", str(target))
    assert target.read_text() == "mine:\n  loras: /elsewhere\n"


def test_a_file_that_cannot_be_written_is_said_to_be_that(tmp_path: Path, settings: LazySettings) -> None:
    settings.MEDIA_ROOT = tmp_path / "data"
    with pytest.raises(CommandError, match="could not be written: No such file"):
        _call("--write", str(tmp_path / "nowhere" / "x.yaml"))
