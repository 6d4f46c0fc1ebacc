"""Writes a FLUX.1 pipeline with random weights, so small that the real ai-toolkit trains it on a CPU in seconds.

Run with the trainer's own Python, which has torch, diffusers and transformers:
`python tiny_flux.py FOLDER [--schnell] [--schnell-assistant FILE]`. FOLDER is what a job file names as
`name_or_path`; `--schnell` leaves out the embedded guidance, as FLUX.1-schnell does; FILE becomes a LoRA that stands
in for schnell's training adapter. The same arguments give the same weights.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

WIDTH = 32
HEADS = 2
HEAD_WIDTH = WIDTH // HEADS
LATENT_CHANNELS = 16
# The transformer sees squares of two by two latents.
PATCH_CHANNELS = 4 * LATENT_CHANNELS
CLIP_TOKENS = 77
T5_TOKENS = 512
CLIP_ENDS = ("<|startoftext|>", "<|endoftext|>")
T5_SPECIAL = ("<pad>", "</s>", "<unk>")
T5_LETTERS = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"()-_"
ASSISTANT_RANK = 4
SEED = 0


def main() -> None:
    arguments = _arguments()
    torch.manual_seed(SEED)
    transformer = _transformer(has_guidance=not arguments.schnell)
    _write_pipeline(arguments.folder, transformer, shift=1.0 if arguments.schnell else 3.0)
    if arguments.schnell_assistant is not None:
        _write_assistant(arguments.schnell_assistant, transformer)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write a tiny FLUX.1 pipeline with random weights.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write the pipeline")
    parser.add_argument("--schnell", action="store_true", help="without embedded guidance, like FLUX.1-schnell")
    parser.add_argument("--schnell-assistant", type=Path, metavar="FILE", help="also write a LoRA as its adapter")
    return parser.parse_args()


def _write_pipeline(folder: Path, transformer: FluxTransformer2DModel, *, shift: float) -> None:
    clip_tokenizer = _clip_tokenizer(folder / "tokenizer")
    t5_tokenizer = _t5_tokenizer(folder / "tokenizer_2")
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift, use_dynamic_shifting=shift != 1.0),
        vae=_autoencoder(),
        text_encoder=_clip(clip_tokenizer),
        tokenizer=clip_tokenizer,
        text_encoder_2=_t5(len(t5_tokenizer)),
        tokenizer_2=t5_tokenizer,
        transformer=transformer,
    ).save_pretrained(folder)


def _transformer(*, has_guidance: bool) -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        in_channels=PATCH_CHANNELS,
        num_layers=1,
        num_single_layers=2,
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_WIDTH,
        axes_dims_rope=(4, 6, 6),
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=has_guidance,
    )


def _autoencoder() -> AutoencoderKL:
    # Four levels shrink a side to an eighth, like the real one: the trainer counts on it.
    levels = 4
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(8,) * levels,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=LATENT_CHANNELS,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def _clip(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        projection_dim=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        max_position_embeddings=CLIP_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def _t5(vocabulary_size: int) -> T5EncoderModel:
    config = T5Config(
        vocab_size=vocabulary_size,
        d_model=WIDTH,
        d_kv=HEAD_WIDTH,
        d_ff=2 * WIDTH,
        num_layers=2,
        num_heads=HEADS,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config)


def _clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """Know every byte by itself, and once more as the end of a word; no merges."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *CLIP_ENDS]
    start, end = CLIP_ENDS
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("#version: 0.2\n")
    roles = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end}
    _write_json(folder / "tokenizer_config.json", {"model_max_length": CLIP_TOKENS, **roles})
    return CLIPTokenizer.from_pretrained(folder)


def _t5_tokenizer(folder: Path) -> T5TokenizerFast:
    """Know letters only: whatever else a prompt holds is the unknown token."""
    padding, end, unknown = T5_SPECIAL
    vocabulary = [(token, 0.0) for token in T5_SPECIAL] + [(letter, -1.0) for letter in T5_LETTERS]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=T5_SPECIAL.index(unknown), byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, T5_SPECIAL.index(end))]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"pad_token": padding, "eos_token": end, "unk_token": unknown}
    _write_json(folder / "tokenizer_config.json", {"model_max_length": T5_TOKENS, "extra_ids": 0, **roles})
    return T5TokenizerFast.from_pretrained(folder)


def _write_assistant(path: Path, transformer: FluxTransformer2DModel) -> None:
    weights = {}
    for name, module in transformer.named_modules():
        # Only the attention's own projections: a Linear each, in every block, whatever the release of diffusers.
        if name.endswith((".attn.to_q", ".attn.to_k", ".attn.to_v")):
            prefix = f"transformer.{name}.lora"
            weights[f"{prefix}_A.weight"] = 0.01 * torch.randn(ASSISTANT_RANK, module.in_features)
            weights[f"{prefix}_B.weight"] = 0.01 * torch.randn(module.out_features, ASSISTANT_RANK)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path, metadata={"format": "pt"})


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content))


if __name__ == "__main__":
    main()
