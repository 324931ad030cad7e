"""Trains the small Wan generator: stages vae, dit (with the text encoder and its own latents), decoder, preview, evaluate, card.

    examples/tinyworld/train.py generator --out DIR [--stage vae|dit|decoder|preview|evaluate|card]
"""

from __future__ import annotations

from .common import load_config, pick_device

STAGES = ("vae", "dit", "decoder", "preview", "evaluate", "card")


def main(args) -> None:
    config, device = load_config(args.config), pick_device()
    if args.stage and args.stage not in STAGES:
        raise SystemExit(f"--stage must be one of {', '.join(STAGES)} but is {args.stage}")
    for stage in [args.stage] if args.stage else STAGES:
        if stage == "vae":
            from .generator_vae import train
        elif stage == "dit":
            from .generator_dit import train
        elif stage == "decoder":
            from .generator_vae import train_decoder as train
        elif stage == "preview":
            from .generator_preview import train
        elif stage == "evaluate":
            from .generator_card import evaluate as train
        else:
            from .generator_card import write as train
        train(config, args.out, device)
