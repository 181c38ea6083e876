"""The encoding of README.md and the shapes of everything that is encoded, for check.py.

A type is a name, a number of bytes, or a tuple that begins with list, option, any
(alternatives) or all (a structure).
"""

MIB = 1 << 20


class Fail(Exception):
    """A class of failure."""


def need(condition, name):
    if not condition:
        raise Fail(name)


WIDTHS = {"u16": 16, "u32": 32, "u64": 64, "i16": 16, "i32": 32, "i64": 64}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        need(self.at + n <= len(self.data), "truncated")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, bits):
        first = self.take(1)[0]
        if first <= 250:
            return first
        need(first <= 253, "not-canonical")
        size = 2 << first - 251
        value = int.from_bytes(self.take(size), "little")
        least = 251 if size == 2 else 1 << 4 * size
        need(value >= least and value >> bits == 0, "not-canonical")
        return value

    def value(self, kind):
        if isinstance(kind, int):
            return self.take(kind)
        if kind in ("u8", "bool"):
            value = self.take(1)[0]
            need(kind == "u8" or value < 2, "not-canonical")
            return value if kind == "u8" else bool(value)
        if kind in WIDTHS:
            value = self.number(WIDTHS[kind])
            return value if kind[0] == "u" else (value >> 1) ^ -(value & 1)
        if kind in ("bytes", "text", "address"):
            return self.string(kind)
        if kind[0] == "list":
            return [self.value(kind[1]) for _ in range(self.number(64))]
        if kind[0] == "option":
            there = self.take(1)[0]
            need(there < 2, "not-canonical")
            return self.value(kind[1]) if there else None
        if kind[0] == "any":
            which = self.number(32)
            need(which < len(kind) - 1, "not-canonical")
            return (which, self.value(kind[which + 1]))
        return [self.value(part) for part in kind[1:]]

    def string(self, kind):
        data = self.take(self.number(64))
        if kind == "bytes":
            return data
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Fail("not-canonical")
        if kind == "address":
            fine = text.startswith("/") and all("!" <= c <= "~" for c in text) and len(text) <= 256
            need(fine, "not-canonical")
        return text


def decode(data, kind, limit=MIB):
    need(len(data) <= limit, "too-large")
    reader = Reader(data)
    value = reader.value(kind)
    need(reader.at == len(data), "not-canonical")
    return value


def number(n):
    if n <= 250:
        return bytes([n])
    size = 2 if n < 1 << 16 else 4 if n < 1 << 32 else 8
    return bytes([{2: 251, 4: 252, 8: 253}[size]]) + n.to_bytes(size, "little")


NOTHING = ("all",)
ROLE = ("any",) + (NOTHING,) * 3
SUBJECT = ("any", NOTHING, 16, 32)
PROOF = ("all", 32, 32, 64)
SEALED = ("all", 32, 24, "bytes")
CHAIN = ("all", 24, "bytes")
TWO = ("any", NOTHING, NOTHING)
KIND = ("any",) + (NOTHING,) * 3
POSITION = ("all", "u64", "u32", 32)
CUT = ("all", 32, ("list", POSITION))
SEALED_TO = ("all", TWO, 32, 32, 80)
DROP = ("all", 32, "u64", 8, "u32", "u32")
PLACE = ("all", "i32", "i32", ("option", "i32"))
CAPTURED = ("all", ("option", "i64"), ("option", "i16"), "u8")
PART = ("all", ("any",) + (NOTHING,) * 5, "text", "u64", 32, 32, "u32")
GENESIS = ("all", "u8", 32, 16, 32, 32, ("option", ("all", 32, 32)), "u64", ("option", 32))
ALBUM = ("all", "u8", 32, 16, 32, "u64", "bool")
ITEMS = ("all", ("list", 32))
OPS = {
    0x0001: ("all", TWO, "u16", CAPTURED, "u32", "u32", "u32", ("option", PLACE), ("option", ("all", "text", "text")), ("list", PART)),
    0x0002: ("all", 32, "u64", "u32", "u32", 32, 32, "bytes", "u32"),
    0x0003: ("all", 32, "u16", "bytes"),
    0x0004: ITEMS, 0x0005: ITEMS, 0x0006: ITEMS,
    0x0007: ("all", "u16", "bytes"),
    0x0008: ("all", 32, "text"),
    0x0009: ("all", 32, 32),
    0x000A: ("all", 32, "text", "bool"),
    0x000B: ("all", 32, "text"),
    0x000C: ("all", 32, "text", ("list", 32)),
    0x000D: ("all", 32, PART),
    0x0100: GENESIS,
    0x0101: ("all", 16, ROLE, ("option", PROOF)),
    0x0102: ("all", 16, ROLE), 0x0103: ("all", 16, ROLE),
    0x0104: ("all", 16, 32, 32, TWO, 64),
    0x0105: 32, 0x0106: 16,
    0x0107: ("all", 16, PROOF, ("option", ("all", 32, 64))),
    0x0108: 32,
    0x0109: ("all", SUBJECT, "u16", SEALED),
    0x010A: ("all", 32, ("any", NOTHING, "u64")),
    0x0120: ALBUM,
    0x0121: ("all", 16, ("any",) + (NOTHING,) * 4, ("list", CUT)),
    0x0122: ("option", ("list", 32)),
    0x0123: "u16",
    0x0124: NOTHING,
    0x0125: ("all", KIND, "u32", 32, ("list", 32), ("option", CHAIN), ("list", SEALED_TO)),
    0x0126: ("all", 32, ("list", SEALED_TO)),
    0x0127: CUT,
    0x0128: 32,
    0x0129: ("list", ("all", 32, 8, POSITION)),
    0x012A: ("all", ("list", DROP), "u64"),
    0x012B: POSITION,
}
HEADER = ("all", "u8", "u8", "u8", 16, 32, "u64", "u32", 32, "u64", "u32", 16, 32, 24, "u32", "u32",
          ("list", ("all", "u8", "u8", 32, "u64")), ("list", DROP), ("list", 32), 32)
ENTRY = ("all", "bytes", 64, "bytes")
INVITE_FOR = ("any", 16, ("all", 16, ROLE), NOTHING)
OFFER = ("all", 32, INVITE_FOR, "text", "text", "text", "text")
NEWCOMER = ("all", 32, "text", ("option", "text"))
MESSAGE = ("any", 32, ("all", 64, 64, ("option", PROOF)), NOTHING, "u64", NOTHING)
BEACON = ("all", 32, "u64", "u64", "u64", ("list", "address"), ("list", 32), "u8", "u64")
HEAD = ("all", 32, 16, "u64", 8, "u32", 32, "u64")
PART = ("all", "u32", "u32", 32)
MANIFEST = ("all", 32, "u64", ("option", 32), ("option", "u64"), "bool", ("list", PART), ("list", PART))
LOG_ROW = ("all", 32, "u64", 8, "u32", "u32", "bytes")
SPACE_ROWS = ("list", ("all", 16, ("list", 16), ("list", 32), ("list", LOG_ROW)))
PLACE_ROWS = ("list", ("all", 16, 16))
LOG_REF = ("all", "u16", "u64", 8)
LOG = ("all", 16, 32, "u64", 8)
FRAMES = {  # the message, and which of its lists has which limit
    1: (("all", "u16", "u64", ("any",) + (NOTHING,) * 4, "u64", "u32", ("option", 16), 16, ("option", 16)), None),
    2: (("all", PLACE_ROWS, "bool"), (0, 16384)),
    3: (("all", "u16", ("list", 32)), (1, 8192)),
    4: (("all", "u32", 16, ("list", ("all", LOG_REF, "u32", 8)), "bool"), (2, 16384)),
    5: (("all", "u32", "u32", ("list", ENTRY)), None),
    6: (("all", "u32", 16, ("list", LOG_REF)), (2, 64)),
    7: (("all", "u32"), None),
    8: (("all", "u64"), None),
    9: (("all", ENTRY), None),
    10: (("all", "u64"), None),
    11: (("all", "u8", ("option", 16), "bytes", 64), (2, 524288)),
    12: (("all", 16, 32), None),
    13: (("all", 16, 32, SEALED_TO), None),
    14: (("all", 16, ("list", DROP), "u64"), (1, 1024)),
    15: (("all", PLACE_ROWS, "bool"), (0, 16384)),
    16: (("all", ("list", 16)), (0, 16384)),
    17: (("all", 16, KIND, ("list", ("all", LOG_REF, "bytes"))), (2, 16384)),
    18: (("all", "bool"), None),
    19: (("all", "u8"), None),
}
ASK = ("all", "u32", ("all", LOG, "u32"), "u32", "u32")
REQUESTS = {1: ASK, 2: ("all", "u32", ("list", ("all", LOG, ("list", "u32")))), 3: ASK}
LINK = ("all", "u8", 16, 32, 16, ("list", "address"))
