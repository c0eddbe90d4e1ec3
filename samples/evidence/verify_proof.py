# Verifies a proof of trailkeeper: python3 verify_proof.py event.tlog-proof 'audit.example.org/trails+…+…'
# The second argument is the public key of the log. It prints the record, or fails. Needs the package `cryptography`.
import base64, hashlib, json, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def node(prefix, *parts):
    return hashlib.sha256(prefix + b"".join(parts)).digest()

def root(leaf, index, size, path):  # RFC 9162, section 2.1.3.2
    assert 0 <= index < size
    last, value = size - 1, node(b"\0", leaf)
    for sibling in path:
        assert last > 0
        if index % 2 or index == last:
            value = node(b"\1", sibling, value)
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            value = node(b"\1", value, sibling)
        index, last = index // 2, last // 2
    assert last == 0
    return value

proof, vkey = open(sys.argv[1], encoding="utf-8", newline="").read(), sys.argv[2]
outer, checkpoint = proof.split("\n\n", 1)
magic, extra, index, *path = outer.split("\n")
assert magic == "c2sp.org/tlog-proof@v1"
text, signatures = checkpoint.rsplit("\n\n", 1)
origin, size, top = (text + "\n").split("\n")[:3]
name, number, key = vkey.split("+", 2)
assert origin == name
mine = [line.split(" ")[2] for line in signatures.split("\n") if line.startswith(f"\u2014 {name} ")]
signature = next(raw[4:] for raw in map(base64.b64decode, mine) if raw[:4].hex() == number)
Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:]).verify(signature, (text + "\n").encode())
inner, entry, line = base64.b64decode(extra.removeprefix("extra ")).split(b"\n", 2)
inner, says = json.loads(inner), json.loads(entry)
hashes = [base64.b64decode(item, validate=True) for item in path]
assert root(entry, int(index.removeprefix("index ")), int(size), hashes) == base64.b64decode(top)
hashes = [base64.b64decode(item, validate=True) for item in inner["path"]]
assert b"\n" not in line and root(line, inner["line"] - 1, says["lines"], hashes).hex() == says["root"]
sys.stdout.buffer.write(line + f"\n{says['file']}, line {inner['line']}, sealed at {says['at']}\n".encode())
