# Verifies the proofs of a bundle of `trailkeeper export`: python3 verify_bundle.py BUNDLE 'audit.example.org/trails+…+…'
# The second argument is the public key of the log. It says how many records are proved, and fails if not all are. Needs `cryptography`.
import base64, hashlib, json, pathlib, re, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def need(condition):
    if not condition:
        sys.exit("it proves nothing")

def node(prefix, *parts):
    return hashlib.sha256(prefix + b"".join(parts)).digest()

def root(leaf, index, size, path):  # RFC 9162, section 2.1.3.2
    need(type(index) is int and 0 <= index < size)
    last, value = size - 1, leaf
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

def gather(begin, size, leaves, hashes):  # the tree of RFC 6962, from the leaves that are there and the subtrees of the others
    if not leaves:
        need(hashes)
        return hashes.pop(0)
    if size <= 1:
        need(size == 1 and len(leaves) == 1 and leaves[0][0] == begin)
        return leaves[0][1]
    left = 1 << (size - 1).bit_length() - 1
    before = [leaf for leaf in leaves if leaf[0] < begin + left]
    behind = leaves[len(before):]
    return node(b"\1", gather(begin, left, before, hashes), gather(begin + left, size - left, behind, hashes))

def decode(texts):
    return [base64.b64decode(text, validate=True) for text in texts]

bundle, vkey = pathlib.Path(sys.argv[1]), sys.argv[2]
text, signatures = (bundle / "checkpoint").read_bytes().decode().rsplit("\n\n", 1)
(origin, size, top), (name, number, key) = (text + "\n").split("\n")[:3], vkey.split("+", 2)
need(origin == name and re.fullmatch("0|[1-9][0-9]*", size))
mine = [base64.b64decode(line.split(" ")[2]) for line in signatures.split("\n") if line.startswith(f"\u2014 {name} ")]
for signature in [raw[4:] for raw in mine if raw[:4].hex() == number] or need(False):
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:]).verify(signature, (text + "\n").encode())
missing = 0
for records in sorted(bundle.glob("*.ndjson")):
    stream, proved, unproved, seen = records.name.removesuffix(".ndjson"), 0, 0, set()
    *lines, rest = records.read_bytes().split(b"\n")
    for segment in map(json.loads, (bundle / f"{stream}.proofs.jsonl").read_text(encoding="utf-8").splitlines()):
        if "unproved" in segment:
            need(type(count := segment["unproved"]) is int and 0 < count <= len(lines))
            unproved, lines = unproved + count, lines[count:]
            continue
        entry, says = segment["entry"].encode(), json.loads(segment["entry"])
        need(root(node(b"\0", entry), segment["index"], int(size), decode(segment["path"])) == base64.b64decode(top))
        need(segment["v"] == says["v"] == 1 and says["stream"] == stream and says["kind"] in ("open", "day", "late", "packed"))
        places = [place for first, count in segment["lines"] for place in range(first - 1, first - 1 + count)]
        need(0 < len(places) <= len(lines) and places == sorted(set(places)))
        need(seen.isdisjoint(named := {(says["file"], place) for place in places}))
        seen |= named
        hashes = decode(segment["hashes"])
        leaves = [(place, node(b"\0", line)) for place, line in zip(places, lines)]
        need(gather(0, says["lines"], leaves, hashes).hex() == says["root"] and not hashes)
        proved, lines = proved + len(places), lines[len(places):]
    need(not lines and not rest and (proved or not unproved))
    print(f"{stream}: {proved} records are proved, {unproved} are not")
    missing += unproved
sys.exit(f"{missing} records are not proved" if missing else 0)
