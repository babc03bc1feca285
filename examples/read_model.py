"""Read a model file without bankwise, as docs/format.md says: read_model.py FILE SHAPES (of show FILE --json)."""

import hashlib
import json
import sys
from math import prod

SYMBOLS, STORAGES = [*"0123456789.x", ".3x3", ".1x1", "v"], "v32 v16 v8 v4 s8 s4 p8 p4".split()


def unpack(data, count, bits):
    text = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}"
    return [int(text[i * bits : (i + 1) * bits], 2) for i in range(count)]


def choice_parts(code, n, c, h, w):  # [(name, elements, bits)]
    size, letter = n * c * h * w, code[0]
    if letter in "SUP":
        bits, m, a = map(int, code[1:4]) if letter == "P" else (1, 1, 0)
        k, s, tile = (code[4:] if letter == "P" else code[1:] + ".1.3x3").split(".")[:3]
        k, t, u = 2 ** int(k) if letter == "U" else int(k), *map(int, tile.split("x"))
        d = int(s) * t * u
        parts = [("bank", k * d, bits), ("indices", m * size // d, (k - 1).bit_length())]
        return [part for part in (*parts, ("coefficients", m * size // d, a)) if part[2]]
    first, *ranks = map(int, code[1:].split(".")) if code[1:] else (1,)
    factors = [one for i, r in enumerate(ranks) for one in ((f"left{i}", n * h * r, 1), (f"right{i}", r * c * w, 1))]
    return {
        "B": [("signs", size, 1)], "I": [("levels", size, first)], "F": [("values", size, first)],
        "T": [("signs", size // first, 1), ("scales", first, 16)],
        "C": [("levels", size, first + 1), *(one for one in factors if one[1])],
    }[letter]  # fmt: skip


def vector(name, size, how):  # likewise
    bits, letter = int(how[1:]), how[0] if name.endswith("scale") else "v"
    beside = {"s": [(name, 1, 16)], "p": [(name, size, 4), (name + ".top", 1, 16)]}
    steps = [(name, size, bits), (name + ".range", 2, 16)]
    return beside.get(letter, steps if bits < 16 else steps[:1])


class Bytes:
    def __init__(self, data, at):
        self.data, self.at = data, at

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self):
        (one,) = self.take(1)
        return one if one < 128 else one - 128 + 128 * self.number()

    def choice(self):  # (code, how vectors are stored or "")
        (first,) = self.take(1)
        packed = self.take(first % 8 + (self.number() if first % 8 == 7 else 0))
        symbols = [SYMBOLS[one] for byte in packed for one in divmod(byte, 16) if one < 15]
        fields, _, said = "".join(symbols).partition("v")
        return chr(64 + first // 8) + fields, STORAGES[int(said)] if said else ""


def read(path, shapes):  # {(owner, part): codes}
    data, codes = open(path, "rb").read(), {}
    begin = 8 + int.from_bytes(data[:8], "little")
    header, file = data[8:begin], Bytes(data, begin)
    assert json.loads(header)["bw3"]["shape"] == [len(data) - begin]
    assert file.take(8) == hashlib.sha256(header + data[file.at :]).digest()[:8]
    flags, *_digest = file.take(4)
    _sizes, _texts = [file.number() for _ in range(4)], [file.take(file.number()) for _ in range(1 + (flags >> 5))]
    usual, parts, behind = f"v{(4, 8, 16, 32)[flags & 3]}", [], {}
    for layer, (code, how) in zip(shapes["layers"], [file.choice() for _ in range(file.number())], strict=True):
        n, how = layer["weight_shape"][0], how or usual
        own, behind[layer["norm"]] = choice_parts(code, *layer["weight_shape"]), how
        for name, there in (("scale", code[0] not in "TF"), ("bias", layer["bias"])):
            own += vector(name, n, how) if there and not layer["normalized"] else []
        parts += [(layer["name"], *part) for part in own]
    for norm in shapes["norms"]:
        for name in ("norm.scale", "norm.shift"):
            parts += [(norm["name"], *one) for one in vector(name, norm["channels"], behind.get(norm["name"], usual))]
    parts += [(tensor["name"], "kept", prod(tensor["shape"]), tensor["bits"]) for tensor in shapes["tensors"]]
    for owner, name, count, width in parts:
        codes[owner, name] = unpack(file.take(-(-count * width // 8)), count, width)
    assert file.at == len(data)
    return codes


if __name__ == "__main__":
    print(json.dumps([[*key, codes] for key, codes in read(sys.argv[1], json.load(open(sys.argv[2]))).items()]))
