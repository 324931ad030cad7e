"""Each backend of the library's attention at the shapes that the models ask for.

The default (what the library chooses), then each backend alone: the first call, which makes plans, and the
median of later ones. A second process has TORCH_CUDNN_SDPA_DEPRIORITIZED=1. In a recorded step too, where the
judge's decoding is.
"""

import contextlib
import os
import subprocess
import sys
import time

from common import Part


def shapes(toy):
    """Name, query, key and value shapes, what else; as the call sites have them."""
    if toy:
        patches, tokens, capacity, rows, long, text, pixels = 32, 40, 64, 2, 48, 16, 24
    else:
        patches, tokens, capacity, rows, long, text, pixels = 2040, 2618, 4096, 8, 32760, 512, 6240
    return [
        ("decode step of 8 readings", dict(q=(rows, 4, 7, 128), kv=(rows, 4, capacity, 128), mask=(rows, 1, 1, capacity))),
        ("prefill, shared keys", dict(q=(4, 7, tokens, 128), kv=(4, 1, tokens, 128), expand=(4, 7, tokens, 128), causal=True)),
        ("tower, windows", dict(q=(24, 16, 64, 80), kv=(24, 16, 64, 80))),
        ("tower, whole frames", dict(q=(5, 16, patches, 80), kv=(5, 16, patches, 80))),
        ("denoiser, self", dict(q=(1, 12, long, 128), kv=(1, 12, long, 128))),
        ("denoiser, text", dict(q=(1, 12, long, 128), kv=(1, 12, text, 128), mask=(1, 1, 1, text), rows=long)),
        ("video decoder", dict(q=(1, 1, pixels, 384), kv=(1, 1, pixels, 384))),
    ]


def measure(part, label):
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention
    device = torch.device(part.device)
    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    names = ["default", "FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION", "MATH"]
    if device.type == "cpu":
        torch.set_num_threads(part.threads)
        names = ["default", "CUDNN_ATTENTION", "MATH"]  # the second is not possible, which must be told, not fatal

    for name, shape in shapes(part.toy):
        make = dict(device=device, dtype=torch.bfloat16)
        # (heads, groups, tokens, head) seen through the layout that a projection leaves
        q = torch.randn([shape["q"][i] for i in (2, 0, 1, 3)], **make).permute(1, 2, 0, 3)
        k, v = torch.randn(shape["kv"], **make), torch.randn(shape["kv"], **make)
        if "expand" in shape:
            k, v = k.expand(shape["expand"]), v.expand(shape["expand"])
        mask = torch.zeros(shape["mask"], **make) if "mask" in shape else None
        if "rows" in shape:
            mask = mask.expand(-1, -1, shape["rows"], -1)  # a stride of zero

        def attend():
            return scaled_dot_product_attention(q, k, v, mask, is_causal=shape.get("causal", False))

        try:
            exact = scaled_dot_product_attention(q.float(), k.float(), v.float(), None if mask is None else mask.float(),
                                                 is_causal=shape.get("causal", False))
        except RuntimeError as error:  # memory
            exact = None
            part.value(f"{label}{name}: no fp32 result to compare with", str(error).splitlines()[0][:120])
        for backend in names:
            title = f"{label}{name}, {backend.lower()}"
            if backend == "MATH" and q.shape[2] > 8192 and k.shape[2] > 8192:
                continue  # its scores alone would be 26 GB
            try:
                with (contextlib.nullcontext() if backend == "default" else sdpa_kernel(getattr(SDPBackend, backend))):
                    wait()
                    begin = time.perf_counter()
                    out = attend()
                    wait()
                    first = time.perf_counter() - begin
                    rounds = 2 if part.toy else max(3, min(50, int(0.1 / max(first, 1e-4))))
                    begin = time.perf_counter()
                    for _ in range(rounds):
                        out = attend()
                    wait()
                    steady = (time.perf_counter() - begin) / rounds
                    recorded = ""
                    if device.type == "cuda" and name.startswith("decode"):
                        recorded = record(torch, attend)
            except RuntimeError as error:
                part.value(title, f"not possible: {str(error).splitlines()[0][:120]}")
                if backend == "default":
                    part.check(f"{title} works", False, str(error)[:300])
                continue
            part.value(title + ", first call", 1e3 * first, "ms")
            part.value(title, 1e3 * steady, "ms")
            if recorded:
                part.value(title + ", in a graph", recorded)
                if backend == "default":
                    part.check(f"{title} can be recorded", recorded == "recorded", recorded)
            if exact is None:
                continue
            worst = (out.float() - exact).abs().max().item()
            part.value(title + ", largest difference to fp32", worst)
            if backend == "default":
                part.check(f"{title} is right", worst < 0.05, f"{worst:.1e} in bf16")


def record(torch, attend):
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            attend()
        graph.replay()
        torch.cuda.synchronize()
        return "recorded"
    except RuntimeError as error:
        return f"not possible: {str(error).splitlines()[0][:120]}"


def main():
    part = Part()
    again = os.environ.get("TORCH_CUDNN_SDPA_DEPRIORITIZED") == "1"
    measure(part, "cuDNN last: " if again else "")
    if not again and part.device == "cuda":
        sys.stdout.flush()
        done = subprocess.run([sys.executable, __file__, sys.argv[1]],
                              env=dict(os.environ, TORCH_CUDNN_SDPA_DEPRIORITIZED="1"))
        part.check("the process with cuDNN last ends well", done.returncode == 0)


main()
