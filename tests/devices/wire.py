"""A cable between two interfaces on which frames are late, overtake each other, and get lost.

    wire.py plain LINK       no checksum or segmentation is left to a card that is not there
    wire.py ONE OTHER SEED   passes frames on until stdin ends; then says what became of them, as JSON
"""

import ctypes
import fcntl
import heapq
import json
import random
import select
import socket
import struct
import sys
import time

LATEST = 0.3  # seconds
LOST = 0.05
ALL = 3  # every protocol
OUTGOING = 4
SIOCETHTOOL = 0x8946
# Checksums of what is sent, TCP segmentation, generic segmentation, generic receiving in one.
CARDS_WORK = [0x17, 0x1F, 0x24, 0x2C]


def plain(link):
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for command in CARDS_WORK:
        asked = ctypes.create_string_buffer(struct.pack("II", command, 0))
        request = struct.pack("16sP8x", link.encode(), ctypes.addressof(asked))
        try:
            fcntl.ioctl(control, SIOCETHTOOL, request)
        except OSError as error:
            print(f"{link}: {command:#x}: {error}", file=sys.stderr)


def carry(one, other, seed):
    dice = random.Random(seed)
    ends = []
    for link in (one, other):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
        end.bind((link, 0))
        ends.append(end)
    underway, told = [], {"passed": 0, "lost": 0, "overtaken": 0}
    came, latest = 0, 0
    print("ready", flush=True)
    while True:
        wait = max(0, underway[0][0] - time.monotonic()) if underway else None
        ready, _, _ = select.select([*ends, sys.stdin], [], [], wait)
        if sys.stdin in ready:
            break
        for end in ready:
            frame, source = end.recvfrom(65536)
            if source[2] == OUTGOING:
                continue
            came += 1
            if dice.random() < LOST:
                told["lost"] += 1
                continue
            due = time.monotonic() + dice.random() * LATEST
            heapq.heappush(underway, (due, came, ends[1 - ends.index(end)], frame))
        while underway and underway[0][0] <= time.monotonic():
            _, number, end, frame = heapq.heappop(underway)
            try:
                end.send(frame)
            except OSError as error:
                print(f"{len(frame)} bytes: {error}", file=sys.stderr)
            told["passed"] += 1
            told["overtaken"] += number < latest
            latest = max(latest, number)
    print(json.dumps(told), flush=True)


if sys.argv[1] == "plain":
    plain(sys.argv[2])
else:
    carry(*sys.argv[1:4])
