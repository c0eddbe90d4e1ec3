# Verifies a proof of trailkeeper: python3 verify_proof.py event.tlog-proof 'audit.example.org/trails+…+…'
# The second argument is the public key of the log. It prints the record, or fails. Needs the package `cryptography`.
import base64, hashlib, json, re, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def need(condition):
    if not condition:
        sys.exit("it proves nothing")

def node(prefix, *parts):
    return hashlib.sha256(prefix + b"".join(parts)).digest()

def root(leaf, index, size, path):  # RFC 9162, section 2.1.3.2
    need(type(index) is int and type(size) is int and 0 <= index < size)
    last, value = size - 1, node(b"\0", leaf)
    for sibling in path:
        need(last > 0)
        if index % 2 or index == last:
            value = node(b"\1", sibling, value)
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            value = node(b"\1", value, sibling)
        index, last = index // 2, last // 2
    need(last == 0)
    return value

proof, vkey = open(sys.argv[1], encoding="utf-8", newline="").read(), sys.argv[2]
outer, checkpoint = proof.split("\n\n", 1)
magic, extra, index, *path = outer.split("\n")
text, signatures = checkpoint.rsplit("\n\n", 1)
(origin, size, top), (name, number, key) = (text + "\n").split("\n")[:3], vkey.split("+", 2)
need(magic == "c2sp.org/tlog-proof@v1" and origin == name and re.fullmatch("index (0|[1-9][0-9]*)", index))
mine = [base64.b64decode(line.split(" ")[2]) for line in signatures.split("\n") if line.startswith(f"\u2014 {name} ")]
for signature in [raw[4:] for raw in mine if raw[:4].hex() == number] or need(False):
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:]).verify(signature, (text + "\n").encode())
inner, entry, line = base64.b64decode(extra.removeprefix("extra "), validate=True).split(b"\n", 2)
inner, says, paths = json.loads(inner), json.loads(entry), [base64.b64decode(item, validate=True) for item in path]
need(root(entry, int(index[6:]), int(size), paths) == base64.b64decode(top) and inner["v"] == says["v"] == 1)
paths = [base64.b64decode(item, validate=True) for item in inner["path"]]
need(b"\n" not in line and root(line, inner["line"] - 1, says["lines"], paths).hex() == says["root"])
need(says["kind"] in ("open", "day", "late", "journal"))
print(ascii(line.decode())[1:-1] + f"\n{says['file']}, line {inner['line']}, sealed at {says['at']}")
