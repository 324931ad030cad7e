"""Folders of the large models without their weights: configs and tokenizers of the shipped checkpoints, with the
sizes of Qwen2.5-VL-7B and Wan2.1-1.3B (tests/cli/sizes.py) or, as toys, nearly as they are."""

import sys

import common

sys.path.insert(0, str(common.ROOT / "tests/cli"))
import sizes  # noqa: E402


def configs(folder, toy):
    """(judge, generator), made in the folder."""
    judge, generator = folder / "judge", folder / "generator"
    if not toy:
        return sizes.full_size_judge(judge), sizes.full_size_generator(generator)
    sizes.bare(sizes.JUDGE, judge)
    # As at full size, the vocabulary is larger than the tokenizer's.
    sizes.edit(judge / "config.json", text_config=dict(vocab_size=1500))
    return judge, sizes.bare(sizes.GENERATOR, generator)
