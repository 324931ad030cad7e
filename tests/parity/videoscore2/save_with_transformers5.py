"""Saves a checkpoint again, as transformers 5 does: IN OUT. Run with transformers 5 on the path."""

import sys

import torch
import transformers
from transformers import (
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
)

source, target = sys.argv[1:]
assert int(transformers.__version__.split(".")[0]) >= 5, transformers.__version__
model = Qwen2_5_VLForConditionalGeneration.from_pretrained(source, dtype="auto")
model.save_pretrained(target)
Qwen2_5_VLProcessor.from_pretrained(source).save_pretrained(target)
print(transformers.__version__, model.dtype)
