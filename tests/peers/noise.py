"""Noise_NNpsk0_25519_AESGCM_SHA256 and sockctl's records, from the specifications alone: X25519 of
RFC 7748, AES-256 of FIPS 197, GCM of SP 800-38D, HKDF of RFC 5869, Noise revision 34. Slow, and
nothing but Python.

    noise.py client PORT KEY CONTEXT OP...      noise.py server KEY CONTEXT OP...

KEY is 32 bytes in hex, as in a sockctl-key-1 line. A server prints its port and takes one client.
Operations, in this order, after the two messages:
    ready welcome refused:N data:TEXT data*N:TEXT eof    a record (N times)
    type:N:TEXT      a record of another type          raw:HEX     bytes as they are
    flip:TEXT        a data record with a changed bit  truncate:TEXT  the first half of a record
    hold             the next operations go in one segment, until one that reads
    read             until the peer's EOF record or end; prints what came
    record           one record; prints what it is
    pause:MS         nothing for so many milliseconds
    shut             the write side ends
"""
import hashlib, hmac, os, socket, struct, sys, time

# ---- X25519

P = 2**255 - 19

def x25519(scalar, point):
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    u = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a % P, c * b % P, a * a % P, b * b % P
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        e = aa - bb
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")

BASE = (9).to_bytes(32, "little")

# ---- AES-256-GCM

def sbox():
    box, p, q = [0x63] * 256, 1, 1
    while True:
        p = p ^ p << 1 & 0xFF ^ (0x1B if p & 0x80 else 0)
        q ^= q << 1; q ^= q << 2; q ^= q << 4; q &= 0xFF
        if q & 0x80: q ^= 0x09
        r = lambda n: (q << n | q >> 8 - n) & 0xFF
        box[p] = q ^ r(1) ^ r(2) ^ r(3) ^ r(4) ^ 0x63
        if p == 1:
            return box

SBOX = sbox()
double = lambda b: b << 1 & 0xFF ^ (0x1B if b & 0x80 else 0)

class Aes:
    def __init__(self, key):
        words, rcon = [list(key[i:i + 4]) for i in range(0, 32, 4)], 1
        for i in range(8, 60):
            w = list(words[-1])
            if i % 8 == 0:
                w = [SBOX[b] for b in w[1:] + w[:1]]
                w[0] ^= rcon
                rcon = double(rcon)
            elif i % 8 == 4:
                w = [SBOX[b] for b in w]
            words.append([a ^ b for a, b in zip(words[i - 8], w)])
        self.rounds = [sum(words[i:i + 4], []) for i in range(0, 60, 4)]

    def block(self, data):
        s = [a ^ b for a, b in zip(data, self.rounds[0])]
        for n, key in enumerate(self.rounds[1:], 1):
            s = [SBOX[s[(i + 4 * (i % 4)) % 16]] for i in range(16)]
            if n < 14:
                mixed = []
                for c in range(0, 16, 4):
                    a = s[c:c + 4]
                    every = a[0] ^ a[1] ^ a[2] ^ a[3]
                    mixed += [a[i] ^ every ^ double(a[i] ^ a[(i + 1) % 4]) for i in range(4)]
                s = mixed
            s = [a ^ b for a, b in zip(s, key)]
        return bytes(s)

def times(x, y):
    z = 0
    for i in range(127, -1, -1):
        if y >> i & 1:
            z ^= x
        x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
    return z

class Gcm:
    def __init__(self, key):
        self.aes = Aes(key)
        self.h = int.from_bytes(self.aes.block(bytes(16)), "big")

    def _counter(self, nonce, data):
        out = bytearray()
        for i in range(0, len(data), 16):
            pad = self.aes.block(nonce + struct.pack(">I", i // 16 + 2))
            out += bytes(a ^ b for a, b in zip(data[i:i + 16], pad))
        return bytes(out)

    def _tag(self, nonce, ad, sealed):
        y = 0
        lengths = struct.pack(">QQ", 8 * len(ad), 8 * len(sealed))
        for part in (ad, sealed, lengths):
            for i in range(0, len(part), 16):
                block = part[i:i + 16].ljust(16, b"\0")
                y = times(y ^ int.from_bytes(block, "big"), self.h)
        mask = self.aes.block(nonce + b"\0\0\0\1")
        return bytes(a ^ b for a, b in zip(y.to_bytes(16, "big"), mask))

    def seal(self, nonce, ad, text):
        sealed = self._counter(nonce, text)
        return sealed + self._tag(nonce, ad, sealed)

    def open(self, nonce, ad, sealed):
        sealed, tag = sealed[:-16], sealed[-16:]
        if self._tag(nonce, ad, sealed) != tag:
            raise ValueError("bad tag")
        return self._counter(nonce, sealed)

# ---- Noise

def hkdf(chaining, material, count):
    temp = hmac.digest(chaining, material, "sha256")
    out, last = [], b""
    for i in range(1, count + 1):
        last = hmac.digest(temp, last + bytes([i]), "sha256")
        out.append(last)
    return out

class Cipher:
    def __init__(self, key):
        self.gcm, self.n = Gcm(key), 0

    def _nonce(self):
        self.n += 1
        return bytes(4) + struct.pack(">Q", self.n - 1)

    def seal(self, text, ad=b""):
        return self.gcm.seal(self._nonce(), ad, text)

    def open(self, sealed, ad=b""):
        return self.gcm.open(self._nonce(), ad, sealed)

class Symmetric:
    def __init__(self, name, prologue):
        self.h = self.ck = name  # 32 bytes exactly
        self.mix_hash(prologue)
        self.cipher = None

    def mix_hash(self, data):
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, material):
        self.ck, key = hkdf(self.ck, material, 2)
        self.cipher = Cipher(key)

    def mix_psk(self, psk):
        self.ck, hashed, key = hkdf(self.ck, psk, 3)
        self.mix_hash(hashed)
        self.cipher = Cipher(key)

    def seal_nothing(self):
        sealed = self.cipher.seal(b"", self.h)
        self.mix_hash(sealed)
        return sealed

    def open_nothing(self, sealed):
        assert self.cipher.open(sealed, self.h) == b""
        self.mix_hash(sealed)

NAME = b"Noise_NNpsk0_25519_AESGCM_SHA256"
PREFACE = b"SKCTL\0\1\1"
DATA, EOF, READY, WELCOME, REFUSED = 1, 2, 3, 4, 5

def psk_of(key):
    prk = hmac.digest(b"sockctl key v1", key, "sha256")
    return hmac.digest(prk, b"NNpsk0\1", "sha256")

def exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError(f"after {len(data)} of {count} bytes")
        data += more
    return data

def message(sock):
    (length,) = struct.unpack(">H", exactly(sock, 2))
    return exactly(sock, length)

def framed(data):
    return struct.pack(">H", len(data)) + data

def client(sock, psk, context):
    state = Symmetric(NAME, PREFACE + context)
    state.mix_psk(psk)
    private = os.urandom(32)
    public = x25519(private, BASE)
    state.mix_hash(public)
    state.mix_key(public)
    sock.sendall(PREFACE + framed(public + state.seal_nothing()))
    answer = message(sock)
    state.mix_hash(answer[:32])
    state.mix_key(answer[:32])
    state.mix_key(x25519(private, answer[:32]))
    state.open_nothing(answer[32:])
    first, second = hkdf(state.ck, b"", 2)
    return Cipher(first), Cipher(second)

def server(sock, psk, context):
    assert exactly(sock, 8) == PREFACE
    hello = message(sock)
    state = Symmetric(NAME, PREFACE + context)
    state.mix_psk(psk)
    state.mix_hash(hello[:32])
    state.mix_key(hello[:32])
    state.open_nothing(hello[32:])
    private = os.urandom(32)
    public = x25519(private, BASE)
    state.mix_hash(public)
    state.mix_key(public)
    state.mix_key(x25519(private, hello[:32]))
    sock.sendall(framed(public + state.seal_nothing()))
    first, second = hkdf(state.ck, b"", 2)
    return Cipher(second), Cipher(first)

def show(text):
    sys.stdout.write(text)
    sys.stdout.flush()

def run(sock, out, into, ops):
    held, holding = b"", False
    for op in ops:
        name, _, rest = op.partition(":")
        name, _, times_ = name.partition("*")
        record = lambda kind, data=b"": framed(out.seal(bytes([kind]) + data))
        sent = None
        if name == "ready": sent = record(READY)
        elif name == "welcome": sent = record(WELCOME)
        elif name == "refused": sent = record(REFUSED, bytes([int(rest)]))
        elif name == "data": sent = b"".join(record(DATA, rest.encode()) for _ in range(int(times_ or 1)))
        elif name == "eof": sent = record(EOF)
        elif name == "type":
            kind, _, text = rest.partition(":")
            sent = record(int(kind), text.encode())
        elif name == "raw": sent = bytes.fromhex(rest)
        elif name == "flip":
            sent = bytearray(record(DATA, rest.encode()))
            sent[-1] ^= 1
        elif name == "truncate": sent = record(DATA, rest.encode())[:-5]
        elif name == "hold": holding = True
        if sent is not None:
            held += bytes(sent)
        if held and not (holding and sent is not None):
            try:
                sock.sendall(held)
            except OSError:
                pass
            held, holding = b"", False
        if name == "pause": time.sleep(int(rest) / 1000)
        elif name == "shut": sock.shutdown(socket.SHUT_WR)
        elif name == "record":
            kind, *data = into.open(message(sock))
            show({1: "data", 2: "eof", 3: "ready", 4: "welcome", 5: "refused"}[kind] + "".join(f" {b}" for b in data) + "\n")
        elif name == "read":
            try:
                while True:
                    plain = into.open(message(sock))
                    if plain[0] == EOF:
                        show("<eof>")
                        break
                    assert plain[0] == DATA, plain
                    show(plain[1:].decode())
            except (EOFError, ConnectionResetError) as e:
                show(f"<end {e}>" if isinstance(e, EOFError) else "<reset>")

def main(role, *words):
    if role == "client":
        port, key, context, *ops = words
        sock = socket.create_connection(("127.0.0.1", int(port)), 30)
    else:
        key, context, *ops = words
        listener = socket.create_server(("127.0.0.1", 0))
        show(f"{listener.getsockname()[1]}\n")
        sock, _ = listener.accept()
        sock.settimeout(30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    shake = client if role == "client" else server
    out, into = shake(sock, psk_of(bytes.fromhex(key)), context.encode())
    run(sock, out, into, ops)

main(*sys.argv[1:])
