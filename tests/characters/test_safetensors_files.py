"""Which files are LoRAs, and what is said of those that are not."""

import ctypes
import io
import json
import struct
import zipfile
from typing import Any

import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st

from characters.safetensors_files import LoraFacts, LoraRefused, Origin, inspect
from tests.characters.invented import steady
from tests.characters.lora_making import DOWN, RANK, UP, WIDTH, file_of, file_with, header_of, lora_bytes, pair

KOHYA = "lora_unet_double_blocks_0_img_attn_qkv"
BODY = bytes(2 * RANK * WIDTH * 4)


def facts_of(content: bytes) -> LoraFacts:
    return inspect(io.BytesIO(content))


def reason_of(content: bytes) -> str:
    with pytest.raises(LoraRefused) as refused:
        facts_of(content)
    return str(refused.value)


def verdict_on(content: bytes) -> LoraFacts | str:
    try:
        return facts_of(content)
    except LoraRefused as refused:
        return str(refused)


def is_sound(verdict: LoraFacts | str, content: bytes) -> bool:
    """A refusal can be sent to a client; what was taken is what the safetensors library loads."""
    if isinstance(verdict, str):
        return bool(verdict.encode())
    return len(safetensors.deserialize(content)) == verdict.tensor_count


def with_entry(name: str, **changes: Any) -> bytes:
    """A file whose tensor `name` is described otherwise than it is."""
    header = header_of(pair())
    header[name] = {**header[name], **changes}
    return file_of(header, BODY)


def pickled() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return content.getvalue()


def test_the_facts_of_a_lora_are_told() -> None:
    shapes = {**pair(4), "transformer.x.lora_A.weight": [8, 16], "transformer.x.lora_B.weight": [16, 8]}
    assert facts_of(file_with(shapes, "BF16", format="pt", software="made by hand")) == LoraFacts(
        layouts=("peft",),
        ranks=(4, 8),
        dtypes=("BF16",),
        tensor_count=4,
        module_count=2,
        metadata={"format": "pt", "software": "made by hand"},
        origin=Origin(base_model="", family=None, trigger_word=""),
    )


def test_a_file_that_the_safetensors_library_wrote_is_taken() -> None:
    zeros = ctypes.create_string_buffer(40)

    def tensor(rows: int, columns: int) -> safetensors.TensorSpec:
        start = ctypes.addressof(zeros)
        return safetensors.TensorSpec(
            dtype="float32", shape=[rows, columns], data_ptr=start, data_len=4 * rows * columns
        )

    written = safetensors.serialize({DOWN: tensor(2, 3), UP: tensor(5, 2)}, {"format": "pt"})
    assert facts_of(bytes(written)).ranks == (2,)


@pytest.mark.parametrize(
    ("layout", "ranks", "shapes"),
    [
        ("peft", (4,), {"base_model.model.x.lora_A.weight": [4, 9], "base_model.model.x.lora_B.weight": [9, 4]}),
        ("peft", (4,), {"t.x.lora_A.default.weight": [4, 9], "t.x.lora_B.default.weight": [9, 4]}),
        ("peft", (4,), {"t.x.lora_A": [4, 9], "t.x.lora_B": [9, 4], "t.x.lora_magnitude_vector": [9]}),
        ("kohya", (4,), {f"{KOHYA}.lora_down.weight": [4, 9], f"{KOHYA}.lora_up.weight": [9, 4], f"{KOHYA}.alpha": []}),
        ("kohya", (4,), {"lora_te1_x.lora_down.weight": [4, 9], "lora_te1_x.lora_up.weight": [9, 4]}),
        (
            "kohya",
            (4,),
            {"x.y.lora_down.weight": [4, 9, 3, 3], "x.y.lora_up.weight": [9, 4, 1, 1], "x.y.dora_scale": [9]},
        ),
        (
            "kohya",
            (4,),
            {"x.lora_down.weight": [4, 9, 1, 1], "x.lora_mid.weight": [4, 4, 3, 3], "x.lora_up.weight": [9, 4, 1, 1]},
        ),
        ("diffusers", (4,), {"unet.x.lora.down.weight": [4, 9], "unet.x.lora.up.weight": [9, 4]}),
        ("diffusers", (4,), {"unet.x.to_q_lora.down.weight": [4, 9], "unet.x.to_q_lora.up.weight": [9, 4]}),
        (
            "loha",
            (4, 5),
            {
                "x.hada_w1_a": [9, 4],
                "x.hada_w1_b": [4, 8],
                "x.hada_w2_a": [9, 5],
                "x.hada_w2_b": [5, 8],
                "x.alpha": [1],
            },
        ),
        ("lokr", (), {"x.lokr_w1": [4, 4], "x.lokr_w2": [8, 8], "x.alpha": []}),
        ("lokr", (2,), {"x.lokr_w1": [4, 4], "x.lokr_w2_a": [8, 2], "x.lokr_w2_b": [2, 8]}),
        (
            "lokr",
            (3,),
            {
                "x.lokr_w1_a": [4, 3],
                "x.lokr_w1_b": [3, 4],
                "x.lokr_w2_a": [2, 8],
                "x.lokr_w2_b": [2, 8],
                "x.lokr_t2": [2, 2, 3, 3],
            },
        ),
    ],
)
def test_each_trainers_layout_is_known(layout: str, ranks: tuple[int, ...], shapes: dict[str, list[int]]) -> None:
    facts = facts_of(file_with(shapes, "F16"))
    assert (facts.layouts, facts.ranks, facts.module_count) == ((layout,), ranks, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The file is empty."),
        (b"hello", "This is no safetensors file: it does not begin with a header."),
        (bytes(100), "This is no safetensors file: it does not begin with a header."),
        (struct.pack("<Q", 2**60) + b"{", "This is no safetensors file: it does not begin with a header."),
        (struct.pack("<Q", 10_000_001) + b"{", "This is no safetensors file: it does not begin with a header."),
        (lora_bytes()[:60], "The file is cut off: its header is incomplete."),
        (lora_bytes()[:-3], "The file is cut off; bytes missing at its end: 3."),
        (lora_bytes() + b"more", "The file goes on behind its last tensor; bytes too many: 4."),
        (b"GGUF\3\0\0\0\1\0\0\0", "This is a GGUF file; only .safetensors is taken."),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "This is a Git LFS pointer; send the file that it points to.",
        ),
        (b"<!DOCTYPE html><title>x", "This is a web page; the download of the file probably needed a log-in."),
    ],
)
def test_what_is_no_whole_safetensors_file_is_refused(content: bytes, reason: str) -> None:
    assert reason_of(content) == reason


@pytest.mark.parametrize("content", [pickled(), b"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.", b"\x80\x04}\x94."])
def test_pickles_are_refused_for_what_they_are(content: bytes) -> None:
    assert reason_of(content).startswith("This is a pickled file (.ckpt, .pt, .bin), which can run code")


@pytest.mark.parametrize("filler", [0x280, 0x480])
def test_a_header_whose_length_looks_like_a_pickle_is_read(filler: int) -> None:
    raw = json.dumps(header_of(pair())).encode()
    assert facts_of(file_of(raw.ljust(filler), BODY)).ranks == (RANK,)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"{", "The file's header is not valid JSON."),
        (b'{"a":NaN}', "The file's header is not valid JSON."),
        (b'{"\xff":1}', "The file's header is not valid JSON."),
        (b'{"\\ud800":1}', "The file's header is not valid JSON."),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "The file's header is not valid JSON."),
        (b'{"a":{},"a":{}}', "The file's header has the key 'a' twice."),
        (b'{"__metadata__":{"a":"1","a":"2"}}', "The file's header has the key 'a' twice."),
        (b'{"__metadata__":{"a":1}}', "The file's metadata are not texts by name."),
        (b'{"__metadata__":[]}', "The file's metadata are not texts by name."),
        (b"{}", "The file has no tensors."),
        (b'{"":{}}', "A tensor's name must have 1 to 500 characters: ''."),
        (b'{"a":[]}', "The header does not describe tensor 'a' by dtype, shape and data_offsets."),
        (b'{"a\\n":{"dtype":"F32"}}', "The header does not describe tensor 'a\\n' by dtype, shape and data_offsets."),
    ],
)
def test_a_header_that_is_not_valid_is_refused(header: bytes, reason: str) -> None:
    assert reason_of(file_of(header, b"")) == reason


INVALID = f"The shape or the offsets of tensor '{UP}' are not valid."
MISFIT = f"The size of tensor '{UP}' does not fit its shape and number type."


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape": [-32, -4]}, INVALID),
        ({"shape": [32.0, 4]}, INVALID),
        ({"shape": [True, 128]}, INVALID),
        ({"shape": "32x4"}, INVALID),
        ({"data_offsets": [512]}, INVALID),
        ({"data_offsets": [1024, 512]}, INVALID),
        ({"shape": [32, 5]}, MISFIT),
        ({"shape": [2**62, 2**62]}, MISFIT),
        ({"dtype": "F16"}, MISFIT),
        ({"dtype": "F4"}, f"Tensor '{UP}' has a number type that is not known here: 'F4'."),
        ({"dtype": ["F32"]}, f"Tensor '{UP}' has a number type that is not known here: \"['F32']\"."),
        ({"data_offsets": [0, 512]}, f"Tensor '{UP}' overlaps another."),
        ({"data_offsets": [256, 768]}, f"Tensor '{UP}' overlaps another."),
        ({"data_offsets": [520, 1032]}, f"Tensor '{UP}' has a gap before it."),
    ],
)
def test_a_tensor_that_is_not_where_or_what_its_entry_says_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert reason_of(with_entry(UP, **changes)) == reason


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({DOWN: [4, 32]}, "is incomplete: its up is missing."),
        ({UP: [32, 4]}, "is incomplete: its down is missing."),
        ({DOWN: [4, 32], "y.lora_B.weight": [32, 4]}, "is incomplete: its up is missing."),
        ({DOWN: [4, 32], UP: [32, 5]}, "do not fit together: [32, 5] and [4, 32]."),
        ({DOWN: [0, 32], UP: [32, 0]}, "must be a matrix, and its shape is [0, 32]."),
        ({DOWN: [4], UP: [4]}, "must be a matrix, and its shape is [4]."),
        ({**pair(), f"{KOHYA}.alpha": [2]}, f"Tensor '{KOHYA}.alpha' must be one number."),
        ({"x.alpha": [1]}, "The file has no LoRA weights, no pair of lora_A and lora_B or of lora_down and lora_up."),
        ({**pair(), "model.diffusion_model.out.weight": [4, 4]}, "is this a whole model?"),
        ({**pair(), f"{DOWN.removesuffix('.weight')}": [4, 32]}, "comes twice, under two spellings of its name."),
        ({"x.lokr_w1": [4, 4]}, "Module 'x' is incomplete: its lokr_w2_a is missing."),
        ({"x.hada_w1_a": [9, 4], "x.hada_w1_b": [4, 8]}, "Module 'x' is incomplete: its hada_w2_a is missing."),
        (
            {"x.lora_down.weight": [4, 9], "x.lora_up.weight": [9, 4], "x.lora_mid.weight": [4, 5, 3, 3]},
            "Module 'x' has a lora_mid that does not fit its rank of 4.",
        ),
    ],
)
def test_tensors_that_make_no_lora_are_refused(shapes: dict[str, list[int]], reason: str) -> None:
    assert reason_of(file_with(shapes)).endswith(reason)


def test_weights_of_whole_numbers_are_refused() -> None:
    assert reason_of(file_with(pair(), "I64")) == f"Tensor '{DOWN}' must have floating-point numbers, not I64."


BROKEN_NUMBERS = {
    "F64": (struct.pack("<d", float("nan")), struct.pack("<d", float("-inf"))),
    "F32": (struct.pack("<f", float("nan")), struct.pack("<f", float("inf")), struct.pack("<f", float("-inf"))),
    "F16": (struct.pack("<e", float("nan")), struct.pack("<e", float("inf")), struct.pack("<e", float("-inf"))),
    "BF16": (b"\xc0\x7f", b"\x80\x7f", b"\x80\xff"),
    "F8_E5M2": (b"\x7c", b"\xff"),
    "F8_E4M3": (b"\x7f", b"\xff"),
}


@pytest.mark.parametrize(("dtype", "number"), [(name, one) for name, all_ in BROKEN_NUMBERS.items() for one in all_])
@pytest.mark.parametrize("at_the_end", [False, True])
def test_a_single_number_that_is_not_finite_is_found(dtype: str, number: bytes, at_the_end: bool) -> None:
    content = file_with({DOWN: [4, 300_000], UP: [9, 4]}, dtype)
    body_bytes = (4 * 300_000 + 9 * 4) * len(number)
    place = (4 * 300_000 - 1 if at_the_end else 0) * len(number) + len(content) - body_bytes
    broken = content[:place] + number + content[place + len(number) :]
    assert reason_of(broken) == f"Tensor '{DOWN}' has numbers that are NaN or infinite: the training diverged."


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        ("F64", struct.pack("<d", -1e300)),
        ("F32", struct.pack("<f", 1e38)),
        ("F16", struct.pack("<e", -65504.0)),
        ("BF16", b"\xff\x7e"),
        ("F8_E5M2", b"\x7b"),
        ("F8_E4M3", b"\xfe"),
    ],
)
def test_numbers_near_the_end_of_their_range_are_taken(dtype: str, number: bytes) -> None:
    content = file_with(pair(), dtype)
    assert facts_of(content[: -len(number)] + number).dtypes == (dtype,)


@steady
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_and_break_nothing(content: bytes) -> None:
    with pytest.raises(LoraRefused):
        facts_of(content)


def json_values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner))


ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "F8_E4M3", "F4", "I64"]) | json_values(),
        "shape": st.lists(st.integers(-1, 3), max_size=3) | json_values(),
        "data_offsets": st.lists(st.integers(-1, 24), min_size=1, max_size=3) | json_values(),
    }
)
NAMES = st.sampled_from([DOWN, UP, "x.lora_down.weight", "x.lokr_w1", "x.alpha", "__metadata__"]) | st.text(max_size=9)


@steady
@given(st.dictionaries(NAMES, ENTRY | json_values(), max_size=4), st.binary(max_size=24))
def test_an_arbitrary_header_is_read_or_refused(header: dict[str, Any], body: bytes) -> None:
    content = file_of(header, body)
    assert is_sound(verdict_on(content), content)


@steady
@given(st.integers(0, len(lora_bytes()) - 1), st.integers(0, 255))
def test_a_lora_with_one_byte_changed_is_read_or_refused(place: int, byte: int) -> None:
    whole = lora_bytes()
    content = whole[:place] + bytes([byte]) + whole[place + 1 :]
    assert is_sound(verdict_on(content), content)
