"""Draw pixel art: a grid of little creatures, each of random pixels and their mirror image, as pictures in PNG."""

import argparse
import json
import pathlib
import random
import struct
import zlib

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("-g", "--grid", type=int, required=True, help="creatures per side of a picture")
parser.add_argument("-i", "--size", type=int, required=True, help="pixels per side of a creature")
parser.add_argument("-s", "--seed", type=int, default=1)
parser.add_argument("-n", "--number", type=int, default=1, help="pictures")
parser.add_argument("-o", "--out", type=pathlib.Path, required=True, help="folder of the pictures")
given = parser.parse_args()


def creature(rng, size):
    """Return rows of 0 and 1, the right half the mirror image of the left one."""
    half = [[int(rng.random() < 0.45) for _ in range((size + 1) // 2)] for _ in range(size)]
    return [row + row[: size // 2][::-1] for row in half]


def png(rows):
    """Return the bytes of a picture in grey, a byte for each pixel."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + bytes(255 * pixel for pixel in row) for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


given.out.mkdir(parents=True, exist_ok=True)
rng = random.Random(given.seed)
lit = pixels = 0
for number in range(given.number):
    rows = []
    for _ in range(given.grid):
        creatures = [creature(rng, given.size) for _ in range(given.grid)]
        rows += [[pixel for each in creatures for pixel in each[line]] for line in range(given.size)]
    lit += sum(map(sum, rows))
    pixels += len(rows) * len(rows[0])
    (given.out / f"art-{number:03}.png").write_bytes(png(rows))
    print(f"picture {number + 1} of {given.number}")
result = {"pictures": given.number, "pixels": pixels, "share": {"lit": round(lit / pixels, 4)}}
(given.out / "result.json").write_text(json.dumps(result))
