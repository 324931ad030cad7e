"""UMT5's tokenizer in every form that transformers saves, beside the reference's class."""

import json
import shutil

import numpy as np
import pytest
import sentencepiece
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from transformers import T5TokenizerFast

from checkpoints import SHAPES, WORDS
from test_parts import PROMPTS

TEXTS = [prompt_clean(p) for p in PROMPTS] + [
    SHAPES[5].prompt, "unknown ☃ characters ∆", "a red circle</s>", "a </s> b", "<pad>a circle <unk>",
    "一只猫在草地上", "a cat \U0001F431 \U0001F468\u200d\U0001F469\u200d\U0001F467", "e\u0301\u0323 ﷺ ½ Å",
    "two  spaces   three", "trailing ", " leading", "tab\tand\nline", "x" * 300]


def trained(folder, size, **more):
    """A SentencePiece model of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [" ".join(np.random.default_rng(i).choice(WORDS, 12)) for i in range(400)]
    (folder / "corpus.txt").write_text("\n".join(lines + ["静 态 , . ! ? \" ' 0 1 2 é ü"] * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"), model_prefix=str(folder / "spiece"), vocab_size=size,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2, character_coverage=0.999,
        hard_vocab_limit=False, **more)
    return str(folder / "spiece.model")


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def same(folder, dump, texts=TEXTS):
    """Every text, cut to any length, has the reference's ids."""
    theirs = T5TokenizerFast.from_pretrained(folder)
    for limit in (16, 512):
        ours = dump("tokens", dict(folder=folder, prompts=texts, limit=limit))["ids"]
        for text, ids in zip(texts, ours):
            assert ids == theirs(text, max_length=limit, truncation=True).input_ids, repr(text)
    return ours


def published(folder):
    """google/umt5's file: a space before the text, and no add_prefix_space beside it."""
    edit(folder / "tokenizer.json",
         lambda j: j["pre_tokenizer"].update(prepend_scheme="always"))
    edit(folder / "tokenizer_config.json", lambda j: j.pop("add_prefix_space", None))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders exactly as transformers saves them, with and without fallback to bytes."""
    made = {}
    for name, size, more in [("plain", 170, {}), ("bytes", 430, dict(byte_fallback=True))]:
        base = tmp_path_factory.mktemp(name)
        model = trained(base / "made", size, **more)
        T5TokenizerFast(vocab_file=model, extra_ids=0).save_pretrained(base / "saved")
        made[name] = base / "saved"
    return made


@pytest.fixture
def folder(saved, tmp_path):
    def get(name="plain"):
        shutil.copytree(saved[name], tmp_path / name, dirs_exist_ok=True)
        return tmp_path / name
    return get


def test_a_folder_as_transformers_saves_it(folder, dump):
    """Nothing is patched; special tokens in a prompt are one token each, as for the reference."""
    ids = same(folder(), dump)
    assert ids[TEXTS.index("a red circle</s>")][-2:] == [1, 1]
    assert any(2 in one for one in ids), "some text must be unknown, or it tests little"


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
@pytest.mark.parametrize("alone", [False, True])
def test_the_space_before_the_text(scheme, alone, folder, dump):
    """prepend_scheme decides, spiece.model beside it or not."""
    f = folder()
    published(f)
    edit(f / "tokenizer.json", lambda j: j["pre_tokenizer"].update(prepend_scheme=scheme))
    if alone:
        (f / "spiece.model").unlink()
    same(f, dump)


@pytest.mark.parametrize("fallback", [False, True])
def test_fallback_to_bytes(fallback, folder, dump):
    """byte_fallback of tokenizer.json decides, whatever the model was trained with."""
    f = folder("bytes")
    published(f)
    edit(f / "tokenizer.json", lambda j: j["model"].update(byte_fallback=fallback))
    ids = same(f, dump)
    cat = ids[TEXTS.index("a cat \U0001F431 \U0001F468\u200d\U0001F469\u200d\U0001F467")]
    assert (2 in cat) != fallback


@pytest.mark.parametrize("config", [dict(), dict(add_prefix_space=True), dict(add_prefix_space=False),
                                    dict(add_prefix_space=None), dict(legacy=False),
                                    dict(extra_ids=3)])
def test_spiece_model_alone(config, folder, dump):
    """Converted as the reference converts it, by tokenizer_config.json."""
    f = folder()
    (f / "tokenizer.json").unlink()

    def change(j):
        j.pop("add_prefix_space", None)
        j.update(config)
        if "extra_ids" in config:
            j.pop("additional_special_tokens", None)
    edit(f / "tokenizer_config.json", change)
    same(f, dump, TEXTS + (["<extra_id_0> and <extra_id_2>"] if "extra_ids" in config else []))


def test_add_prefix_space_converts_again(folder, dump):
    """Set in the configuration it makes the reference forget tokenizer.json."""
    f = folder()
    edit(f / "tokenizer_config.json", lambda j: j.update(add_prefix_space=True))
    same(f, dump)
    (f / "spiece.model").unlink()
    asked = dict(folder=f, prompts=["a"], limit=4)
    assert "add_prefix_space" in dump("tokens", asked, ok=False)
    edit(f / "tokenizer_config.json", lambda j: j.update(add_prefix_space=None))
    assert dump("tokens", asked)["ids"]


def test_added_tokens_and_old_files(folder, dump):
    """Tokens with white space at their sides, after normalisation, and words cut before."""
    f = folder()
    published(f)

    def change(j):
        for i, more in enumerate([dict(lstrip=True), dict(rstrip=True), dict(normalized=True)]):
            j["added_tokens"].append(dict(dict(
                id=200 + i, content=f"<style {i}>", single_word=False, lstrip=False, rstrip=False,
                normalized=False, special=False), **more))
    edit(f / "tokenizer.json", change)
    texts = TEXTS + [f"a <style {i}>  circle <style {i}>" for i in range(3)]
    same(f, dump, texts)
    edit(f / "tokenizer.json", lambda j: j.update(
        pre_tokenizer=dict(type="Sequence", pretokenizers=[
            dict(type="WhitespaceSplit"),
            dict(type="Metaspace", replacement="▁", prepend_scheme="always")])))
    same(f, dump, texts)


def test_what_is_no_umt5_is_named(folder, dump):
    """Each sentence names the file and the part; the file itself works (the first test)."""
    def broken(change, *words):
        f = folder()
        published(f)
        asked = dict(folder=f, prompts=["a"], limit=4)
        edit(f / "tokenizer.json", change)
        error = dump("tokens", asked, ok=False)
        assert all(word in error for word in ("tokenizer.json", *words)), error

    broken(lambda j: j["model"].update(type="BPE"), "BPE")
    broken(lambda j: j["normalizer"]["normalizers"].append(dict(type="Lowercase")), "Lowercase")
    broken(lambda j: j.update(pre_tokenizer=dict(type="ByteLevel")), "ByteLevel")
    broken(lambda j: j["model"].update(unk_id=99999), "99999")
    broken(lambda j: j["normalizer"]["normalizers"][0].update(precompiled_charsmap="AAAA"), "charsmap")
    broken(lambda j: j["model"].update(vocab=[["a"]]), "tokenizer")
    broken(lambda j: j.pop("model"), "model")
    f = folder()
    (f / "tokenizer.json").unlink()
    whole = (f / "spiece.model").read_bytes()
    for bad in (whole[:-7], b"\xff" * 40, b""):
        (f / "spiece.model").write_bytes(bad)
        assert "spiece.model" in dump("tokens", dict(folder=f, prompts=["a"], limit=4), ok=False)
    (f / "spiece.model").unlink()
    assert "neither" in dump("tokens", dict(folder=f, prompts=["a"], limit=4), ok=False)
