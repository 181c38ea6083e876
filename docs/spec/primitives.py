"""The primitives of suite 1 in plain Python, for check.py: slow, and with nothing to install.

BLAKE3, ChaCha20-Poly1305 and XChaCha20-Poly1305, X25519, strict Ed25519, and
Noise as far as the specification uses it. Not for secrets: nothing here takes
constant time.
"""

import hashlib
import hmac
import struct

M = 0xFFFFFFFF


class WrongKey(Exception):
    """A tag that does not fit, or a shared secret of zeros."""


# BLAKE3

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
SCHEDULE = [tuple(range(16))]
for _ in range(6):
    SCHEDULE.append(tuple(SCHEDULE[-1][PERMUTATION[i]] for i in range(16)))
LANES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED, CONTEXT, MATERIAL = 1, 2, 4, 8, 16, 32, 64


def compress(cv, block, counter, length, flags):
    m = struct.unpack("<16I", block)
    v = list(cv) + list(IV[:4]) + [counter & M, counter >> 32, length, flags]
    for order in SCHEDULE:
        for lane, (a, b, c, d) in enumerate(LANES):
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb + m[order[2 * lane]]) & M
            vd ^= va
            vd = (vd >> 16 | vd << 16) & M
            vc = (vc + vd) & M
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & M
            va = (va + vb + m[order[2 * lane + 1]]) & M
            vd ^= va
            vd = (vd >> 8 | vd << 24) & M
            vc = (vc + vd) & M
            vb ^= vc
            v[a], v[b], v[c], v[d] = va, (vb >> 7 | vb << 25) & M, vc, vd
    return [v[i] ^ v[i + 8] for i in range(8)] + [v[i + 8] ^ cv[i] for i in range(8)]


class Node:
    """A chunk's last block or a parent, not yet compressed: as a root or as a child."""

    def __init__(self, cv, block, counter, length, flags):
        self.parts = (cv, block, counter, length, flags)

    def value(self):
        return compress(*self.parts)[:8]

    def root(self, n):
        cv, block, _, length, flags = self.parts
        blocks = (compress(cv, block, at, length, flags | ROOT) for at in range((n + 63) // 64))
        return b"".join(struct.pack("<16I", *words) for words in blocks)[:n]


def chunk(key, data, counter, flags):
    cv = key
    blocks = [data[at:at + 64] for at in range(0, len(data), 64)] or [b""]
    for at, block in enumerate(blocks):
        mine = flags | (CHUNK_START if at == 0 else 0)
        if at == len(blocks) - 1:
            return Node(cv, block.ljust(64, b"\0"), counter, len(block), mine | CHUNK_END)
        cv = compress(cv, block, counter, 64, mine)[:8]


def parent(key, left, right, flags):
    return Node(key, struct.pack("<16I", *left, *right), 0, 64, flags | PARENT)


def left_part(count):
    """The largest power of two that leaves at least one."""
    return 1 << ((count - 1).bit_length() - 1)


def tree(key, data, counter, flags):
    """The subtree of data whose first chunk has this number."""
    chunks = max(1, (len(data) + 1023) // 1024)
    if chunks == 1:
        return chunk(key, data, counter, flags)
    left = left_part(chunks)
    return parent(key, tree(key, data[:1024 * left], counter, flags).value(),
                  tree(key, data[1024 * left:], counter + left, flags).value(), flags)


def words_of(key):
    return struct.unpack("<8I", key)


def blake3(data, n=32):
    return tree(IV, data, 0, 0).root(n)


def blake3_keyed(key, data, n=32):
    return tree(words_of(key), data, 0, KEYED).root(n)


def blake3_derive(context, material):
    key = tree(IV, context.encode(), 0, CONTEXT).root(32)
    return tree(words_of(key), material, 0, MATERIAL).root(32)


# ChaCha20-Poly1305 and XChaCha20-Poly1305

QUARTERS = LANES  # the same columns and diagonals
SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def chacha_rounds(state):
    v = list(state)
    for _ in range(10):
        for a, b, c, d in QUARTERS:
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb) & M
            vd ^= va
            vd = (vd << 16 | vd >> 16) & M
            vc = (vc + vd) & M
            vb ^= vc
            vb = (vb << 12 | vb >> 20) & M
            va = (va + vb) & M
            vd ^= va
            vd = (vd << 8 | vd >> 24) & M
            vc = (vc + vd) & M
            vb ^= vc
            v[a], v[b], v[c], v[d] = va, (vb << 7 | vb >> 25) & M, vc, vd
    return v


def chacha(key, nonce, counter, data):
    start = SIGMA + struct.unpack("<8I", key)
    tail = struct.unpack("<3I", nonce)
    out = bytearray()
    for at in range(0, len(data), 64):
        state = start + (counter + at // 64,) + tail
        mixed = chacha_rounds(state)
        stream = struct.pack("<16I", *((a + b) & M for a, b in zip(mixed, state)))
        piece = data[at:at + 64]
        out += (int.from_bytes(piece, "little") ^ int.from_bytes(stream[:len(piece)], "little")).to_bytes(len(piece), "little")
    return bytes(out)


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at:at + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return (total + int.from_bytes(key[16:], "little") & (1 << 128) - 1).to_bytes(16, "little")


def tag_of(key, nonce, aad, sealed):
    padded = b"".join(part + bytes(-len(part) % 16) for part in (aad, sealed))
    one_time = chacha(key, nonce, 0, bytes(32))
    return poly1305(one_time, padded + struct.pack("<QQ", len(aad), len(sealed)))


def aead_seal(key, nonce, aad, plain):
    sealed = chacha(key, nonce, 1, plain)
    return sealed + tag_of(key, nonce, aad, sealed)


def aead_open(key, nonce, aad, data):
    sealed, tag = data[:-16], data[-16:]
    if len(data) < 16 or tag_of(key, nonce, aad, sealed) != tag:
        raise WrongKey
    return chacha(key, nonce, 1, sealed)


def xaead_open(key, nonce, aad, data):
    mixed = chacha_rounds(SIGMA + struct.unpack("<8I", key) + struct.unpack("<4I", nonce[:16]))
    return aead_open(struct.pack("<8I", *mixed[:4], *mixed[12:]), bytes(4) + nonce[16:], aad, data)


# X25519 and Ed25519

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def x25519_public(secret):
    return x25519_raw(secret, (9).to_bytes(32, "little"))


def x25519(secret, public):
    shared = x25519_raw(secret, public)
    if shared == bytes(32):
        raise WrongKey
    return shared


def x25519_raw(secret, public):
    k = int.from_bytes(secret, "little") & (1 << 255) - 8 & ~(1 << 255) | 1 << 254
    x1 = int.from_bytes(public, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for at in reversed(range(255)):
        bit = k >> at & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        e = aa - bb
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p, n = add(p, p), n >> 1
    return q


def encode_point(p):
    z = pow(p[2], P - 2, P)
    x, y = p[0] * z % P, p[1] * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode_point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - xx) % P or x == 0 and sign:
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decode_point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def small(p):
    x, _, z, _ = q = times(8, p)
    return x == 0 and (q[1] - z) % P == 0


def ed25519_scalar(seed):
    h = hashlib.sha512(seed).digest()
    return int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254


def ed25519_public(seed):
    return encode_point(times(ed25519_scalar(seed), BASE))


def ed25519_sign(seed, message):
    a, public = ed25519_scalar(seed), ed25519_public(seed)
    prefix = hashlib.sha512(seed).digest()[32:]
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % ORDER
    encoded = encode_point(times(r, BASE))
    k = int.from_bytes(hashlib.sha512(encoded + public + message).digest(), "little")
    return encoded + ((r + k * a) % ORDER).to_bytes(32, "little")


def ed25519_verify(public, message, signature):
    """Strict: canonical S, no small order, no cofactor."""
    s = int.from_bytes(signature[32:], "little")
    a, r = decode_point(public), decode_point(signature[:32])
    if s >= ORDER or a is None or r is None or small(a) or small(r):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    minus = (P - a[0], a[1], 1, P - a[3])
    return encode_point(add(times(s, BASE), times(k, minus))) == signature[:32]


# Noise, revision 34, with 25519, ChaChaPoly and BLAKE2s


def blake2s(data):
    return hashlib.blake2s(data).digest()


class Noise:
    """The symmetric state of a handshake, then the two ciphers."""

    def __init__(self, name, prologue):
        self.h = name.encode() if len(name) <= 32 else blake2s(name.encode())
        self.h = self.h.ljust(32, b"\0")
        self.ck, self.k, self.n = self.h, None, 0
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.h = blake2s(self.h + data)

    def hkdf(self, data, count):
        seed, out = hmac.digest(self.ck, data, "blake2s"), [b""]
        for at in range(1, count + 1):
            out.append(hmac.digest(seed, out[-1] + bytes([at]), "blake2s"))
        return out[1:]

    def mix_key(self, data):
        (self.ck, self.k), self.n = self.hkdf(data, 2), 0

    def mix_key_and_hash(self, data):
        (self.ck, middle, self.k), self.n = self.hkdf(data, 3), 0
        self.mix_hash(middle)

    def seal(self, plain):
        sealed = plain if self.k is None else aead_seal(self.k, nonce_of(self.n), self.h, plain)
        self.n += 1
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        plain = sealed if self.k is None else aead_open(self.k, nonce_of(self.n), self.h, sealed)
        self.n += 1
        self.mix_hash(sealed)
        return plain

    def split(self):
        return self.hkdf(b"", 2)


def nonce_of(n):
    return bytes(4) + struct.pack("<Q", n)
