"""Pixel by pixel beside PyAV: formats x ranges x matrices, and the turns that a file asks for.

The pictures are patches of one colour, whose borders are left out: where chroma is stored for two
pixels together, readers repeat it or interpolate it, which is seen at borders only.
- YUV, RGB and gray of any depth: equal to within 1 level (another release of libswscale), RGB and gray
  pixel by pixel, borders and noise too.
"""

import subprocess

import av
import numpy as np
import pytest

from test_readers import Ours

PATCH = 16
HEIGHT, WIDTH = 64, 96


@pytest.fixture(scope="module")
def picture():
    colours = np.random.default_rng(0).integers(0, 65536, (HEIGHT // PATCH, WIDTH // PATCH, 3))
    return np.repeat(np.repeat(colours, PATCH, 0), PATCH, 1).astype(np.uint16)


def inside(frame):
    """The middle of every patch."""
    keep = np.arange(PATCH) % PATCH
    keep = (keep >= 5) & (keep < PATCH - 5)
    rows, columns = np.tile(keep, HEIGHT // PATCH), np.tile(keep, WIDTH // PATCH)
    return frame[rows][:, columns].astype(np.int16)


def write(path, picture, fmt, colour_range=None, matrix=None):
    frame = av.VideoFrame.from_ndarray(picture, format="rgb48le").reformat(format=fmt)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=8)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, fmt
        if colour_range is not None:
            stream.codec_context.color_range = frame.color_range = colour_range
        if matrix is not None:
            stream.codec_context.colorspace = frame.colorspace = matrix
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def both(binaries, path):
    with av.open(str(path)) as container:
        theirs = next(container.decode(video=0))
        name = theirs.format.name
        theirs = theirs.to_ndarray(format="rgb24")
    return Ours(binaries, path, [0]).frames[0], theirs, name


YUV = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le", "yuv444p16le"]
RANGES = [None, 1, 2]  # none, limited, full
MATRICES = [None, 1, 6, 9]  # none, BT.709, SMPTE 170M, BT.2020


@pytest.mark.parametrize("fmt", YUV)
def test_yuv(binaries, picture, tmp_path, fmt):
    """Every range and matrix; and the control: they do make a difference."""
    seen = {}
    for colour_range in RANGES:
        for matrix in MATRICES:
            path = write(tmp_path / f"{colour_range}_{matrix}.mkv", picture, fmt, colour_range, matrix)
            ours, theirs, name = both(binaries, path)
            assert name == fmt
            difference = np.abs(inside(ours) - inside(theirs)).max()
            assert difference <= 1, (fmt, colour_range, matrix, difference)
            seen[colour_range, matrix] = inside(ours)
    assert np.abs(seen[1, 1] - seen[2, 1]).max() > 8
    assert np.abs(seen[1, 1] - seen[1, 6]).max() > 8


@pytest.mark.parametrize("fmt", ["bgr0", "bgra", "gbrp9", "gbrp10le", "gbrp12le", "gbrp14le",
                                 "gbrp16le", "rgb48le", "gbrap10le", "gbrap12le", "rgba64le", "gray",
                                 "gray9le", "gray10le", "gray12le", "gray16le"])
def test_rgb_and_gray(binaries, tmp_path, fmt):
    """No range and no matrix means anything to them."""
    noise = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    if fmt.startswith("gray"):
        noise[:] = noise[..., :1]
    frames = []
    rgb = None if fmt.startswith("gray") else 0
    for colour_range, matrix in ((None, None), (1, rgb), (2, rgb)):
        path = write(tmp_path / f"{colour_range}_{matrix}.mkv", noise, fmt, colour_range, matrix)
        ours, theirs, _ = both(binaries, path)
        difference = np.abs(ours.astype(np.int16) - theirs).max()
        assert difference <= 1, (fmt, colour_range, matrix, difference)
        frames.append(ours)
    for frame in frames[1:]:
        assert (frame == frames[0]).all(), "a range or a matrix changed it"
    # The control: what was written, to within what the way there and back through YUV costs.
    assert np.abs(inside(frames[0]) - inside(noise / 65535 * 255)).max() <= 3


FIXED = 1 << 16
MATRIX = {  # a, b, c, d of the display matrix, and what to do with the stored picture
    "upright": ((1, 0, 0, 1), lambda p: p),
    "zero": ((0, 0, 0, 0), lambda p: p),
    "first_column_zero": ((0, 0, 0, 1), lambda p: p),
    "second_column_zero": ((1, 0, 0, 0), lambda p: p),
    "on_a_line": ((1, 1, 1, 1), lambda p: p),
    "crossed_on_a_line": ((0, 1, 0, 0), lambda p: p),
    "eighth_turn": ((0.7071, 0.7071, -0.7071, 0.7071), lambda p: p),
    "scaled": ((2, 0, 0, 2), lambda p: p),
    "quarter": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "half": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "three_quarters": ((0, -1, 1, 0), lambda p: np.rot90(p)),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "flipped": ((1, 0, 0, -1), lambda p: p[::-1]),
    "transposed": ((0, 1, 1, 0), lambda p: np.swapaxes(p, 0, 1)),
}


@pytest.fixture(scope="module")
def plain_mp4(tmp_path_factory, picture):
    path = tmp_path_factory.mktemp("matrix") / "plain.mp4"
    frame = av.VideoFrame.from_ndarray(picture, format="rgb48le").reformat(format="yuv420p")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", MATRIX)
def test_display_matrix(binaries, plain_mp4, tmp_path, name):
    """The eight turns of a rectangle are made; a matrix that shows nothing or leans turns nothing."""
    values, turn = MATRIX[name]
    content = bytearray(plain_mp4.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version and flags, times, ids, duration, layer, volume
    assert content[at:at + 4] == FIXED.to_bytes(4, "big"), "the control: the matrix stands here"
    for place, value in zip((0, 1, 3, 4), values):
        word = int(round(value * FIXED)).to_bytes(4, "big", signed=True)
        content[at + 4 * place: at + 4 * place + 4] = word
    if name == "zero":
        content[at + 32: at + 36] = bytes(4)
    path = tmp_path / "turned.mp4"
    path.write_bytes(content)
    stored = Ours(binaries, plain_mp4, [0]).frames[0]
    shown = Ours(binaries, path, [0])
    assert (shown.frames[0] == turn(stored)).all()


def test_animated_webp_is_named_with_a_converter(binaries, tmp_path):
    """A still WebP is read; an animated one, which libav does not read, is named."""
    from PIL import Image
    frames = [Image.new("RGB", (32, 32), (60 * i, 20, 200)) for i in range(4)]
    frames[0].save(tmp_path / "still.webp", lossless=True)
    assert tuple(Ours(binaries, tmp_path / "still.webp").frames[0, 5, 5]) == (0, 20, 200)
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], duration=100)
    done = subprocess.run([binaries / "dump_frames", tmp_path / "moving.webp"], capture_output=True,
                          text=True)
    assert done.returncode == 1
    assert "animated WebP" in done.stderr and "convert" in done.stderr
