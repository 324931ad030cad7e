#!/usr/bin/env python3
"""A forward of the denoiser by diffusers, on the same weights and device: wan_reference.py REQUEST.json"""

import json
import sys
import time


def main():
    request = json.loads(open(sys.argv[1]).read())
    if request["site"]:
        sys.path.insert(0, request["site"])
    # The two models need neither, and this diffusers fails on versions that are newer than itself.
    sys.modules["transformers"] = sys.modules["peft"] = None
    import torch
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    torch.set_num_threads(request["threads"])
    device = torch.device(request["device"])
    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)

    def tell(name, value, unit):
        print(json.dumps(dict(name=name, value=value, unit=unit)), flush=True)

    with torch.inference_mode():
        begin = time.perf_counter()
        model = WanTransformer3DModel.from_pretrained(request["folder"], subfolder="transformer",
                                                      torch_dtype=torch.bfloat16).eval().to(device)
        vae = AutoencoderKLWan.load_config(request["folder"], subfolder="vae")
        wait()
        tell("load, without the text encoder", time.perf_counter() - begin, "s")
        spatial, temporal = vae["scale_factor_spatial"], vae["scale_factor_temporal"]
        x = torch.randn(1, model.config.in_channels, (request["frames"] - 1) // temporal + 1, request["height"] // spatial,
                        request["width"] // spatial, device=device, dtype=torch.bfloat16)
        text = torch.randn(1, 512, model.config.text_dim, device=device, dtype=torch.bfloat16)
        times = []
        for _ in range(2 * request["rounds"] + 1):
            wait()
            begin = time.perf_counter()
            model(hidden_states=x, timestep=torch.tensor([500], device=device), encoder_hidden_states=text, return_dict=False)
            wait()
            times.append(time.perf_counter() - begin)
        tell("denoiser forward, first", 1e3 * times[0], "ms")
        tell("denoiser forward", 1e3 * sum(times[1:]) / len(times[1:]), "ms")


if __name__ == "__main__":
    main()
