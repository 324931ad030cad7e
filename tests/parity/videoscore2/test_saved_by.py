"""Judges as transformers saves them: the pinned 4.53.3 and a current 5, tied and untied, whole folders
and the forms in which single files of them go around. All of one model give the scores of one model,
which test_judge.py holds against the reference."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import author as teacher
import checkpoints

HERE = pathlib.Path(__file__).parent
TRANSFORMERS_5 = pathlib.Path(sys.prefix).parent / "transformers5"
PROMPT = "A red circle moves left."


def saved_by_5(source, target):
    """The same model and processor, written by transformers 5."""
    assert TRANSFORMERS_5.is_dir(), "transformers 5 is not installed: ./run setup test"
    done = subprocess.run(
        [sys.executable, HERE / "save_with_transformers5.py", source, target], capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": str(TRANSFORMERS_5), "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    return target


def numbers(result):
    assert "failure" not in result, result["failure"]
    return [(d["expected"], d["reference_soft"]) for d in result["dimensions"]]


def save_both(folder, tied):
    """(folder as 4.53.3 saves it, the same as 5 saves it)"""
    four = checkpoints.save(
        checkpoints.Shape("four", layers=2, tied=tied, rope_theta=5e5), folder / "four")
    five = saved_by_5(four, folder / "five")
    for each in (four, five):
        (each / "template.txt").write_text(teacher.QUERY)
    return four, five


@pytest.fixture(scope="module")
def untied(tmp_path_factory):
    return save_both(tmp_path_factory.mktemp("untied"), tied=False)


@pytest.fixture(scope="module")
def tied(tmp_path_factory):
    return save_both(tmp_path_factory.mktemp("tied"), tied=True)


@pytest.fixture(params=["untied", "tied"])
def pair(request):
    return *request.getfixturevalue(request.param), request.param == "tied"


def test_both_are_different_files_of_one_model(pair):
    """The control: the two versions do not write the same files."""
    four, five, tied = pair
    text = json.loads((five / "config.json").read_text())["text_config"]
    assert "rope_parameters" in text and "rope_scaling" not in text
    assert (five / "processor_config.json").exists()
    assert not (five / "preprocessor_config.json").exists()
    assert "rope_scaling" in json.loads((four / "config.json").read_text())["text_config"]
    assert (five / "tokenizer.json").read_bytes() != (four / "tokenizer.json").read_bytes()
    assert json.loads((five / "config.json").read_text())["tie_word_embeddings"] is tied


def test_scores_are_those_of_the_reference(pair, author, judge):
    """Both folders: the digits' expectations from the reference's own logits after the same tokens."""
    four, five, _ = pair
    clip = author[1]
    old, = judge(four, [(clip, PROMPT)], rationale=0)
    new, = judge(five, [(clip, PROMPT)], rationale=0)
    assert old["prompt_tokens"] == new["prompt_tokens"]
    assert numbers(old) == numbers(new)
    inputs = teacher.reference_inputs(four, clip, PROMPT)
    assert inputs["input_ids"][0].tolist() == new["prompt_tokens"]
    ids = torch.tensor([new["prompt_tokens"] + new["output_tokens"]])
    with torch.no_grad():
        logits = checkpoints.reference(four)(
            input_ids=ids, attention_mask=torch.ones_like(ids),
            pixel_values_videos=inputs["pixel_values_videos"],
            video_grid_thw=inputs["video_grid_thw"],
            second_per_grid_ts=torch.tensor([1.0])).logits[0]
    digits = checkpoints.processor(four).tokenizer.convert_tokens_to_ids(list("12345"))
    for dimension, at in zip(new["dimensions"], new["digit_positions"]):
        p = torch.softmax(logits[len(new["prompt_tokens"]) + at - 1, digits].double(), -1)
        assert dimension["expected"] == pytest.approx(float(p @ torch.arange(1.0, 6.0).double()), abs=1e-4)


def edit(folder, name, change):
    path = folder / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def tie_flags(top, nested):
    def change(config):
        config.pop("tie_word_embeddings", None)
        config["text_config"].pop("tie_word_embeddings", None)
        if top is not None:
            config["tie_word_embeddings"] = top
        if nested is not None:
            config["text_config"]["tie_word_embeddings"] = nested
    return lambda folder: edit(folder, "config.json", change)


def slow(folder):
    """vocab.json and merges.txt alone, with the added tokens in tokenizer_config.json."""
    (folder / "tokenizer.json").unlink()


def tokens_elsewhere(folder):
    """Special tokens that only tokenizer_config.json lists."""
    edit(folder, "tokenizer.json",
         lambda t: t.update(added_tokens=[a for a in t["added_tokens"] if not a["special"]]))


def named_template(folder):
    chat = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    edit(folder, "tokenizer_config.json", lambda t: t.update(
        chat_template=[{"name": "tool_use", "template": "x"}, {"name": "default", "template": chat}]))


def crlf_template(folder):
    path = folder / "chat_template.jinja"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("change", [slow, tokens_elsewhere, named_template, crlf_template],
                         ids=lambda c: c.__name__)
def test_forms_of_single_files(change, untied, author, judge, tmp_path):
    """Each form gives the scores of the folder that it was made from."""
    folder = tmp_path / "form"
    shutil.copytree(untied[0], folder)
    want, = judge(untied[0], [(author[1], PROMPT)], rationale=0)
    change(folder)
    got, = judge(folder, [(author[1], PROMPT)], rationale=0)
    assert got["prompt_tokens"] == want["prompt_tokens"]
    assert numbers(got) == numbers(want)


@pytest.mark.parametrize("top, nested", [(True, None), (None, True), (True, False), (True, True)])
def test_tie_flags(top, nested, tied, author, judge, tmp_path):
    """Tied embeddings are tied wherever the flag stands."""
    folder = tmp_path / "tied"
    shutil.copytree(tied[0], folder)
    tie_flags(top, nested)(folder)
    want, = judge(tied[0], [(author[1], PROMPT)], rationale=0)
    got, = judge(folder, [(author[1], PROMPT)], rationale=0)
    assert numbers(got) == numbers(want)


@pytest.mark.parametrize("token", ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
                                   "<|video_pad|>"])
def test_format_tokens_must_be_one_id(token, untied, dump, tmp_path):
    """A tokenizer that would spell a token of the turns in letters is refused, never used."""
    folder = tmp_path / "lacking"
    shutil.copytree(untied[0], folder)
    drop = lambda tokens: [t for t in tokens if t["content"] != token]
    edit(folder, "tokenizer.json", lambda t: t.update(added_tokens=drop(t["added_tokens"])))
    edit(folder, "tokenizer_config.json", lambda t: t.update(added_tokens_decoder={
        k: v for k, v in t["added_tokens_decoder"].items() if v["content"] != token}))
    error = dump("judge_dump", "judge", dict(folder=folder, requests=[]), ok=False)
    assert token in error and "one token" in error


def test_a_tied_model_with_another_head_is_refused(tied, author, judge, dump, tmp_path):
    """Flag and weights that contradict each other are refused; that they may both be there is not."""
    folder = tmp_path / "tied"
    shutil.copytree(tied[0], folder)
    tensors = load_file(folder / "model.safetensors")
    embedding = next(v for k, v in tensors.items() if k.endswith("embed_tokens.weight"))
    save_file({**tensors, "lm_head.weight": embedding.clone()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    want, = judge(tied[0], [(author[1], PROMPT)], rationale=0)
    got, = judge(folder, [(author[1], PROMPT)], rationale=0)
    assert numbers(got) == numbers(want)
    save_file({**tensors, "lm_head.weight": embedding + 1}, folder / "model.safetensors",
              metadata={"format": "pt"})
    error = dump("judge_dump", "judge", dict(folder=folder, requests=[]), ok=False)
    assert "tie_word_embeddings" in error and "lm_head.weight" in error


def test_weights_under_other_names_are_named(untied, dump, tmp_path):
    """Variants, pickles and shards without an index are named for what they are."""
    for name, says in (("model.fp16.safetensors", "variant"), ("pytorch_model.bin", "pickled"),
                       ("model.safetensors.index.fp16.json", "variant"), ("model.gguf", "GGUF"),
                       ("model-00001-of-00002.safetensors", "index"),
                       ("consolidated.00.pth", "pickled")):
        folder = tmp_path / name.replace(".", "_")
        shutil.copytree(untied[0], folder)
        (folder / "model.safetensors").rename(folder / name)
        error = dump("judge_dump", "judge", dict(folder=folder, requests=[]), ok=False)
        assert name in error and says in error, error
