"""Small videos that differ."""

import av
import numpy as np


def write_clip(path, frames=12, size=(48, 64), fps=8, seed=0):
    """H.264 of a square that moves over a background, both of random colour."""
    rng = np.random.default_rng(seed)
    background, square = rng.integers(0, 256, (2, 3))
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "12"}
        for i in range(frames):
            image = np.full((height, width, 3), background, np.uint8)
            x = int((width - 16) * i / max(1, frames - 1))
            image[8 + seed % 16: 24 + seed % 16, x: x + 16] = square
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path
