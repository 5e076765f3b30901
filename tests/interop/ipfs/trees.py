"""Random files and directories on disk, each from the seed and its own number alone."""

import os
import random

KIB, MIB = 1 << 10, 1 << 20
LARGEST = 64 * MIB
# Chunks of the two profiles, and how many of them one node of the older one has.
CHUNKS, LEGACY_WIDTH = (256 * KIB, MIB), 174
# A directory above this is sharded.
HAMT_BYTES = 262_144
# What one entry adds to a directory's size. The older profile counts the name and the CID (36 bytes: version, codec, and a
# sha2-256 multihash). `unixfs-v1-2025` counts the block: the link's tag and length (3), its Hash field (38), its Name
# field (2 + name) and its Tsize field (2), with four bytes for the directory's own data. True for names of 90 to 120 bytes
# and files under 128 bytes, where every length is a varint of a known width.
LEGACY_ENTRY, BLOCK_ENTRY, BLOCK_OWN = 36, 45, 4
NAMES = [
    "two words", " leading", "trailing ", "tab\there", "line\nbreak", "quo\"te", "apo'strophe", "back\\slash", "per%cent", "per%20cent",
    "plus+and&", "q?mark",
    "hash#tag", "semi;colon", "comma,", "equals=", "at@", "colon:", "star*", "pipe|", "less<more>", "{braces}", "[brackets]", "(parens)",
    "dollar$HOME",
    "`ticks`", "!bang", "~tilde", "-dash", "--help", "...", "..a", "a..", "a.", "CON", "nul", "_redirects", "index.html", "ünïcödé",
    "u\u0308nicode", "日本語", "Ελληνικά",
    "עברית", "العربية", "🦀", "👩‍👩‍👧", "\u200bzero-width", "\u202eright-to-left", "\ufeffbom", "ſ", "İi", "\x01control", "\x7fdelete", "é",
    "e\u0301", "a" * 255, "ж" * 127, "x" * 254,
]
# Random bytes are cut out of one pool: generating them anew for each file would be most of the time.
POOL_BYTES = 80 * MIB
# The number of the one file that is larger than all others: 1,024 chunks of `unixfs-v1-2025` fill a node.
WIDEST = 99_999


class Trees:
    def __init__(self, seed):
        self.seed = seed
        self.pool = memoryview(random.Random(f"pool/{seed}").randbytes(POOL_BYTES))

    def make(self, number, parent):
        """Writes tree `number` below `parent`; returns (path, what it is, whether hidden entries are added)."""
        rng = random.Random(f"{self.seed}/{number}")
        path = parent / f"t{number:05}"
        # In turn, so that a short run has each kind as well.
        kind = wider_than_a_node if number == WIDEST else KINDS[number % len(KINDS)]
        what = kind(self, rng, path)
        return path, f"{kind.__name__}{f', {what}' if what else ''}", rng.random() < 0.5

    def bytes(self, rng, size):
        start = rng.randrange(POOL_BYTES - size + 1)
        return self.pool[start:start + size]

    def file(self, rng, path, size):
        path.write_bytes(self.bytes(rng, size))


def skewed(rng, most):
    """Mostly small: the logarithm is uniform. Zero now and then."""
    return 0 if rng.random() < 0.05 else int(2 ** rng.uniform(0, most.bit_length())) % (most + 1)


def name(rng, least=1, most=24):
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789-_.", k=rng.randint(least, most))).lstrip(".") or "n"


def file_at_boundary(trees, rng, path):
    chunk = rng.choice(CHUNKS)
    most = LARGEST // chunk
    count = rng.choice([0, 1, 2, 3, rng.randint(0, most), most, min(most, LEGACY_WIDTH), min(most, LEGACY_WIDTH + 1)])
    size = min(LARGEST, max(0, count * chunk + rng.choice([-1, 0, 1])))
    trees.file(rng, path, size)
    return f"{size} bytes"


def file_of_any_size(trees, rng, path):
    size = skewed(rng, LARGEST)
    trees.file(rng, path, size)
    return f"{size} bytes"


def file_of_repeats(trees, rng, path):
    """The same blocks again and again, at both chunk sizes."""
    unit = bytes(trees.bytes(rng, rng.choice([1, 7, 4096, *CHUNKS])))
    size = skewed(rng, 24 * MIB)
    path.write_bytes((unit * (size // len(unit) + 1))[:size])
    return f"{size} bytes of {len(unit)}"


def sparse_file(trees, rng, path):
    size = rng.choice([*CHUNKS, rng.randint(0, LARGEST)])
    with open(path, "wb") as out:
        out.truncate(size)
    return f"{size} zeros"


def wider_than_a_node(trees, rng, path):
    """One byte more than a node of `unixfs-v1-2025` holds; almost all of it zeros, so it takes no room."""
    with open(path, "wb") as out:
        out.truncate(1024 * MIB)
        out.seek(1024 * MIB)
        out.write(bytes(trees.bytes(rng, 1)))
    return "1 GiB and a byte"


def mixed(trees, rng, path):
    folders = [path]
    path.mkdir()
    for _ in range(rng.randint(0, 12)):
        folder = rng.choice(folders) / name(rng)
        if not folder.exists():
            folder.mkdir()
            folders.append(folder)
    files = rng.randint(0, 60)
    for _ in range(files):
        target = rng.choice(folders) / name(rng)
        if not target.exists():
            trees.file(rng, target, skewed(rng, MIB + 5))
    return f"{len(folders)} directories, {files} files"


def deep(trees, rng, path):
    depth = rng.randint(20, 200)
    folder = path
    folder.mkdir()
    for level in range(depth):
        if rng.random() < 0.2:
            trees.file(rng, folder / f"f{level}", skewed(rng, 4096))
        folder = folder / rng.choice("abc")
        folder.mkdir()
    trees.file(rng, folder / "end", skewed(rng, 4096))
    return f"{depth} deep"


def wide(trees, rng, path):
    path.mkdir()
    count = rng.randint(200, 2500)
    for at in range(count):
        trees.file(rng, path / f"{at}-{name(rng, 1, 12)}", rng.randint(0, 40))
    return f"{count} entries"


def at_the_sharding_edge(trees, rng, path):
    """One directory whose size is at, just below or just above the threshold, as one of the two profiles counts it."""
    path.mkdir()
    per_entry, own, which = rng.choice([(LEGACY_ENTRY, 0, "legacy"), (BLOCK_ENTRY, BLOCK_OWN, "v1-2025")])
    off = rng.choice([-1, 0, 0, 1, rng.randint(-40, 40)])
    target, length = HAMT_BYTES + off - own, rng.randint(92, 116)
    count = target // (length + per_entry)
    # What is missing is added to the names, a byte here and there: one each at most.
    longer = target - count * (length + per_entry)
    while longer > 2 * count:
        length, longer = length + 1, longer - count
    for at in range(count):
        extra = longer // count + (at < longer % count)
        stem = f"{at:05}-"
        (path / (stem + "".join(rng.choices("abcdefgh", k=length + extra - len(stem))))).write_bytes(b"%d" % at)
    return f"{which} {'+' if off > 0 else ''}{off}"


def sharded(trees, rng, path):
    """Far above the threshold, with a second sharded directory and files in it."""
    path.mkdir()
    folders, count = [path], rng.randint(1500, 4000)
    if rng.random() < 0.5:
        folders.append(path / "inner")
        folders[1].mkdir()
    for folder in folders:
        for at in range(count):
            (folder / f"{at:04}-{'x' * rng.randint(60, 200)}").write_bytes(b"%d" % (at % 50))
        trees.file(rng, folder / "larger", skewed(rng, 2 * MIB))
    return f"{len(folders)} x {count}"


def awkward_names(trees, rng, path):
    path.mkdir()
    folder = path
    for _ in range(rng.randint(1, 3)):
        for chosen in rng.sample(NAMES, rng.randint(3, len(NAMES) // 2)):
            if not os.path.lexists(folder / chosen):
                trees.file(rng, folder / chosen, skewed(rng, 2048))
        below = folder / f"{rng.choice(NAMES)[:80]}-d"
        below.mkdir(exist_ok=True)
        folder = below


def hidden(trees, rng, path):
    path.mkdir()
    for folder in (path, path / ".hidden-dir", path / "shown", path / "shown" / ".git"):
        folder.mkdir(exist_ok=True)
        for _ in range(rng.randint(0, 4)):
            trees.file(rng, folder / (rng.choice(["", ".", "..", "..."]) + name(rng, 2, 9)), skewed(rng, 999))


def symlinks(trees, rng, path):
    path.mkdir()
    (path / "dir").mkdir()
    trees.file(rng, path / "file", skewed(rng, 5000))
    targets = ["file", "dir", "./dir/..", "..", "/", "/etc/hostname", "nowhere", "self", "dir/../file", "ünïcödé", "a" * 300, "with space",
        "./file", "//x//y", "dir/"]
    for at, target in enumerate(rng.sample(targets, rng.randint(1, len(targets)))):
        os.symlink(target, rng.choice([path, path / "dir"]) / ("self" if target == "self" else f"l{at}-{name(rng, 1, 5)}"))


def empties(trees, rng, path):
    path.mkdir()
    for _ in range(rng.randint(0, 6)):
        folder = path
        for _ in range(rng.randint(1, 4)):
            folder = folder / rng.choice("ab")
            folder.mkdir(exist_ok=True)
        if rng.random() < 0.4:
            (folder / "empty").write_bytes(b"")


KINDS = [
    file_at_boundary, mixed, at_the_sharding_edge, awkward_names, file_of_any_size, symlinks, wide, hidden, deep, empties, sharded,
    file_of_repeats,
    at_the_sharding_edge, sparse_file,
]
