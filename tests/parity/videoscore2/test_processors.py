"""Logits processors against those of transformers' generate()."""

import numpy as np
import pytest
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


@pytest.mark.parametrize("settings", [
    dict(repetition_penalty=1.05, temperature=0.7, top_k=50, top_p=1.0, sample=True),
    dict(repetition_penalty=1.0, temperature=1.0, top_k=0, top_p=0.8, sample=True),
    dict(repetition_penalty=0.9, temperature=2.5, top_k=3, top_p=0.5, sample=True),
    dict(repetition_penalty=1.3, temperature=0.7, top_k=5, top_p=0.5, sample=False),
], ids=str)
def test_processed_logits_are_identical(settings, dump):
    """The chain of the checkpoint's settings leaves the same numbers, bit for bit; greedy reading
    applies the penalty alone."""
    generator = torch.Generator().manual_seed(3)
    logits = 6 * torch.randn(2000, generator=generator)
    ids = torch.randint(0, 2000, (300,), generator=generator)
    ours = dump("engine_dump", "process", dict(
        logits=logits, ids=ids.tolist(), size=2000, **settings))
    chain = LogitsProcessorList()
    if settings["repetition_penalty"] != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
    if settings["sample"]:
        if settings["temperature"] != 1.0:
            chain.append(TemperatureLogitsWarper(settings["temperature"]))
        if settings["top_k"]:
            chain.append(TopKLogitsWarper(settings["top_k"]))
        if settings["top_p"] < 1.0:
            chain.append(TopPLogitsWarper(settings["top_p"]))
    theirs = chain(ids[None], logits[None].clone())[0].numpy()
    assert np.array_equal(np.fromfile(ours["out"] / "processed.f32", np.float32), theirs)
