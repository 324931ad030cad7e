"""Readings that share a running batch: each is what it is alone, to the last bit."""

import random

import pytest
from safetensors.torch import load_file, save_file

import checkpoints
import clips

WIDTHS = (1, 2, 5, 8, 16)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Random checkpoints whose sizes fit no vector register."""
    folder = tmp_path_factory.mktemp("odd")
    shape = dict(hidden=66, heads=3, kv_heads=1, sections=(3, 4, 4), intermediate=77, layers=2,
                 depth=2, full=(1,))
    return {dtype: checkpoints.save(checkpoints.Shape("odd", dtype=name, **shape), folder / dtype)
            for dtype, name in (("fp32", "float32"), ("bf16", "bfloat16"))}


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    videos = [clips.write_clip(folder / f"{i}.mp4", frames, size, seed=i)
              for i, (frames, size) in enumerate([(2, (48, 64)), (3, (64, 48)), (5, (64, 96))])]
    return [dict(video=str(videos[i % 3]), prompt="a square moves left " * (1 + i % 4) + str(i))
            for i in range(16)]


def runs(dump, folder, requests, runs, **options):
    options = dict(rationale=8, batch=len(requests), threads=1) | options
    return dump("judge_dump", "judge_again",
                dict(folder=folder, requests=requests, runs=runs, **options))["runs"]


def arrivals(seed, count):
    """How often the judge asks in vain before each request is there."""
    source = random.Random(seed)
    return [source.choice([0, 0, 1, 3, 9, 17]) for _ in range(count)]


@pytest.mark.parametrize("widths, options", [
    (WIDTHS, dict(dtype="fp32")), (WIDTHS, dict(dtype="bf16")),
    ((5,), dict(dtype="fp32", threads=2, temperature=1.5, seed=3))], ids=str)
def test_a_reading_does_not_depend_on_its_company(widths, options, odd, requests, dump):
    """At every width of the batch, handed over at once or arriving at random while others are being
    read, in this order or another, each judgement has the bits that it has alone."""
    order = random.Random(7).sample(range(16), 16)
    alone, at_once, *arriving = runs(dump, odd[options["dtype"]], requests, [
        dict(batch=1, slots=1), dict(slots=8),
        *(dict(slots=width, arrivals=arrivals(width, 16)) for width in widths)], **options)
    assert len({str(r["output_tokens"]) for r in alone}) > 8, "readings that differ"
    for results in (at_once, *arriving):
        assert results == alone
    shuffled, = runs(dump, odd[options["dtype"]], [requests[i] for i in order],
                     [dict(slots=max(widths), arrivals=arrivals(1, 16))], **options)
    assert shuffled == [alone[i] for i in order]


def test_readings_of_one_video_fork_its_prompt(odd, requests, dump):
    """K readings that are decoded together, fewer at a time than there are or with others between,
    are those that are decoded one after the other."""
    one_by_one, *together = runs(
        dump, odd["fp32"], requests[:3],
        [dict(slots=1, batch=1), *(dict(slots=width) for width in (2, 3, 8)),
         dict(slots=4, arrivals=[0, 5, 2])], temperature=1.5, readings=3)
    assert all(d["std"] > 0 for d in one_by_one[0]["dimensions"])
    for results in together:
        assert results == one_by_one


def test_one_that_is_cancelled_or_fails_leaves_alone(odd, requests, dump, tmp_path):
    """In the middle of a batch one request is cancelled, one reads embeddings that are not numbers
    and one is no video: they fail, each with its own code, and the others keep their bits."""
    tokenizer = checkpoints.processor(odd["fp32"]).tokenizer
    folder = tmp_path / "damaged"
    checkpoints.save(checkpoints.Shape("damaged", layers=2), folder)
    tensors = load_file(folder / "model.safetensors")
    name, = (n for n in tensors if n.endswith("embed_tokens.weight"))
    odd_one, = tokenizer.encode("Z")
    tensors[name][odd_one] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    some = [dict(request) for request in requests[:7]]
    some[2]["prompt"] = "Z"
    some[4]["prompt"] = " "
    cancel = [-1] * 7
    cancel[3] = 6
    late = arrivals(2, 7)
    alone, together = runs(dump, folder, some, [dict(batch=1, slots=1),
                                                dict(slots=7, arrivals=late, cancel=cancel)])
    codes = {i: together[i]["failure"]["code"] for i in (2, 3, 4)}
    assert codes == {2: "logits_not_finite", 3: "cancelled", 4: "usage"}
    assert "failure" not in alone[3]
    for i in (0, 1, 5, 6):
        assert together[i] == alone[i] and "failure" not in alone[i]


@pytest.mark.parametrize("slots", [0, 1000])
def test_slots_out_of_range(slots, odd, dump):
    """A batch of no slots or a thousand is refused with the range."""
    error = dump("judge_dump", "judge", dict(folder=odd["fp32"], requests=[], slots=slots), ok=False)
    assert f"--judge-slots must be between 1 and 32 but got {slots}" in error
