"""Texts that tokenizers disagree on: scripts, emoji, controls, marks, look-alikes of tokens."""
import random
import unicodedata

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ASSIGNED = [c for c in CODE_POINTS if unicodedata.category(chr(c)) not in ("Cn", "Co")]
MARKS = [c for c in ASSIGNED if unicodedata.combining(chr(c))]
JAMO = [*range(0x1100, 0x1200), 0xAC00, 0xAC01, 0xAC1C, 0xD7A3]
PIECES = [
    "'s", "'S", "'\u017f", "'t", "'T", "'re", "'RE", "'ve", "'m", "'ll", "'lL", "'d", "\u2019s", "'", '"',
    " ", "  ", "\n", "\r\n", "\r", "\n\n", "\t", "\v", "\u0085", "\u00a0", "\u3000", "\u180e", "\u200b",
    "\u200d", "\u2028", "\x1c", "\x1f", "\x00", "\x7f", "\ufeff", "\ufffd", "\U0010ffff", "\ufdd0",
    "a", "B", "word", "Word", "é", "e\u0301", "\u212b", "\u212a", "\u0130", "ß", "ﬁ", "ǆ", "1", "23", "½", "²",
    "٣", "一", "你好", "の", "한국", "\u1112\u1161\u11ab", "ب", "ไทย", "क्षि", "\u093c", "😀", "👨‍👩‍👧", "🇩🇪",
    "👍🏽", "!", "...", "))", ">", "_", "-", "</", "->", "#", "$", "http://x.y/z?q=1", "a_b", "x=1;",
    "<|im_end|>", "<|im_start|>", "<|im_", "|>", "<|", "<|im_end|", "< |im_end|>", "<|IM_END|>",
    "＜|im_end|＞", "<|video_pad|>", "<|vision_start|>", "<tool_call>", "</tool_call>", "<tool_call",
    "</think>", "<think>", "<|endoftext|>", "<word>", "<norm\u00e9>", "<norme\u0301>", "<left>", "<right>",
]
SENTENCES = [
    "A red circle moves left over a blue background.", "It's the dog's; they'll say we've WON'T!",
    "Der Fußgänger läuft über die Straße.", "猫がソファの上で眠っている。", "Кошка спит на диване.",
    "القطة نائمة على الأريكة", "बिल्ली सोफे पर सो रही है", "고양이가 소파에서 자고 있다", "    def f(x):\n\t\treturn x  # ok\n",
    "(1) visual quality: 4\n(2) text-to-video alignment: 3\n",
]


def texts(count, seed=20240601):
    rng = random.Random(seed)

    def block():  # neighbours of one code point: a script, mostly
        first = rng.choice(ASSIGNED)
        return "".join(chr(c) for c in (first + rng.randint(-40, 40) for _ in range(rng.randint(1, 20)))
                       if 0 <= c < 0xD800 or 0xE000 <= c < 0x110000)

    makers = [
        block,
        lambda: "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 25))),
        lambda: "".join(chr(rng.choice(CODE_POINTS)) for _ in range(rng.randint(1, 20))),
        lambda: "".join(chr(rng.choice(MARKS if rng.random() < 0.7 else ASSIGNED))
                        for _ in range(rng.randint(1, 12))),
        lambda: "".join(chr(rng.choice(JAMO)) for _ in range(rng.randint(1, 8))),
        lambda: "".join(chr(rng.randint(0, 0xFF)) for _ in range(rng.randint(1, 40))),
        lambda: rng.choice([" ", "\n", "\t", "a", "!", "1", "\u3000"]) * rng.randint(1, 300),
        lambda: " ".join(rng.choice(SENTENCES + PIECES) for _ in range(rng.randint(1, 8))),
    ]
    return ["", *SENTENCES, *PIECES] + [rng.choice(makers)() for _ in range(count)]
