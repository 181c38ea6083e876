#!/usr/bin/env python3
"""Checks every vector under tests/vectors against the text of this folder.

    python3 docs/spec/check.py [--quick] [PART OF A PATH ..]

Written from the specification, not from the program. Needs Python 3.11 and
nothing else. Prints counts; exits 1 if a vector is not what it says. Takes half
a minute; --quick takes one in twenty of the resolver's histories.
"""

import base64
import hashlib
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True

import primitives as p
import resolver
from shapes import (
    ALBUM, BEACON, CHAIN, ENTRY, FRAMES, GENESIS, HEAD, HEADER, LINK, MANIFEST, MESSAGE, MIB, NEWCOMER, OFFER,
    OPS, PROOF, REQUESTS, ROLE, SEALED, SPACE_ROWS, SUBJECT, Fail, Reader, decode, need, number,
)

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent.parent / "tests" / "vectors"
WORDS = (HERE / "words.txt").read_text().split()


class Case(dict):
    """A vector: its fields as text, and ways to read them."""

    def hex(self, name):
        return bytes.fromhex(self[name])

    def int(self, name):
        return int(self[name])


def same(data, computed):
    need(len(data) >= len(computed), "truncated")
    need(len(data) <= len(computed), "not-canonical")
    need(data == computed, "bad-chain")


def derive(purpose, material):
    return p.blake3_derive("heirloom 2026 v1 " + purpose, material)


def signed(label, family, signer, message, signature):
    need(p.ed25519_verify(signer, label.encode() + family + message, signature), "bad-signature")


def fixed(value, size):
    return int(value).to_bytes(size, "big")


def rng(seed, n):
    return p.blake3_keyed(seed, b"", n)


def entropy(text, count):
    typed, word = [], ""
    for c in text + " ":
        if c.isalpha():
            word += c
        elif word:
            typed.append(word.lower())
            word = ""
    need(len(typed) == count, "truncated")
    bits = 0
    for word in typed:
        found = [word] if word in WORDS else [w for w in WORDS if len(word) >= 4 and w.startswith(word)]
        need(len(found) == 1, "not-canonical")
        bits = bits << 11 | WORDS.index(found[0])
    check = count // 3
    data = (bits >> check).to_bytes(count // 3 * 4, "big")
    need(hashlib.sha256(data).digest()[0] >> 8 - check == bits & (1 << check) - 1, "bad-chain")
    return data


def phrase(h, n):
    bits = int.from_bytes(h, "big")
    return " ".join(WORDS[bits >> 256 - 11 * (i + 1) & 2047] for i in range(n))


# One function for each check.


def value(c, data):
    kinds = {"list u32": ("list", "u32"), "option u16": ("option", "u16"), "role": ROLE}
    kind = c["type"]
    v = decode(data, kinds.get(kind, kind), c.int("limit") if "limit" in c else MIB)
    shown = {"bool": str(v).lower(), "text": f'"{v}"', "option u16": f"Some({v})", "role": ("Viewer", "Member", "Admin")[v[0]] if kind == "role" else ""}
    need(c["value"] == shown.get(kind, str(v)), "bad-chain")


def genesis(c, data):
    need(decode(data, GENESIS)[6] == c.int("created"), "bad-chain")
    need(p.blake3(data) == c.hex("family"), "bad-chain")


def signature(c, data):
    signed(c["label"], c.hex("family"), c.hex("signer"), c.hex("message"), decode(data, 64))


def consent(c, data):
    message = c.hex("person") + c.hex("device") + c.hex("seal") + fixed(c["kind"], 1)
    signed("heirloom/device/v1", c.hex("family"), c.hex("device"), message, decode(data, 64))


def kit_proof(c, data):
    sign, seal, proof = decode(data, PROOF)
    signed("heirloom/recovery/v1", c.hex("family"), sign, c.hex("person") + sign + seal, proof)


def cosign(c, data):
    message = b"".join(c.hex(name) for name in ("author", "prev", "person", "kit sign", "kit seal"))
    signed("heirloom/cosign/v1", c.hex("family"), c.hex("cosigner"), message, decode(data, 64))


def kit(c, data):
    secret = entropy(c["words"], 24)
    same(data, secret)
    need(p.ed25519_public(derive("recovery sign", secret)) == c.hex("sign"), "bad-chain")
    need(p.x25519_public(derive("recovery seal", secret)) == c.hex("seal"), "bad-chain")


def family_words(c, data):
    need(phrase(derive("family words", c.hex("family") + data), 8) == c["words"], "bad-chain")


def derived(c, data):
    same(data, derive(c["purpose"], c.hex("material")))


def rng_bytes(c, data):
    same(data, rng(c.hex("rng"), c.int("length")))


def epoch_name(c):
    return c.hex("space") + fixed(c["kind"], 1) + fixed(c["generation"], 4) + c.hex("minter")


def epoch_id(c, data):
    same(data, derive("epoch id", c.hex("key") + epoch_name(c)))


def body_key(key, space, device, incarnation):
    return derive("body key", key + space + device + fixed(incarnation, 8))


def epoch_keys(c, data):
    key = c.hex("key")
    body = body_key(key, c.hex("space"), c.hex("device"), c.int("incarnation"))
    same(data, body + derive("value key", key) + derive("epoch chain key", key))


def body(c, data):
    need(p.xaead_open(c.hex("key"), c.hex("nonce"), c.hex("associated data"), data) == c.hex("plain"), "bad-chain")


def sealed_value(c, data):
    epoch, nonce, ciphertext = decode(data, SEALED)
    need(epoch == c.hex("epoch"), "wrong-key")
    aad = c.hex("space") + c.hex("author") + number(0x0109) + number(c.int("field")) + c.hex("subject")
    decode(c.hex("subject"), SUBJECT)
    plain = p.xaead_open(derive("value key", c.hex("key")), nonce, aad, ciphertext)
    need(plain == c.hex("plain"), "bad-chain")


def chain(c, data):
    nonce, ciphertext = decode(data, CHAIN)
    plain = p.xaead_open(derive("epoch chain key", c.hex("key")), nonce, c.hex("epoch"), ciphertext)
    older = decode(plain, ("list", ("all", 32, 32)))
    need(b"".join(epoch + key for epoch, key in older) == c.hex("older"), "bad-chain")


def noise_n(c, public):
    prologue = c.hex("family") + b"\1" + c.hex("space") + fixed(c["kind"], 1) + fixed(c["generation"], 4) \
        + c.hex("epoch") + fixed(c["recipient kind"], 1) + c.hex("recipient") + c.hex("certificate") + c.hex("author")
    assert len(prologue) == 183
    noise = p.Noise("Noise_N_25519_ChaChaPoly_BLAKE2s", prologue)
    noise.mix_hash(public)
    return noise


def ephemeral(seed):
    """A pair from the second generator: the private half and the public one."""
    secret = rng(seed, 32)
    return secret, p.x25519_public(secret)


def seal_box(c, data):
    decode(data, 80)
    secret = c.hex("secret")
    noise = noise_n(c, p.x25519_public(secret))
    noise.mix_hash(data[:32])
    noise.mix_key(p.x25519(secret, data[:32]))
    key = noise.open(data[32:])
    need(derive("epoch id", key + epoch_name(c)) == c.hex("epoch"), "wrong-key")
    need(key == c.hex("key"), "bad-chain")
    private, public = ephemeral(rng(c.hex("rng"), 32))
    again = noise_n(c, p.x25519_public(secret))
    again.mix_hash(public)
    again.mix_key(p.x25519(private, p.x25519_public(secret)))
    need(public + again.seal(key) == data, "bad-chain")


SEGMENT, LEAF, PADDED_BYTES, BLOB_BYTES = 65520, 65536, (1 << 24) * 65520, 1 << 40


def padded_of(cls, n):
    for bucket in (8192, 16384, 32768, 65536):
        if cls == 2 and n <= bucket - 16:
            return bucket - 16
    if n < 2:
        return n
    e = n.bit_length() - 1
    step = 1 << e - (e.bit_length() - 1 + 1)
    return -(-n // step) * step


def segments(padded):
    return max(1, -(-padded // SEGMENT))


def padding(c, _):
    length = c.int("length")
    need(length <= PADDED_BYTES, "too-large")
    padded = padded_of(c.int("class"), length)
    found = (padded, segments(padded), padded + 16 * segments(padded))
    need(found == (c.int("padded"), c.int("segments"), c.int("ciphertext")), "bad-chain")


def shape(c):
    padded, length = c.int("padded"), c.int("length")
    need(padded <= PADDED_BYTES, "too-large")
    need(length <= padded, "not-canonical")
    aad = b"\1" + fixed(c["part"], 1) + fixed(c["class"], 1) + fixed(padded, 8) + fixed(length, 8)
    return padded, length, aad


def nonce_of(index, padded):
    return fixed(index, 8) + fixed(index + 1 == segments(padded), 4)


def blob(c, data):
    padded, length, aad = shape(c)
    size = padded + 16 * segments(padded)
    need(len(data) >= size, "truncated")
    need(len(data) <= size, "not-canonical")
    plain = b""
    for index in range(segments(padded)):
        leaf = data[index * LEAF:(index + 1) * LEAF]
        plain += p.aead_open(c.hex("key"), nonce_of(index, padded), aad, leaf)
    need(not any(plain[length:]), "wrong-key")
    need(plain[:length] == c.hex("plain"), "bad-chain")


def leaf_values(data):
    if len(data) <= LEAF:
        return []
    return [p.tree(p.IV, data[at:at + LEAF], at // 1024, 0).value() for at in range(0, len(data), LEAF)]


def merged(values):
    """The node over two or more chaining values."""
    left = p.left_part(len(values))
    halves = [part[0] if len(part) == 1 else merged(part).value() for part in (values[:left], values[left:])]
    return p.parent(p.IV, *halves, 0)


def joined(values):
    return b"".join(word.to_bytes(4, "little") for value in values for word in value)


ENCRYPTED = {}


def encrypted(key, seed, padded, length, aad):
    """The drawn plaintext's hash, and id and leaves of what it is encrypted to."""
    if (asked := (key, seed, aad)) not in ENCRYPTED:
        drawn = rng(seed, length)
        plain = drawn + bytes(padded - length)
        pieces = (p.aead_seal(key, nonce_of(i, padded), aad, plain[i * SEGMENT:(i + 1) * SEGMENT]) for i in range(segments(padded)))
        sealed = b"".join(pieces)
        ENCRYPTED[asked] = p.blake3(drawn), p.blake3(sealed), joined(leaf_values(sealed))
    return ENCRYPTED[asked]


def blob_id(c, data):
    padded, length, aad = shape(c)
    plain_hash, blob, leaves = encrypted(c.hex("key"), c.hex("plain rng"), padded, length, aad)
    need(blob == c.hex("blob") and plain_hash == c.hex("plain hash"), "bad-chain")
    same(data, leaves)


def leaf_list(c, data):
    length = c.int("length")
    need(0 < length <= BLOB_BYTES, "too-large")
    lines = 0 if length <= LEAF else -(-length // LEAF)
    need(len(data) >= 32 * lines, "truncated")
    need(len(data) <= 32 * lines, "not-canonical")
    if lines:
        values = [p.words_of(data[at:at + 32]) for at in range(0, len(data), 32)]
        need(merged(values).root(32) == c.hex("blob"), "bad-chain")


def first_prev_of(space, device, incarnation, certificate):
    return p.blake3(b"heirloom first entry v1" + space + device + incarnation.to_bytes(8, "little") + certificate)


def first_prev(c, data):
    same(data, first_prev_of(c.hex("space"), c.hex("device"), c.int("incarnation"), c.hex("certificate")))


def op_id(c, data):
    same(data, p.blake3(c.hex("entry") + c.int("index").to_bytes(4, "little")))


def op(c, data):
    decode(data, OPS[int(c["tag"], 16)])


def effects(data):
    """The ops of a body by their effect: a tag, unknown or none."""
    listed = decode(data, ("list", ("all", "u16", "bytes")), 262144)
    need(len(listed) <= 512, "too-large")
    out = []
    for tag, bytes_ in listed:
        try:
            decode(bytes_, OPS[tag])
            out.append(f"{tag:04x}")
        except KeyError:
            out.append("unknown")
        except Fail:
            out.append("none")
    return " ".join(out)


def ops(c, data):
    need(effects(data) == c["effects"], "bad-chain")


def entry(c, data):
    header, sig, body = decode(data, ENTRY)
    need(len(header) + 64 + len(body) <= 262144, "too-large")
    need(header[:2] == b"\1\1", "unknown-version")
    (_, _, flags, space, device, inc, seq, prev, _, _, _, epoch, nonce, _, _, blobs, drops, deps, body_hash) = decode(header, HEADER)
    need(len(blobs) <= 1024 and len(drops) <= 1024 and len(deps) <= 64, "too-large")
    clear = not any(epoch + nonce) and not blobs and not drops
    need(flags in (0, 1) and (clear if flags else not deps), "not-canonical")
    need(all(cls <= 2 and padded <= BLOB_BYTES for _, cls, _, padded in blobs), "not-canonical")
    signed("heirloom/entry/v1", c.hex("family"), device, header, sig)
    need(p.blake3(body) == body_hash, "bad-chain")
    need(p.blake3(header) == c.hex("id"), "bad-chain")
    if "certificate" in c:
        assert seq == 0
        need(first_prev_of(space, device, inc, c.hex("certificate")) == prev, "not-a-member")
    if not flags:
        body = p.xaead_open(body_key(c.hex("key"), space, device, inc), nonce, header[:-32], body)
    need(effects(body) == c["ops"], "bad-chain")


def stamp(c, data):
    found = decode(data, "u64")
    need(max(c.int("clock") << 16, c.int("last") + 1) == found, "bad-chain")
    need(found >> 16 == c.int("milliseconds"), "bad-chain")
    need(str(found >> 16 > c.int("reader clock") + 600000).lower() == c["held"], "bad-chain")


def heads_digest(c, data):
    heads = c.hex("heads")
    same(data, p.blake3(b"".join(sorted(heads[at:at + 32] for at in range(0, len(heads), 32))))[:16])


def album(c, data):
    decode(data, ALBUM)
    need(p.blake3(data)[:16] == c.hex("album"), "bad-chain")


def invite_words(c, data):
    same(data, entropy(c["words"], 12))


def invite_link(c, data):
    text = c["link"]
    need(len(text) <= 8192, "too-large")
    code = "".join(text.strip()[len("heirloom:join/"):].split())
    try:
        raw = base64.b64decode(code + "=" * (-len(code) % 4), b"-_", validate=True)
    except ValueError:
        raise Fail("bad-chain")
    canonical = base64.urlsafe_b64encode(raw).decode().rstrip("=") == code
    need(canonical and p.blake3(raw[:-4])[:4] == raw[-4:], "bad-chain")
    need(raw[0] <= 1, "unknown-version")
    try:
        _, family, inviter, secret, addrs = decode(raw[:-4], LINK)
    except Fail:
        raise Fail("bad-chain")
    need((family, inviter) == (c.hex("family"), c.hex("inviter")) and " ".join(addrs) == c["addresses"] and len(addrs) <= 16, "bad-chain")
    same(data, secret)


def invite_keys(c, data):
    secret = c.hex("secret")
    guest = p.ed25519_public(derive("invite guest", secret))
    same(data, derive("invite id", secret)[:8] + derive("invite psk", secret) + guest + derive("invite tag key", secret))


def commitment(c, data):
    same(data, derive("pair commit", fixed(c["side"], 1) + c.hex("nonce")))


def pairing_words(c, data):
    need(phrase(derive("pair words", data), 4) == c["words"], "bad-chain")


class Side:
    """One end of a pairing: keys, nonce, and the Noise state."""

    def __init__(self, c, who):
        self.sign, self.seal = c.hex(who + " sign secret"), c.hex(who + " seal secret")
        draws = rng(c.hex(who + " rng"), 64)
        self.nonce, (self.e, self.public) = draws[:32], ephemeral(draws[32:])
        secret = c.hex("secret")
        # The joiner's own guest follows from the code; the inviter is told who is connected.
        guest = p.ed25519_public(derive("invite guest", secret)) if who == "joiner" else c.hex("outer joiner")
        inviter = c.hex("outer inviter") if who == "joiner" else p.ed25519_public(self.sign)
        self.id = derive("invite id", secret)[:8]
        self.noise = p.Noise("Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s", b"heirloom/pair/v1" + self.id + guest + inviter)
        self.noise.mix_key_and_hash(derive("invite psk", secret))
        self.commitment = derive("pair commit", fixed(who == "joiner", 1) + self.nonce)

    def mix_public(self, public):
        self.noise.mix_hash(public)
        self.noise.mix_key(public)


def transport(keys, counters, side, plain=None, frame=None):
    """Seals or opens the next message of a side, 0 the joiner."""
    nonce = p.nonce_of(counters[side])
    counters[side] += 1
    return p.aead_seal(keys[side], nonce, b"", plain) if frame is None else p.aead_open(keys[side], nonce, b"", frame)


def pairing(c, data):
    frames = decode(data, ("list", "bytes"))
    need(len(frames) >= 8, "truncated")
    joiner, inviter = Side(c, "joiner"), Side(c, "inviter")
    j, i = joiner.noise, inviter.noise
    # 1: -> psk, e. With a pre-shared key an ephemeral public key is mixed into the key as well.
    need(frames[0][:8] == inviter.id, "wrong-key")
    e = frames[0][8:40]
    joiner.mix_public(joiner.public), inviter.mix_public(e)
    need(i.open(frames[0][40:]) == b"" and j.seal(b"") == frames[0][40:], "wrong-key")
    # 2: <- e, ee, s, es
    offer, at = c.hex("offer"), frames[1]
    joiner.mix_public(at[:32]), inviter.mix_public(inviter.public)
    i.mix_key(p.x25519(inviter.e, e)), j.mix_key(p.x25519(joiner.e, at[:32]))
    s_inviter = j.open(at[32:80])
    need(i.seal(p.x25519_public(inviter.seal)) == at[32:80], "wrong-key")
    i.mix_key(p.x25519(inviter.seal, e)), j.mix_key(p.x25519(joiner.e, s_inviter))
    need(j.open(at[80:]) == offer + inviter.commitment and i.seal(offer + inviter.commitment) == at[80:], "wrong-key")
    family, (which, about), *_ = decode(offer, OFFER)
    # 3: -> s, se
    at = frames[2]
    s_joiner = i.open(at[:48])
    need(j.seal(p.x25519_public(joiner.seal)) == at[:48], "wrong-key")
    i.mix_key(p.x25519(inviter.e, s_joiner)), j.mix_key(p.x25519(joiner.seal, inviter.public))
    third = i.open(at[48:])
    newcomer, committed = decode(third, ("all", NEWCOMER, 32))
    name = c["person name"] if which == 1 else None
    need(newcomer == [p.ed25519_public(joiner.sign), c["device name"], name] and committed == joiner.commitment, "bad-chain")
    # Both know h; what follows are transport messages, 0 the joiner's.
    h, keys, counters = i.h, i.split(), [0, 0]
    need(decode(transport(keys, counters, 1, frame=frames[3])[1:], MESSAGE) == (0, inviter.nonce), "wrong-key")
    need(decode(transport(keys, counters, 0, frame=frames[4])[1:], MESSAGE) == (0, joiner.nonce), "wrong-key")
    need(phrase(derive("pair words", h + inviter.nonce + joiner.nonce), 4) == c["words"], "bad-chain")
    consented = transport(keys, counters, 0, frame=frames[5])
    kind, (device_sig, pair_sig, proof) = decode(consented[1:], MESSAGE)
    need(kind == 1 and consented[0] == 0, "wrong-key")
    person = {0: lambda: about, 1: lambda: about[0], 2: lambda: bytes(16)}[which]()
    signed("heirloom/device/v1", family, newcomer[0], person + newcomer[0] + s_joiner + fixed(which == 2, 1), device_sig)
    signed("heirloom/pair/v1", family, newcomer[0], h, pair_sig)
    need((proof is not None) == ("kit words" in c) and (which == 1 or not proof), "bad-chain")
    if proof:
        signed("heirloom/recovery/v1", family, proof[0], person + proof[0] + proof[1], proof[2])
        secret = entropy(c["kit words"], 24)
        need(proof[0] == p.ed25519_public(derive("recovery sign", secret)), "bad-chain")
    begun = decode(transport(keys, counters, 1, frame=frames[6])[1:], MESSAGE)
    need(begun == (3, len(c.hex("payload"))), "wrong-key")
    received, rest = b"", frames[7:]
    while len(received) < begun[1]:
        need(rest, "truncated")
        piece = transport(keys, counters, 1, frame=rest.pop(0))
        need(piece[0] == 1, "wrong-key")
        received += piece[1:]
    need(received == c.hex("payload"), "bad-chain")
    need(rest, "truncated")
    need(decode(transport(keys, counters, 0, frame=rest[0])[1:], MESSAGE) == (4, []), "wrong-key")


def tag(c, data):
    purpose, label = {"member": ("net", b"mdns"), "invite": ("invite", b"pair"), "kit": ("kit", b"kit")}[c["for"]]
    who = c.hex("device") if c["for"] == "member" else b""
    message = label + who + c.hex("nonce") + fixed(c["port"], 2)
    same(data, p.blake3_keyed(derive(purpose + " tag key", c.hex("key")), message)[:16])


def txt(c, data):
    for name, digits in (("n", 16), ("t", 32)):
        need(len(c[name]) == digits and all(d in "0123456789abcdef" for d in c[name]), "not-canonical")
    same(data, c.hex("n") + c.hex("t"))


def statement(c, data, label, kind, limit):
    value, sig = decode(data, ("all", "bytes", 64))
    fields = decode(value, kind, limit)
    need(label != "beacon" or len(fields[4]) <= 16 and len(fields[5]) <= 8, "too-large")
    if label == "manifest":
        need(all(part[1] <= 8388608 for part in fields[5]) and all(part[1] <= MIB for part in fields[6]), "too-large")
    signed(f"heirloom/{label}/v1", c.hex("family"), fields[0], value, sig)
    need(fields[0] == c.hex("signer"), "bad-chain")
    return fields


def beacon(c, data):
    need(" ".join(statement(c, data, "beacon", BEACON, 6144)[4]) == c["addresses"], "bad-chain")


def head(c, data):
    statement(c, data, "head", HEAD, 256)


def manifest(c, data):
    fields = statement(c, data, "manifest", MANIFEST, 524288)
    need(" ".join(str(part[0]) for part in fields[5] + fields[6]) == c["numbers"], "bad-chain")


def carried_list(c, data):
    rows = decode(data, SPACE_ROWS, MIB)
    logs = [log for row in rows for log in row[3]]
    need(all(log[3] <= log[4] and len(log[5]) <= 532480 for log in logs), "too-large")
    ranges = [[logs[0][3], logs[0][4]]] + runs_of(roaring(logs[0][5]))
    need(" ".join(f"{a}-{b}" for a, b in ranges) == c["ranges"], "bad-chain")


def after_length(data, least, most):
    need(len(data) >= 4, "truncated")
    length = int.from_bytes(data[:4], "little")
    need(least <= length <= most, "too-large")
    need(len(data) >= 4 + length, "truncated")
    need(len(data) == 4 + length, "not-canonical")
    return int.from_bytes(data[4:6], "little"), data[6:]


def frame(c, data):
    tag, body = after_length(data, 2, MIB)
    need(tag == c.int("tag"), "bad-chain")
    if tag not in FRAMES:
        return need(c["known"] == "no", "bad-chain")
    kind, limit = FRAMES[tag]
    fields = decode(body, kind)
    need(limit is None or len(fields[limit[0]]) <= limit[1], "too-large")
    entries = {5: lambda: fields[2], 9: lambda: fields}.get(tag, list)()
    most = 262144 if tag == 5 else 32768
    need(all(len(header) + 64 + len(body) <= most for header, _, body in entries), "too-large")


def request(c, data):
    tag, body = after_length(data, 2, 16384)
    if tag not in REQUESTS:
        return need(Reader(body).number(32) == c.int("id"), "bad-chain")
    fields = decode(body, REQUESTS[tag])
    count = sum(len(ordinals) for _, ordinals in fields[1]) if tag == 2 else fields[3]
    need(0 < count <= {1: 16, 2: 64, 3: 8192}[tag], "too-large")
    need(fields[0] == c.int("id"), "bad-chain")


def answer(c, data):
    need(len(data) >= 14, "truncated")
    tag, rest = after_length(data, 10, 262144 + 10)
    kind = {1: "data", 2: "leaves", 3: "gone"}.get(tag, "unknown")
    index = int.from_bytes(rest[4:8], "little")
    need((kind, int.from_bytes(rest[:4], "little"), index) == (c["kind"], c.int("id"), c.int("index")), "bad-chain")


def roaring(data):
    """The ordinals of a bitmap in the portable format."""
    at = 0

    def take(size):
        nonlocal at
        need(at + size <= len(data), "not-canonical")
        at += size
        return data[at - size:at]

    def short():
        return int.from_bytes(take(2), "little")

    cookie = int.from_bytes(take(4), "little")
    need(cookie == 12346 or cookie & 0xFFFF == 12347, "not-canonical")
    with_runs = cookie != 12346
    count = (cookie >> 16) + 1 if with_runs else int.from_bytes(take(4), "little")
    run_bits = int.from_bytes(take((count + 7) // 8), "little") if with_runs else 0
    keys = [(short(), short() + 1) for _ in range(count)]
    if not with_runs or count >= 4:
        take(4 * count)
    ordinals = []
    for place, (key, size) in enumerate(keys):
        if run_bits >> place & 1:
            runs = [(short(), short()) for _ in range(short())]
            values = [first + n for first, more in runs for n in range(more + 1)]
        elif size > 4096:
            bits = int.from_bytes(take(8192), "little")
            values = [n for n in range(65536) if bits >> n & 1]
        else:
            values = [short() for _ in range(size)]
        ordinals += [key << 16 | value for value in values]
    need(at == len(data), "not-canonical")
    return ordinals


def runs_of(ordinals):
    runs = []
    for n in ordinals:
        if runs and runs[-1][1] == n - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return runs


def bitmap(c, data):
    need(len(data) <= 532480, "too-large")
    ordinals = roaring(data)
    need(not ordinals or ordinals[-1] < 1 << 24, "too-large")
    need(" ".join(f"{a}-{b}" for a, b in runs_of(ordinals)) == c["runs"], "bad-chain")


def pieces(data, size):
    return [data[at:at + size] for at in range(0, len(data), size)]


def heads(c, data):
    same(data, p.blake3(b"heirloom heads v1" + b"".join(sorted(pieces(c.hex("heads"), 84))))[:16])


def spaces(c, data):
    same(data, p.blake3(b"heirloom spaces v1" + b"".join(sorted(pieces(c.hex("rows"), 32))))[:16])


def have(c, data):
    message = b"heirloom have v1"
    for log, bits in sorted(zip(pieces(c.hex("logs"), 48), c["bitmaps"].split(" "))):
        message += log + b"".join(fixed(a, 4) + fixed(b, 4) for a, b in runs_of(roaring(bytes.fromhex(bits)))) + b"\xff" * 4 + bytes(4)
    same(data, p.blake3(message)[:16])


CHECKS = {
    "value": value, "genesis": genesis, "signature": signature, "consent": consent, "kit proof": kit_proof,
    "cosign": cosign, "kit": kit, "family words": family_words, "derive": derived, "rng": rng_bytes,
    "epoch id": epoch_id, "epoch keys": epoch_keys, "body": body, "sealed value": sealed_value, "chain": chain,
    "seal box": seal_box, "padding": padding, "blob": blob, "blob id": blob_id, "leaves": leaf_list,
    "first prev": first_prev, "op id": op_id, "op": op, "ops": ops, "entry": entry, "stamp": stamp,
    "heads digest": heads_digest, "album": album, "invite words": invite_words, "invite link": invite_link,
    "invite keys": invite_keys, "commitment": commitment, "pairing words": pairing_words, "pairing": pairing,
    "tag": tag, "txt": txt, "beacon": beacon, "head": head, "manifest": manifest,
    "list": carried_list, "frame": frame, "request": request,
    "answer": answer, "bitmap": bitmap, "heads": heads, "spaces": spaces, "have": have,
}


def outcome(case):
    try:
        CHECKS[case["check"]](case, case.hex("bytes"))
    except Fail as failure:
        return str(failure)
    except p.WrongKey:
        return "wrong-key"
    return "ok"


def main(arguments):
    begin = time.time()
    wanted = [a for a in arguments if not a.startswith("--")]
    count, broken = {}, []
    for path in sorted(VECTORS.glob("*/*.txt")):
        name = str(path.relative_to(VECTORS))
        if path.parent.name == "resolver" or wanted and not any(part in name for part in wanted):
            continue
        lines = (line.partition(":") for line in path.read_text().splitlines())
        case = Case((key, text.removeprefix(" ")) for key, _, text in lines)
        found = outcome(case)
        count[case["expect"]] = count.get(case["expect"], 0) + 1
        if found != case["expect"]:
            broken.append(f"{name}: {found} instead of {case['expect']}")
    for expect, n in sorted(count.items()):
        print(f"{n:6} {expect}")
    print(f"{sum(count.values()):6} vectors, {time.time() - begin:.0f} s")
    if not wanted:
        step = 20 if "--quick" in arguments else 1
        for name in ("histories.txt", "wider.txt"):
            checked, wrong = resolver.check(VECTORS / "resolver" / name, step)
            print(f"{checked:6} histories of {name}, {time.time() - begin:.0f} s")
            broken += wrong
        if not checked:
            broken.append("no histories")
    if not count:
        broken.append("no vectors")
    print("\n".join(broken) or "all as they say")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
