"""Exercises CPython and its C extensions. What it prints does not depend on how threads run."""

import bz2
import collections
import concurrent.futures
import cmath
import decimal
import fractions
import functools
import hashlib
import itertools
import json
import lzma
import math
import queue
import random
import re
import sqlite3
import struct
import sys
import threading
import time
import zlib


def hashes():
    data = bytes(range(256)) * 400
    for name in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b", "blake2s"):
        print(name, hashlib.new(name, data).hexdigest())
    print(hashlib.sha256(b"abc").hexdigest())
    print(hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 200).hex())
    print(zlib.crc32(data), zlib.adler32(data))


def compression():
    data = b"".join(b"line %d of the text\n" % (i * i % 977) for i in range(3000))
    for module in (zlib, bz2, lzma):
        packed = module.compress(data)
        assert module.decompress(packed) == data
        print(module.__name__, len(packed), hashlib.md5(packed).hexdigest())


def big_integers():
    value = 3**4000 - 2**6000
    print(value % (10**30 + 57), value.bit_length(), pow(7, value, 10**18 + 9))
    print(str(math.factorial(400))[:60], math.isqrt(10**101), math.comb(200, 77))
    print(fractions.Fraction(355, 113) ** 9)
    decimal.getcontext().prec = 60
    print(decimal.Decimal(2).sqrt(), decimal.Decimal(1).exp(), decimal.Decimal(10).ln())


def floats():
    x = 0.3
    for _ in range(3000):
        x = 3.99 * x * (1 - x)
    print(x.hex(), repr(x))
    for x in (-2.5, 1e-5, 0.7, 3.0, 123456.789):
        y = abs(x)
        values = (math.sin(x), math.exp(-y), math.log(y), y**0.37, math.erf(x), math.lgamma(y + 1),
                  math.atan2(x, 2), math.fmod(x, 0.3), math.hypot(x, 3))
        print(" ".join(value.hex() for value in values))
    print(cmath.exp(1j * cmath.pi / 7), math.fsum([0.1] * 10), round(2.675, 2))
    print(struct.pack("<dfq", 1 / 3, 1 / 3, -5).hex(), float("1e-320"), f"{2/3:.25f}")


def threads():
    shared, lock, jobs = collections.Counter(), threading.Lock(), queue.Queue(maxsize=5)

    def work():
        while (job := jobs.get()) is not None:
            with lock:
                shared[job % 10] += job

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for job in range(2000):
        jobs.put(job)
    for _ in workers:
        jobs.put(None)
    for worker in workers:
        worker.join()
    print(sorted(shared.items()))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        print(list(pool.map(lambda n: hashlib.sha1(b"%d" % n).hexdigest()[:8], range(8))))
    start = time.monotonic()
    threading.Event().wait(0.25)
    time.sleep(0.1)
    print("slept", time.monotonic() - start >= 0.35)


def database():
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE points (id INTEGER PRIMARY KEY, name TEXT, x REAL)")
        rows = ((i, f"n{i * 37 % 101}", i / 7) for i in range(2000))
        connection.executemany("INSERT INTO points VALUES (?, ?, ?)", rows)
        query = "SELECT name, COUNT(*), SUM(x) FROM points GROUP BY name ORDER BY 3 DESC LIMIT 4"
        print(list(connection.execute(query)))


def data():
    generator = random.Random(7)
    sample = [generator.gauss(0, 1) for _ in range(500)]
    print(sum(sample).hex(), generator.getrandbits(100), generator.sample(range(1000), 5))
    text = json.dumps({"b": [1.5, None, True, "\u00e9"], "a": {"k": 10**20}}, sort_keys=True)
    print(text, json.loads(text)["a"]["k"])
    words = re.findall(r"\b\w+ing\b", "testing one thing, singing and Ring a ringing bell" * 20)
    print(collections.Counter(words).most_common(3))

    @functools.lru_cache(maxsize=None)
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    print(fibonacci(300), sum(1 for p in itertools.permutations(range(6)) if p[0] < p[-1]))

    def recurse(n):
        return recurse(n + 1)

    try:
        recurse(0)
    except RecursionError as error:
        print("caught", error)


for part in (hashes, compression, big_integers, floats, threads, database, data):
    print(f"[{part.__name__}]")
    part()
print(sys.implementation.name, sys.byteorder, sys.maxsize)
