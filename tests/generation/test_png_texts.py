"""The texts of a PNG change, and its pixels do not."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from generation.png_texts import PngBroken, read_texts, replace_texts

TEXTS = {"parameters": "a red coat\nSteps: 4", "isengard": '{"prompt":"ein grüner Mantel — 緑"}'}


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return type and content of each, having checked its checksum."""
    found, at = [], 8
    while at < len(content):
        length, name = struct.unpack(">I4s", content[at : at + 8])
        inside = content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + inside)
        found.append((name, inside))
        at += 12 + length
    return found


def made_by_a_server(**save: object) -> bytes:
    """Return a PNG as ComfyUI saves it: with its graph, and everything else that programs put into such files."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", '{"1": {"inputs": {"unet_name": "/srv/models/flux.safetensors"}}}')
    texts.add_text("workflow", "somebody's workspace", zip=True)
    texts.add_itxt("author", "somebody on gpu-host-7")
    texts.add(b"tIME", b"\x07\xe9\x01\x0f\x0a\x1e\x00")
    texts.add(b"prVt", b"a private remark")
    texts.add(b"prVw", b"a remark behind the pixels", after_idat=True)
    exif = Image.Exif()
    exif[0x010E] = "what a camera says"
    content = io.BytesIO()
    gradient = Image.linear_gradient("L").resize((96, 64))
    Image.merge("RGB", (gradient, gradient.rotate(180), gradient)).save(
        content, "PNG", pnginfo=texts, exif=exif, **save
    )
    return content.getvalue()


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "gen-1-0.png"
    path.write_bytes(made_by_a_server())
    return path


def test_the_compressed_pixels_are_the_same_bytes(png: Path) -> None:
    before = png.read_bytes()
    replace_texts(png, TEXTS)
    after = png.read_bytes()
    assert [part for part in chunks(after) if part[0] == b"IDAT"] == [
        part for part in chunks(before) if part[0] == b"IDAT"
    ]
    assert Image.open(io.BytesIO(before)).tobytes() == Image.open(png).tobytes()


def test_nothing_of_the_server_is_left(png: Path) -> None:
    replace_texts(png, TEXTS)
    content = png.read_bytes()
    assert [name for name, _ in chunks(content)] == [b"IHDR", b"tEXt", b"iTXt", b"IDAT", b"IEND"]
    for trace in (b"safetensors", b"workspace", b"gpu-host", b"private", b"remark", b"camera"):
        assert trace not in content


def test_other_programs_read_the_texts(png: Path) -> None:
    replace_texts(png, TEXTS)
    assert Image.open(png).text == TEXTS
    assert read_texts(png) == TEXTS


def test_texts_are_replaced_and_not_added(png: Path) -> None:
    replace_texts(png, TEXTS)
    replace_texts(png, {"parameters": "other"})
    assert read_texts(png) == {"parameters": "other"}


def test_what_decides_about_the_look_stays(tmp_path: Path) -> None:
    path = tmp_path / "palette.png"
    with Image.new("P", (8, 8)) as image:
        image.putpalette([1, 2, 3, 250, 251, 252])
        image.save(path, "PNG", transparency=0, gamma=0.5)
    before = Image.open(path).convert("RGBA").tobytes()
    replace_texts(path, TEXTS)
    assert {name for name, _ in chunks(path.read_bytes())} >= {b"PLTE", b"tRNS"}
    assert Image.open(path).convert("RGBA").tobytes() == before


def test_what_stands_behind_the_end_goes_too(png: Path) -> None:
    png.write_bytes(png.read_bytes() + b"more from the server")
    replace_texts(png, TEXTS)
    assert png.read_bytes().endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize("damage", [lambda png: png[:-6], lambda png: png[:40], lambda png: b"", lambda png: png[1:]])
def test_half_a_file_is_refused_and_left_as_it_was(png: Path, damage) -> None:
    png.write_bytes(damage(png.read_bytes()))
    before = png.read_bytes()
    with pytest.raises(PngBroken):
        replace_texts(png, TEXTS)
    assert png.read_bytes() == before
    assert [path.name for path in png.parent.iterdir()] == [png.name]


def test_a_file_without_texts_has_none(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    assert read_texts(tmp_path / "plain.png") == {}
