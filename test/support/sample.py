"""sample: bencoding, made-up data, torrents made of it, trees compared.

Everything is deterministic: the same seed gives the same bytes, so that a
failure can be looked at again. Torrents of v1 are made here, byte by byte,
since the tests need odd ones; hybrid and v2 torrents come from libtorrent.
"""
import hashlib
import os
import random
import subprocess

BLOCK = 16384
# Small enough that no memory is mapped for each.
CHUNK = 1 << 16
HERE = os.path.dirname(os.path.abspath(__file__))
# The Python that Debian's python3-libtorrent belongs to.
SYSTEM_PYTHON = "/usr/bin/python3"


def bencode(value):
    if isinstance(value, bool):
        raise TypeError("a bool has no bencoding")
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, (bytes, bytearray)):
        return b"%d:%s" % (len(value), bytes(value))
    if isinstance(value, (list, tuple)):
        return b"l" + b"".join(bencode(v) for v in value) + b"e"
    if isinstance(value, dict):
        items = sorted((k.encode() if isinstance(k, str) else k, v)
                       for k, v in value.items())
        return b"d" + b"".join(bencode(k) + bencode(v)
                               for k, v in items) + b"e"
    raise TypeError("cannot bencode %r" % (value,))


def bdecode_at(data, at=0):
    """Returns the value at this offset and the offset behind it."""
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind == b"l":
        out, at = [], at + 1
        while data[at:at + 1] != b"e":
            value, at = bdecode_at(data, at)
            out.append(value)
        return out, at + 1
    if kind == b"d":
        out, at = {}, at + 1
        while data[at:at + 1] != b"e":
            key, at = bdecode_at(data, at)
            out[key], at = bdecode_at(data, at)
        return out, at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1:end], end


def bdecode(data):
    return bdecode_at(data)[0]


def random_bytes(size, seed=0):
    chance = random.Random("btget %r" % (seed,))
    # Each goes through a number of so many bits.
    return b"".join(chance.randbytes(min(CHUNK, size - at))
                    for at in range(0, size, CHUNK))


def write_file(path, data):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)
    return path


def make_file(path, size, seed=0):
    return write_file(path, random_bytes(size, seed))


# What breaks careless clients: empty files first, in the middle and last,
# one byte, a block more or less one, a folder in a folder, odd names.
ODD_TREE = (
    ("00 empty at the start", 0),
    ("a/one byte", 1),
    ("a/b/one block", BLOCK),
    ("a/b/one block and one", BLOCK + 1),
    ("a/b/empty in the middle", 0),
    ("a/less one", BLOCK - 1),
    ("m/large", 3 * 1024 * 1024 + 12345),
    ("m/\u00fcml\u00e4ut \u65e5\u672c.txt", 70001),
    ("z empty at the end", 0),
)


def make_tree(path, files=ODD_TREE, seed=0):
    os.makedirs(path, exist_ok=True)
    for name, size in files:
        make_file(os.path.join(path, name), size, (seed, name))
    return path


def list_tree(path):
    """All files below path, relative, in the order of the torrent."""
    found = []
    for folder, _, names in os.walk(path):
        for name in names:
            found.append(os.path.relpath(os.path.join(folder, name), path))
    return sorted(found, key=lambda name: name.split("/"))


def tree(path):
    """A dict of relative name to path; a lone file is named ''."""
    if os.path.isfile(path):
        return {"": path}
    return {name: os.path.join(path, name) for name in list_tree(path)}


def read_file(path):
    with open(path, "rb") as data:
        return data.read()


def read_tree(path):
    """A dict of relative name to bytes; a lone file is named ''."""
    return {name: read_file(one) for name, one in tree(path).items()}


def difference(a, b):
    """Where two files begin to differ, or None."""
    at = 0
    with open(a, "rb") as left, open(b, "rb") as right:
        while True:
            x, y = left.read(CHUNK), right.read(CHUNK)
            if x != y:
                return at + next((i for i, (p, q) in enumerate(zip(x, y))
                                  if p != q), min(len(x), len(y)))
            if not x:
                return None
            at += len(x)


def assert_same(want, got, without_empty=False):
    """Byte for byte; without_empty is for clients that omit empty files."""
    a, b = tree(want), tree(got)
    if without_empty:
        a, b = ({name: one for name, one in files.items()
                 if os.path.getsize(one)} for files in (a, b))
    assert sorted(a) == sorted(b), "files differ: wanted %s, got %s" % (
        sorted(a), sorted(b))
    for name in a:
        at = difference(a[name], b[name])
        assert at is None, "%r differs from byte %d on (%d, %d bytes)" % (
            name, at, os.path.getsize(a[name]), os.path.getsize(b[name]))


class Torrent:
    """A torrent's bytes with what the tests ask about it."""

    def __init__(self, raw):
        self.raw = raw
        self.meta = bdecode(raw)
        self.info = self.meta[b"info"]
        self.info_raw = bencode(self.info)
        self.info_hash = hashlib.sha1(self.info_raw).digest()
        self.name = self.info[b"name"].decode()
        self.piece_length = self.info[b"piece length"]
        if b"files" in self.info:
            self.length = sum(f[b"length"] for f in self.info[b"files"])
        else:
            self.length = self.info.get(b"length", 0)
        self.piece_count = len(self.info.get(b"pieces", b"")) // 20

    @property
    def hex(self):
        return self.info_hash.hex()

    def piece_size(self, index):
        return min(self.piece_length,
                   self.length - index * self.piece_length)

    def save(self, path):
        return write_file(path, self.raw)


def read_content(path, names=None):
    """The torrent's payload as one byte string."""
    files = tree(path)
    return b"".join(read_file(files[name]) for name in names or files)


def make_torrent(path, announce=None, piece_length=65536, **more):
    """A v1 torrent of a file or folder.

    announce: a URL, or a list of tiers (lists of URLs), or None.
    more: info=dict of extra info keys, meta=dict of extra top keys,
    name=another name, order=the files in another order.
    """
    info = {"name": more.get("name") or os.path.basename(path),
            "piece length": piece_length}
    if os.path.isfile(path):
        info["length"] = os.path.getsize(path)
        content = read_content(path)
    else:
        names = more.get("order") or list_tree(path)
        info["files"] = [
            {"length": os.path.getsize(os.path.join(path, name)),
             "path": name.split("/")} for name in names]
        content = read_content(path, names)
    info["pieces"] = b"".join(
        hashlib.sha1(content[i:i + piece_length]).digest()
        for i in range(0, len(content), piece_length))
    info.update(more.get("info", {}))
    meta = {"info": info}
    if isinstance(announce, str):
        meta["announce"] = announce
    elif announce:
        meta["announce"] = announce[0][0]
        meta["announce-list"] = announce
    meta.update(more.get("meta", {}))
    return Torrent(bencode(meta))


def make_torrent_by_libtorrent(path, out, mode, announce=None):
    """mode is v1, v2 or hybrid; returns the file's path."""
    cmd = [SYSTEM_PYTHON, os.path.join(HERE, "lt_client.py"), "make",
           "--mode", mode, "--out", out, path]
    if announce:
        cmd += ["--announce", announce]
    subprocess.run(cmd, check=True, timeout=60, stdin=subprocess.DEVNULL)
    return out
