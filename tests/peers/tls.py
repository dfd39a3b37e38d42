"""A TLS peer by Python's ssl, which is OpenSSL: it can stop at any byte of its handshake, send records in
single bytes, and end in every way there is.

    tls.py server CERT [OPTION...] OP...        tls.py client PORT [OPTION...] OP...

CERT is a file with the certificates and their key. A server says where it listens, on stderr.

Options:
    version=1.2           the only version; else 1.2 and 1.3
    alpn=h2,http/1.1      its protocols
    ca=FILE               what the other side's certificate must be signed by; a server asks for one
    cert=FILE name=NAME   a client's certificate; the name it asks for
    count=N               connections, one after the other; a client's next ones resume its session
    bytes=N records=N     of its handshake only so many are sent; the operations then have no session.
                          `all`: a connection for 0, 1, 2 and so on, until the handshake is whole
    step=N                in steps of this size

Operations, in this order, after the handshake:
    what                  prints the version, ALPN, SNI, whether the session is resumed, and the peer's name
    sent                  prints how many records its handshake took
    send:TEXT send*N:TEXT     data (N times)
    drip:TEXT drip*N:TEXT     the same, each byte a segment of its own
    flip:TEXT             data in a record of which a bit is changed
    read                  until the peer's end; prints what came, and the end:
                          <eof> close_notify, <fin> none, <reset>, <error REASON>
    take:N                reads and prints so many bytes
    echo                  sends back what comes until the peer's end, then its own
    hash                  the same, but only prints how much came, its SHA-256 and the end
    close                 close_notify
    alert                 a fatal alert
    shut                  the write side of the connection ends
    reset                 the connection is reset
    raw:HEX               bytes that are no record
    hold                  reads until the connection ends, as bytes
    stall                 the same, if there is no session
    pause:MS              nothing for so many milliseconds
"""
import hashlib, socket, ssl, struct, sys, time

class Cut(Exception):
    """The part of the handshake that may be sent is sent."""

out = sys.stdout.buffer

def tell(text):
    out.write(text.encode() + b"\n")
    out.flush()

def records(wire):
    """Splits bytes into TLS records."""
    while wire:
        end = 5 + int.from_bytes(wire[3:5], "big")
        yield wire[:end]
        wire = wire[end:]

class Peer:
    def __init__(self, sock, obj, bios, limits):
        sock.settimeout(25)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.obj, (self.incoming, self.outgoing) = sock, obj, bios
        self.bytes, self.records = limits
        self.sent = 0
        self.is_whole = False

    def flush(self, limited=False):
        for record in records(self.outgoing.read()):
            if limited and self.records is not None and self.sent >= self.records:
                raise Cut
            self.sent += 1
            if limited and self.bytes is not None and len(record) > self.bytes:
                self.sock.sendall(record[:self.bytes])
                raise Cut
            if limited and self.bytes is not None:
                self.bytes -= len(record)
            self.sock.sendall(record)

    def run(self, call, limited=False):
        while True:
            try:
                result = call()
                self.flush(limited)
                return result
            except ssl.SSLWantReadError:
                self.flush(limited)
                if data := self.sock.recv(65536):
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            except ssl.SSLError:
                try:
                    self.flush(limited)  # its alert
                except OSError:
                    pass
                raise

    def handshake(self):
        self.run(self.obj.do_handshake, True)
        self.is_whole = True

    def read(self, sink):
        """Reads to the end; its name."""
        try:
            while data := self.run(lambda: self.obj.read(65536)):
                sink(data)
            return "<eof>"
        except ssl.SSLZeroReturnError:  # the same behind our own
            return "<eof>"
        except ssl.SSLEOFError:
            return "<fin>"
        except ssl.SSLError as e:
            return "<fin>" if "EOF" in str(e.reason) else f"<error {e.reason}>"
        except (ConnectionResetError, BrokenPipeError):
            return "<reset>"

    def close(self):
        try:
            self.obj.unwrap()
        except ssl.SSLError:
            pass
        self.flush()

    def do(self, op):
        name, _, text = op.partition(":")
        name, _, times = name.partition("*")
        data = text.encode() * int(times or 1)
        if name == "what":
            cert = self.obj.getpeercert() or {}
            subject = ",".join(value for part in cert.get("subject", ()) for _, value in part)
            tell(f"{self.obj.version()} alpn={self.obj.selected_alpn_protocol()} sni={Peer.sni} "
                 f"resumed={self.obj.session_reused} peer={subject}")
        elif name == "sent":
            tell(f"{self.sent} records")
        elif name == "send":
            view = memoryview(data)
            while view:
                view = view[self.run(lambda: self.obj.write(view[:16384])):]
        elif name in ("drip", "flip"):
            while data:
                data = data[self.obj.write(data[:16384]):]
            wire = bytearray(self.outgoing.read())
            if name == "flip":
                wire[-1] ^= 1
                self.sock.sendall(wire)
            else:
                for byte in wire:
                    self.sock.sendall(bytes([byte]))
        elif name == "read":
            def sink(data):
                out.write(data)
                out.flush()
            tell(self.read(sink))
        elif name == "take":
            count = int(text)
            while count:
                data = self.run(lambda: self.obj.read(count))
                out.write(data)
                count -= len(data)
            tell("")
        elif name == "hash":
            digest, count = hashlib.sha256(), 0
            def sink(data):
                nonlocal count
                count += len(data)
                digest.update(data)
            end = self.read(sink)
            tell(f"{count} {digest.hexdigest()} {end}")
        elif name == "echo":
            end = self.read(lambda data: self.run(lambda: self.obj.write(data)))
            if end == "<eof>":
                self.close()
            else:
                tell(end)
        elif name == "close":
            self.close()
        elif name == "alert":
            # A record that cannot be decrypted is answered with one.
            self.incoming.write(b"\x17\x03\x03\x00\x20" + bytes(32))
            try:
                self.obj.read(1)
            except ssl.SSLError:
                pass
            self.flush()
        elif name == "shut":
            self.sock.shutdown(socket.SHUT_WR)
        elif name == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
        elif name == "raw":
            self.sock.sendall(bytes.fromhex(text))
        elif name == "hold" or name == "stall":
            while (name == "hold" or not self.is_whole) and self.sock.recv(65536):
                pass
        elif name == "pause":
            time.sleep(int(text) / 1000)
        else:
            sys.exit(f"no operation {op}")

role, first, *words = sys.argv[1:]
options = {}
while words and "=" in words[0] and ":" not in words[0].split("=")[0]:
    name, _, value = words.pop(0).partition("=")
    options[name] = value

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if role == "server" else ssl.PROTOCOL_TLS_CLIENT)
context.minimum_version = ssl.TLSVersion.TLSv1_2
if "version" in options:
    version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[options["version"]]
    context.minimum_version = context.maximum_version = version
if "alpn" in options:
    context.set_alpn_protocols(options["alpn"].split(","))
if role == "client":
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
if "ca" in options:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(options["ca"])
    context.check_hostname = role == "client"
if role == "server":
    context.load_cert_chain(first)
    def asked(_obj, name, _context):
        Peer.sni = name
    context.sni_callback = asked
elif "cert" in options:
    context.load_cert_chain(options["cert"])
Peer.sni = None

session = None

def talk(sock, limits):
    """A connection; whether its handshake was whole."""
    global session
    bios = ssl.MemoryBIO(), ssl.MemoryBIO()
    more = {"server_side": True}
    if role == "client":
        more = {"server_hostname": options.get("name", "localhost"), "session": session}
    peer = Peer(sock, context.wrap_bio(*bios, **more), bios, limits)
    try:
        peer.handshake()
    except Cut:
        pass
    except ssl.SSLError as e:
        tell(f"handshake: {e.reason}")
        sock.close()
        return True
    except OSError as e:
        tell(f"handshake: {type(e).__name__}")
        return True
    try:
        for op in words:
            peer.do(op)
    except OSError as e:
        tell(f"{op}: {getattr(e, 'reason', None) or type(e).__name__}")
    if peer.is_whole:
        session = peer.obj.session
    sock.close()
    return peer.is_whole

server = None
if role == "server":
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(25)
    print("listening on 127.0.0.1:%d" % server.getsockname()[1], file=sys.stderr, flush=True)

def next_socket():
    return server.accept()[0] if server else socket.create_connection(("127.0.0.1", int(first)))

which = next((name for name in ("bytes", "records") if options.get(name) == "all"), None)
if which:
    size = 0
    while True:
        limits = (size, None) if which == "bytes" else (None, size)
        if talk(next_socket(), limits):
            break
        size += int(options.get("step", 1))
    tell(f"whole after {size} {which}")
else:
    limits = [int(options[name]) if name in options else None for name in ("bytes", "records")]
    for _ in range(int(options.get("count", 1))):
        talk(next_socket(), limits)
