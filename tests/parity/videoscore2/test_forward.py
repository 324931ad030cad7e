"""The engine against transformers 4.53 on random checkpoints of many shapes."""

import numpy as np
import pytest
import torch

import checkpoints
from checkpoints import Shape

SHAPES = [
    Shape("plain"),
    Shape("tied_bf16", tied=True, repetition_penalty=1.3, dtype="bfloat16", grid=(3, 6, 10)),
    Shape("sharded", shard="200KB", grid=(1, 4, 4)),
    Shape("fp16_odd_grid", dtype="float16", grid=(3, 18, 34)),
    Shape("flat_layout", flat=True, grid=(2, 10, 14), tokens_per_second=4),
    Shape("flat_tied_sharded_bf16", flat=True, tied=True, repetition_penalty=1.3, dtype="bfloat16", shard="150KB",
          grid=(2, 26, 6)),
    Shape("one_kv_head", hidden=96, heads=6, kv_heads=1, sections=(2, 3, 3), grid=(4, 8, 12)),
    Shape("no_grouping", hidden=80, heads=2, kv_heads=2, sections=(4, 8, 8), intermediate=200,
          rope_theta=1e4, grid=(2, 16, 16)),
    Shape("small_windows", window=56, full=(0,), depth=3, grid=(2, 14, 10)),
    Shape("all_full_attention", full=(0, 1, 2, 3), window=84, grid=(2, 12, 6)),
    Shape("all_windowed", full=(), v_hidden=80, v_heads=5, window=140, grid=(1, 22, 30)),
    Shape("deeper", layers=6, depth=6, full=(2, 5), hidden=128, heads=8, kv_heads=4,
          repetition_penalty=1.2, grid=(5, 8, 8)),
]
STEPS = 200
LOGIT_TOLERANCE = 1e-4
MARGIN = 1e-4  # a greedy token may differ only where the reference's first two are this close


@pytest.fixture(scope="module", params=SHAPES, ids=lambda s: s.name)
def case(request, tmp_path_factory):
    shape = request.param
    folder = checkpoints.save(shape, tmp_path_factory.mktemp(shape.name))
    tokenizer = checkpoints.processor(folder).tokenizer
    ids = checkpoints.prompt_ids(tokenizer, shape.grid)
    generator = torch.Generator().manual_seed(1)
    patches = torch.randn(int(np.prod(shape.grid)), 1176, generator=generator)
    return shape, folder, tokenizer, ids, patches


def reference_forward(model, ids, patches, grid, seconds_per_grid=1.0):
    ids = torch.tensor([ids])
    grid = torch.tensor([grid])
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids),
                     pixel_values_videos=patches, video_grid_thw=grid,
                     second_per_grid_ts=torch.tensor([seconds_per_grid])).logits[0].float()


def reference_generate(model, ids, patches, grid, steps):
    """Tokens, processed scores and raw logits of each step; end tokens do not end it."""
    model.generation_config.eos_token_id = None
    ids = torch.tensor([ids])
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values_videos=patches,
        video_grid_thw=torch.tensor([grid]), second_per_grid_ts=torch.tensor([1.0]),
        do_sample=False, max_new_tokens=steps, output_scores=True, output_logits=True,
        return_dict_in_generate=True)
    return (out.sequences[0, ids.shape[1]:].tolist(), torch.stack(out.scores)[:, 0],
            torch.stack(out.logits)[:, 0].float())


def forward_request(folder, ids, patches, grid, steps, dtype="fp32", seconds_per_grid=1.0):
    return dict(folder=folder, ids=ids, patches=patches, grid=list(grid), steps=steps,
                dtype=dtype, seconds_per_grid=seconds_per_grid)


def test_logits_tokens_digits_and_positions(case, dump):
    """fp32: logits within 1e-4 at every position, 200 equal greedy tokens, equal digit
    distributions, equal positions and window order."""
    shape, folder, tokenizer, ids, patches = case
    ours = dump("engine_dump", "forward", forward_request(folder, ids, patches, shape.grid, STEPS))
    model = checkpoints.reference(folder)

    expected = reference_forward(model, ids, patches, shape.grid)
    logits = torch.from_numpy(np.fromfile(ours["out"] / "logits.f32", np.float32))
    logits = logits.view(expected.shape)
    assert expected.std() > 0.1, "logits of a model that says something"
    difference = (logits - expected).abs().max().item()
    print(f"{shape.name}: logits differ by {difference:.1e} at most, of {expected.abs().max():.1f}")
    assert difference <= LOGIT_TOLERANCE

    grid = torch.tensor([shape.grid])
    positions, delta = model.model.get_rope_index(
        torch.tensor([ids]), None, grid, second_per_grid_ts=torch.tensor([1.0]))
    assert ours["positions"] == positions[:, 0].tolist()
    assert ours["delta"] == delta.item()

    index, bounds = model.model.visual.get_window_index(grid)
    assert ours["window_index"] == index.tolist()
    assert ours["window_lengths"] == [b for b in np.diff(bounds).tolist() if b > 0]

    tokens, scores, raw = reference_generate(model, ids, patches, shape.grid, STEPS)
    same = STEPS
    if ours["tokens"] != tokens:
        same = next(i for i in range(STEPS) if ours["tokens"][i] != tokens[i])
        first, second = scores[same].topk(2).values.tolist()
        assert first - second < MARGIN, f"token {same} differs at a margin of {first - second}"
    assert len(set(tokens)) > 15, "greedy text that does not loop over a handful of tokens"

    digits = [tokenizer.convert_tokens_to_ids(d) for d in "12345"]
    for key, theirs in (("digit_logits", raw), ("digit_scores", scores)):
        mine = torch.tensor(ours[key])[: same + 1].softmax(-1)
        assert (mine - theirs[: same + 1][:, digits].softmax(-1)).abs().max().item() <= 1e-4


def test_bf16_is_within_its_stated_tolerance(case, dump):
    """bf16 activations: digit probabilities within 0.02 of the reference's own bf16, and no
    further from fp32 than twice what the reference's bf16 is."""
    shape, folder, tokenizer, ids, patches = case
    if shape.dtype != "bfloat16":
        error = dump("engine_dump", "forward",
                     forward_request(folder, ids, patches, shape.grid, 0, "bf16"), ok=False)
        assert "must hold BF16 weights for this --dtype" in error and "--dtype fp32" in error
        return
    ours = dump("engine_dump", "forward",
                forward_request(folder, ids, patches, shape.grid, 1, "bf16"))
    exact = reference_forward(checkpoints.reference(folder), ids, patches, shape.grid)
    theirs = reference_forward(checkpoints.reference(folder, "bfloat16"), ids, patches, shape.grid)
    logits = torch.from_numpy(np.fromfile(ours["out"] / "logits.f32", np.float32))
    logits = logits.view(theirs.shape)
    digits = [tokenizer.convert_tokens_to_ids(d) for d in "12345"]
    p = [x[:, digits].softmax(-1) for x in (logits, theirs, exact)]
    print(f"{shape.name}: ours-theirs {(p[0] - p[1]).abs().max():.4f}, "
          f"ours-fp32 {(p[0] - p[2]).abs().max():.4f}, theirs-fp32 {(p[1] - p[2]).abs().max():.4f}")
    assert (p[0] - p[1]).abs().max() <= 0.02
    assert (logits - exact).pow(2).mean() <= 4 * (theirs - exact).pow(2).mean()
