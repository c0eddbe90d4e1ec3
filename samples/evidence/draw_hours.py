# Draws the hours of an audit again: python3 draw_hours.py audit.page
# It takes the root, the nonce and the hours of each stream from the page, and nothing else.
import datetime, hashlib, re, sys

page = open(sys.argv[1], encoding="utf-8", newline="").read()
root, nonce = (re.search(f"^{name:<11}(.*)$", page, re.M)[1] for name in ("root", "nonce"))
sample = int(re.search("^hours +([0-9]+) of", page, re.M)[1])
hours = []
for stream, count, begin in re.findall(r"^stream +(\S+): ([0-9]+) hours from (\S+) to", page, re.M):
    begin = datetime.datetime.strptime(begin, "%Y-%m-%dT%H:%M:%SZ")
    hours += [(stream, begin + datetime.timedelta(hours=number)) for number in range(int(count))]
drawn, count = set(range(len(hours)) if sample >= len(hours) else ()), 0
while len(drawn) < sample:
    text = f"trailkeeper audit v1\n{root}\n{nonce}\n{count}\n"
    number, count = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"), count + 1
    if number < 2**64 - 2**64 % len(hours):
        drawn.add(number % len(hours))
for number in sorted(drawn):
    print(hours[number][0], hours[number][1].strftime("%Y-%m-%dT%H:%M:%SZ"))
