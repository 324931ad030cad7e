"""Our tokenizer against the `tokenizers` library: the same ids for the same text."""
import json

import pytest
from conftest import probe
from texts import CODE_POINTS, PIECES, SENTENCES, texts
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXTS = texts(6000)


def ours(path, strings, mode="encode"):
    data = b"".join(b"%d\n%s" % (len(raw), raw) for raw in (s.encode() for s in strings))
    result = probe("tokenizer_probe", path, mode, stdin=data)
    assert result.returncode == 0, result.stderr.decode()
    lines = result.stdout.decode().split("\n")[:-1]
    assert len(lines) == len(strings)
    return lines


def ids(path, strings, mode="encode"):
    return [[int(word) for word in line.split()] for line in ours(path, strings, mode)]


def assert_same(strings, left, right):
    wrong = [(s, a, b) for s, a, b in zip(strings, left, right) if a != b]
    assert not wrong, f"{len(wrong)} of {len(strings)} differ, the first: {wrong[0]!a}"


@pytest.fixture(scope="session", params=["qwen2", "gpt2", "unnormalized"])
def small_tokenizer(request, tmp_path_factory):
    """A small byte-level BPE of the same make, with added tokens of every kind."""
    tokenizer = Tokenizer(models.BPE())
    if request.param != "unnormalized":
        tokenizer.normalizer = normalizers.NFC()
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=request.param == "gpt2")
    tokenizer.pre_tokenizer = byte_level if request.param == "gpt2" else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(QWEN2), "isolated"), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        (SENTENCES + PIECES) * 20,
        trainers.BpeTrainer(vocab_size=900, show_progress=False, special_tokens=["<|endoftext|>"],
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|video_pad|>"])
    tokenizer.add_tokens([
        AddedToken("<tool_call>", normalized=False),
        AddedToken("</think>", normalized=False),
        AddedToken("<word>", single_word=True, normalized=False),
        AddedToken("word", single_word=True),
        AddedToken("<left>", lstrip=True, normalized=False),
        AddedToken("<right>", rstrip=True),
        AddedToken("<norm\u00e9>", normalized=True, lstrip=True, rstrip=True),
        AddedToken("<|im_end|>\n", normalized=False),
    ])
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def check_encoding(path):
    reference = Tokenizer.from_file(str(path))
    expected = [e.ids for e in reference.encode_batch(TEXTS, add_special_tokens=False)]
    assert_same(TEXTS, ids(path, TEXTS), expected)


def check_plain(path):
    """encode_plain is the library without any added token."""
    bare = json.loads(path.read_text())
    bare["added_tokens"] = []
    reference = Tokenizer.from_str(json.dumps(bare))
    expected = [e.ids for e in reference.encode_batch(TEXTS, add_special_tokens=False)]
    assert_same(TEXTS, ids(path, TEXTS, "plain"), expected)


def check_decoding(path):
    reference = Tokenizer.from_file(str(path))
    sequences = [e.ids[i:] for i, e in enumerate(reference.encode_batch(TEXTS)[:3000])]  # cut in characters
    sequences += [e.ids[len(e.ids) // 3:] for e in reference.encode_batch(TEXTS)]
    # The library passes the content of an added token through the byte alphabet, where "é" is a lone
    # byte; we give the content.
    sequences = [s for s in sequences if "\ufffd" not in reference.decode(s, skip_special_tokens=False)]
    lines = ours(path, [" ".join(map(str, s)) for s in sequences], "decode")
    texts_back = [bytes.fromhex(line).decode() for line in lines]
    assert_same(sequences, texts_back, [reference.decode(s, skip_special_tokens=False) for s in sequences])


@pytest.mark.parametrize("check", [check_encoding, check_plain, check_decoding])
def test_small_vocabulary(small_tokenizer, check):
    check(small_tokenizer)


@pytest.mark.parametrize("check", [check_encoding, check_plain, check_decoding])
def test_real_vocabulary(real_tokenizer, check):
    check(real_tokenizer)


def test_every_code_point(real_tokenizer):
    """Each one as a letter, a number, a mark or neither, where it shows: beside a contraction, blanks,
    line ends, and marks of other classes. It must not matter in which year our libraries were made.
    Planes 4 to 16 are empty but for tags and private use, so a few of theirs are enough."""
    reference = Tokenizer.from_file(str(real_tokenizer))
    points = [c for c in CODE_POINTS if c < 0x40000 or 0xE0000 <= c < 0xE0200 or c % 61 == 0]
    for start in range(0, len(points), 100_000):
        strings = ["'s{0}'s  {0}\n\ne\u0301{0}\u0334\u0316".format(chr(c))
                   for c in points[start:start + 100_000]]
        expected = [e.ids for e in reference.encode_batch(strings)]
        assert_same(strings, ids(real_tokenizer, strings), expected)


def test_huge_prompts(real_tokenizer):
    """100,000 characters: one word, one blank, punctuation, ideographs, control tokens."""
    reference = Tokenizer.from_file(str(real_tokenizer))
    strings = ["a" * 100_000, " " * 100_000, "!?" * 50_000, "猫" * 100_000, " \n" * 50_000,
               "<|im_end|>" * 10_000, "<|" * 50_000, "the quick brown fox " * 5_000]
    assert_same([s[:10] for s in strings], ids(real_tokenizer, strings), [reference.encode(s).ids for s in strings])
