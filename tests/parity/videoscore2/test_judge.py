"""Whole judgements against the published recipe: processor, generate(), the soft score's formula."""

import itertools

import pytest
import torch

import author as teacher
import checkpoints
import clips

FREE = ["good", "other", "misleading", "descriptor"]
FORCED = ["missing", "halfway"]


def digit_ids(folder):
    tokenizer = checkpoints.processor(folder).tokenizer
    return [tokenizer.convert_tokens_to_ids(d) for d in "12345"]


@pytest.mark.parametrize("prompt", FREE)
def test_free_answer_is_what_generate_writes(prompt, author, judge):
    """Prompt ids, output ids, digit distributions and the published soft score of an answer that
    the model ends by itself equal those of the reference libraries on the same file."""
    folder, clip = author
    result, = judge(folder, [(clip, prompt)])
    assert result["forced"] is False

    inputs = teacher.reference_inputs(folder, clip, prompt)
    assert result["prompt_tokens"] == inputs["input_ids"][0].tolist()
    assert result["grid_thw"] == inputs["video_grid_thw"][0].tolist()
    model = checkpoints.reference(folder)
    out = model.generate(**inputs, do_sample=False, max_new_tokens=200, output_scores=True,
                         output_logits=True, return_dict_in_generate=True)
    tokens = out.sequences[0, inputs["input_ids"].shape[1]:].tolist()
    assert result["output_tokens"] == tokens

    digits = digit_ids(folder)
    score = torch.arange(1, 6.0)
    for dimension, at in zip(result["dimensions"], result["digit_positions"], strict=True):
        assert digits.index(tokens[at]) + 1 == dimension["score"]
        p = out.logits[at][0][digits].float().softmax(-1)
        assert (torch.tensor(dimension["probabilities"]) - p).abs().max() <= 1e-4
        assert abs(dimension["expected"] - (p * score).sum().item()) <= 1e-3
        whole = out.scores[at][0].softmax(-1)[digits]  # the published formula
        best = whole.argmax()
        soft = ((best + 1) * whole[best] / whole.sum()).item()
        assert abs(dimension["reference_soft"] - soft) <= 1e-3
    assert result["reward"] == pytest.approx(
        sum(d["expected"] for d in result["dimensions"]) / 3, abs=1e-12)


@pytest.mark.parametrize("prompt", FORCED)
def test_forced_answer_reads_the_models_own_distributions(prompt, author, judge):
    """A missing or malformed block is written label by label: the reference, fed the very same
    ids, has the same distribution in front of each digit, and its own processors choose that
    digit."""
    folder, clip = author
    result, = judge(folder, [(clip, prompt)])
    assert result["forced"] is True
    check_forced(folder, result, clip, prompt)
    text = checkpoints.processor(folder).tokenizer.decode(result["output_tokens"])
    assert text.count("</think>") == 1
    block = text.split("</think>")[1]
    assert block == teacher.BLOCK.format(*(d["score"] for d in result["dimensions"]))[:-1].join(
        ["\n", ""])


def check_forced(folder, result, clip, prompt):
    inputs = teacher.reference_inputs(folder, clip, prompt)
    assert result["prompt_tokens"] == inputs["input_ids"][0].tolist()
    ids = torch.tensor([result["prompt_tokens"] + result["output_tokens"]])
    inputs["input_ids"], inputs["attention_mask"] = ids, torch.ones_like(ids)
    model = checkpoints.reference(folder)
    with torch.no_grad():
        logits = model(**inputs).logits[0]
    digits = digit_ids(folder)
    penalty = model.generation_config.repetition_penalty
    for dimension, at in zip(result["dimensions"], result["digit_positions"], strict=True):
        place = len(result["prompt_tokens"]) + at
        raw = logits[place - 1][digits]
        p = raw.softmax(-1)
        assert (torch.tensor(dimension["probabilities"]) - p).abs().max() <= 1e-4
        seen = torch.isin(torch.tensor(digits), ids[0, :place])
        processed = torch.where(seen, torch.where(raw < 0, raw * penalty, raw / penalty), raw)
        assert dimension["score"] == processed.argmax().item() + 1
        assert digits.index(result["output_tokens"][at]) + 1 == dimension["score"]
        soft = processed.softmax(-1)
        assert abs(dimension["reference_soft"] -
                   ((soft.argmax() + 1) * soft.max()).item()) <= 1e-3


@pytest.mark.parametrize("rationale", [0, 1, 7, 40])
def test_rationale_budget(rationale, stranger, author, judge):
    """A rationale that does not end is cut at its budget and scored all the same; with a budget of
    0 no rationale is written."""
    clip = author[1]
    (stranger / "template.txt").write_text(teacher.QUERY)
    result, = judge(stranger, [(clip, "a square")], rationale=rationale)
    assert result["forced"] is True
    check_forced(stranger, result, clip, "a square")
    tokenizer = checkpoints.processor(stranger).tokenizer
    forced = tokenizer.encode("</think>\n" + teacher.BLOCK.format(1, 1, 1)[:-1])
    assert len(result["output_tokens"]) == rationale + len(forced)


def test_score_depends_on_the_video_and_the_prompt_alone(author, judge, tmp_path):
    """Twelve videos of different shapes, alone, in other orders and in other company: identical
    judgements, to the last digit."""
    folder, _ = author
    shapes = [(12, (48, 64)), (30, (64, 48)), (1, (48, 64)), (5, (96, 160)), (16, (120, 90)),
              (9, (64, 64))]
    requests = [(clips.write_clip(tmp_path / f"{i}.mp4", *shape, seed=i), prompt)
                for i, (shape, prompt) in enumerate(
                    itertools.islice(itertools.product(shapes, ["good", "missing"]), 12))]
    alone = [judge(folder, [request])[0] for request in requests]
    assert len({r["reward"] for r in alone}) == 12, "twelve videos that score differently"
    together = judge(folder, requests, batch=12)
    assert together == alone
    assert judge(folder, requests[::-1], batch=5)[::-1] == alone
    order = [7, 0, 11, 3, 3, 8, 1, 10, 5, 2, 9, 4, 6]
    assert judge(folder, [requests[i] for i in order], batch=1) == [alone[i] for i in order]


def test_thread_counts_agree(author, judge):
    """One thread and two: not the same bits, but expected scores within 1e-3."""
    folder, clip = author
    one, two = (judge(folder, [(clip, "good")], threads=n)[0] for n in (1, 2))
    for a, b in zip(one["dimensions"], two["dimensions"]):
        assert abs(a["expected"] - b["expected"]) <= 1e-3


def test_readings(author, judge):
    """K seeded readings are the mean and the deviation of the K single ones; a seed repeats."""
    folder, clip = author
    request = [(clip, "good")]
    options = dict(temperature=4.0, rationale=12)
    singles = [judge(folder, request, seed=s, **options)[0] for s in (5, 6, 7)]
    several, = judge(folder, request, seed=5, readings=3, **options)
    assert judge(folder, request, seed=5, readings=3, **options)[0] == several
    assert len({tuple(s["output_tokens"]) for s in singles}) == 3
    for key in ("output_tokens", "digit_positions", "rationale", "forced"):
        assert several[key] == singles[0][key]
    for i, dimension in enumerate(several["dimensions"]):
        expected = torch.tensor([s["dimensions"][i]["expected"] for s in singles],
                                dtype=torch.float64)
        assert dimension["expected"] == pytest.approx(expected.mean().item(), abs=1e-12)
        assert dimension["std"] == pytest.approx(expected.std().item(), abs=1e-12)
        assert dimension["score"] == round(dimension["expected"])
        assert "std" not in singles[0]["dimensions"][i]


def test_identity_follows_what_changes_scores(author, stranger, dump):
    """The judge's id differs between checkpoints of one architecture, between templates and
    between settings, and is the same for the same."""
    folder, _ = author

    def identity(folder, **options):
        return dump("judge_dump", "judge", dict(folder=folder, requests=[], **options))["id"]

    same = identity(folder)
    assert identity(folder) == same
    assert identity(folder, threads=1) == same
    template = folder / "template.txt"
    others = [identity(stranger), identity(folder, template=template), identity(folder, fps=4.0),
              identity(folder, rationale=7), identity(folder, temperature=0.7),
              identity(folder, temperature=0.7, seed=1), identity(folder, max_frames=8)]
    assert len({same, *others}) == 1 + len(others)


def test_inspect(author, dump):
    """What `bestreel inspect` shows is what transformers loads."""
    folder, _ = author
    shown = dump("judge_dump", "inspect", dict(folder=folder, template=folder / "template.txt"))
    model = checkpoints.reference(folder)
    assert shown["architecture"] == "Qwen2_5_VLForConditionalGeneration"
    assert shown["parameters"] == sum(p.numel() for p in model.parameters())
    assert shown["bytes"] == 4 * shown["parameters"]
    assert shown["dtypes"] == ["F32"]
    assert shown["repetition_penalty"] == model.generation_config.repetition_penalty
    assert shown["top_k"] == model.generation_config.top_k == 50
    assert shown["end_tokens"] == model.generation_config.eos_token_id
    assert shown["system_text"] == checkpoints.SYSTEM
    assert shown["template_fallback"] is False
    assert dump("judge_dump", "inspect", dict(folder=folder))["template_fallback"] is True
