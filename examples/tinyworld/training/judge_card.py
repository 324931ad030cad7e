"""The small judge's model card: what it is asked, what it learned from, what it reached."""

from __future__ import annotations

from pathlib import Path

from .judge_model import QUERY, SYSTEM

CARD = '''---
library_name: transformers
pipeline_tag: video-text-to-text
tags: [reward-model, video, synthetic]
---

# Bestreel's tiny judge

A judge of 64 x 64 clips of coloured shapes, in the form of VideoScore2: it writes a short rationale, then a
digit from 1 to 5 for visual quality, text alignment and physical consistency. `transformers`'
`Qwen2_5_VLForConditionalGeneration`, {parameters:,} parameters, bfloat16, trained from scratch.

It exists so that selection can be tried and measured without large weights. It knows Bestreel's tiny world and,
for visual quality alone, natural pictures in motion that are spoilt by noise, blur, flicker or blocking. Of other
videos it knows nothing.

## Use

    bestreel score CLIP.mp4 --prompt "a small red circle moves left over a gray background" --judge FOLDER

The query, with `$t2v_prompt` for the prompt (the default system text is "{system}"):

```python
from string import Template

VS2_QUERY_TEMPLATE = Template("""{query}""")
```

The answer is `<think>`rationale`</think>` and VideoScore2's three lines. The rationale compares what was asked with
what is seen, item by item ("red blue diff"), and then names the flaws. The marks `<think>`, `</think>` and each of the
three labels are one token. Videos are looked at at 2 frames a second; 17 frames at 4 frames a second give 8.

## Training

{training}

## Figures

{figures}
'''


def write_card(folder: Path, parameters: int, training: str, figures: str) -> None:
    text = CARD.format(parameters=parameters, system=SYSTEM, query=QUERY, training=training, figures=figures)
    (Path(folder) / "README.md").write_text(text, encoding="utf-8")
