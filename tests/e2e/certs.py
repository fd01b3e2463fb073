"""Certificates of every kind for tests, sound ones and those that must be refused, made with python3-cryptography; and handshakes."""

import datetime
import ipaddress
import json
import os
import select
import socket
import ssl
import threading
import tomllib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from gridtest import Failure, wait_for

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
KEYS = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
HOUR, DAY = 3600, 86400


def in_seconds(seconds):
    return datetime.datetime.utcnow() + datetime.timedelta(seconds=seconds)


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def key_usage(*bits):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
             "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in bits for name in names})


class Authority:
    """A certificate and its key, which sign others: a grid's own, or a stranger's."""

    def __init__(self, name="testgrid"):
        self.key, self.name = KEYS["P-256"](), name
        self.certificate = Leaf(self, roles=(), name=name, ca=True, usage=key_usage("key_cert_sign", "crl_sign"), key=self.key, eku=None,
                                signer=self.key).certificate

    @classmethod
    def of_gridfile(cls, path):
        card, self = tomllib.loads(Path(path).read_text()), cls.__new__(cls)
        self.name = card["grid_name"]
        self.key = serialization.load_pem_private_key(card["authority_key"].encode(), None)
        self.certificate = x509.load_pem_x509_certificate(card["authority_certificate"].encode())
        return self


class Leaf:
    """A certificate with its key, as the project issues it unless told otherwise; `chain` is sent behind it."""

    def __init__(self, issuer, roles=("invoke",), name="leaf", start=-HOUR, end=DAY, kind="P-256", key=None, eku=(CLIENT, SERVER), ca=False,
                 usage=None, digest=None, signer=None, issuer_name=None, extension=None, chain=()):
        self.key, self.chain = key or KEYS[kind](), chain
        names = [x509.UniformResourceIdentifier(f"gridcontrol://role/{role}") for role in roles]
        names += [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer_name or issuer.name))
        builder = builder.public_key(self.key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(in_seconds(start)).not_valid_after(in_seconds(end))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        builder = builder.add_extension(usage or key_usage("digital_signature"), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if eku:
            builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
        if extension:
            builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(extension), b"\x05\0"), critical=True)
        signer = signer or issuer.key
        self.name = name
        self.certificate = builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256())

    def save(self, folder, name="leaf"):
        """Writes NAME.key and NAME.crt; their paths."""
        folder = Path(folder)
        folder.mkdir(exist_ok=True)
        key, crt = folder / f"{name}.key", folder / f"{name}.crt"
        key.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        key.chmod(0o600)
        crt.write_bytes(b"".join(pem(c) for c in (self.certificate, *self.chain)))
        return key, crt


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


# ---- handshakes ------------------------------------------------------------------------------------------------------------------

H2_START = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def tls_client(key=None, crt=None, alpn=("h2",), newest=ssl.TLSVersion.TLSv1_3):
    """A client that takes any server: what is tested is how the node judges it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version, context.maximum_version = min(newest, ssl.TLSVersion.TLSv1_2), newest
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if crt:
        context.load_cert_chain(crt, key)
    return context


def greet(address, context, first=H2_START):
    """Shakes hands and says the first bytes. (own address, bytes that the node answered as application data)"""
    with socket.create_connection(address, timeout=10) as sock:
        own = "%s:%d" % sock.getsockname()
        try:
            with context.wrap_socket(sock, server_hostname="localhost") as tls:
                tls.sendall(first)
                return own, tls.recv(65536)
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
            return own, b""


def say_raw(address, data):
    """Sends bytes in the clear and reads until the end. (own address, what came)"""
    with socket.create_connection(address, timeout=10) as sock:
        own = "%s:%d" % sock.getsockname()
        try:
            sock.sendall(data)
            got = b""
            while part := sock.recv(65536):
                got += part
            return own, got
        except (ConnectionResetError, BrokenPipeError):
            return own, b""


def refusal(node, own):
    """Why the node says that it refused the connection from this address."""

    def find():
        for line in node.text().splitlines():
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("peer") == own and entry.get("msg") == "a TLS connection was refused or broken":
                return entry["why"]
        return None

    return wait_for(find, f"{node.name} says why it refused {own}", 10)


PROXY_QUEUE_BYTES = 1 << 20  # no more is read for who does not take it
PROXY_LAST_WORDS_S = 5


def send_what_fits(sink, data):
    try:
        return sink.send(data)
    except (BlockingIOError, ssl.SSLWantWriteError):
        return 0


class Proxy:
    """A port in the clear whose bytes go on over TLS: any client that has no ALPN of the nodes' own gets one. `error` tells why TLS did not come about."""

    def __init__(self, address, context):
        self.address, self.context, self.error = address, context, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(near,), daemon=True).start()

    def carry(self, near):
        try:
            far = self.context.wrap_socket(socket.create_connection(self.address, 10))
        except OSError as error:
            self.error = error
            near.close()
            return
        with near, far:
            try:
                self.pump(near, far)
            except (OSError, ValueError) as error:
                self.error = error

    def pump(self, near, far):
        """Both ways in this one thread: a TLS socket is not two threads' at once."""
        queued = {near: b"", far: b""}
        for end in queued:
            end.setblocking(False)
        ended = False
        while not ended:
            wanted = [source for source, sink in ((near, far), (far, near)) if len(queued[sink]) < PROXY_QUEUE_BYTES]
            decrypted = far in wanted and far.pending() > 0  # the kernel does not know of it
            readable, writable, _ = select.select(wanted, [end for end in queued if queued[end]], [], 0 if decrypted else None)
            if decrypted and far not in readable:
                readable.append(far)
            for source, sink in ((near, far), (far, near)):
                if source in readable:
                    data, closed = self.read(source)
                    queued[sink] += data
                    ended = ended or closed
                if queued[sink] and (source in readable or sink in writable):
                    queued[sink] = queued[sink][send_what_fits(sink, queued[sink]):]
        for end in queued:
            end.settimeout(PROXY_LAST_WORDS_S)
            end.sendall(queued[end])

    def read(self, source):
        """(bytes, whether its end has come): a TLS socket is read until it has nothing decrypted left."""
        data = b""
        while len(data) < PROXY_QUEUE_BYTES:
            try:
                piece = source.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return data, False
            except OSError as error:
                self.error = error
                return data, True
            if not piece:
                return data, True
            data += piece
        return data, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self.listener.close()


def garbage(size):
    return os.urandom(size)
