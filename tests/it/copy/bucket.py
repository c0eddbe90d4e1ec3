"""A bucket of moto, with versions and Object Lock, for tests of `copy`: prints its address, then obeys lines of its input."""

import collections
import json
import sys
import threading

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "copies"
inner = DomainDispatcherApplication(create_backend_app)
state = {"every": 0, "lie": False, "refuse": False}
seen = collections.Counter()
guard = threading.Lock()


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def answer(start_response, status, text):
    body = text.encode()
    start_response(status, [("Content-Length", str(len(body))), ("Content-Type", "application/xml")])
    return [body]


def app(environ, start_response):
    is_ours = environ.get("HTTP_USER_AGENT", "").startswith("trailkeeper/")
    if not is_ours:
        return inner(environ, start_response)
    method = environ["REQUEST_METHOD"]
    with guard:
        seen["requests"] += 1
        fails = state["every"] and seen["requests"] % state["every"] == 0
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if fails:
        environ["wsgi.input"].read(length)
        return answer(start_response, "503 Service Unavailable", "<Error><Code>SlowDown</Code></Error>")
    if method == "DELETE":
        seen["deletes"] += 1
    if method == "PUT":
        if "HTTP_IF_NONE_MATCH" in environ and state["refuse"]:
            environ["wsgi.input"].read(length)
            return answer(start_response, "501 Not Implemented", "<Error><Code>NotImplemented</Code></Error>")
        # moto wants the name of the algorithm where S3 takes the checksum alone.
        if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:
            environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = "SHA256"
        seen["puts"] += 1
        seen["conditional_puts"] += "HTTP_IF_NONE_MATCH" in environ
        seen["sha256_puts"] += "HTTP_X_AMZ_CHECKSUM_SHA256" in environ
    if method == "GET" and state["lie"] and "list-type" not in environ.get("QUERY_STRING", "") and "/manifests/" not in environ["PATH_INFO"]:
        return [bytes(byte ^ 1 for byte in chunk) for chunk in inner(environ, start_response)]
    return inner(environ, start_response)


server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"
s3 = boto3.client(
    "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="AKIATEST", aws_secret_access_key="x"
)
s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
s3.put_object_lock_configuration(
    Bucket=BUCKET,
    ObjectLockConfiguration={
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}},
    },
)
print(address, flush=True)


def tell():
    versions = collections.Counter()
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        versions.update(version["Key"] for version in page.get("Versions", []))
    objects = []
    for key, count in versions.items():
        head = s3.head_object(Bucket=BUCKET, Key=key)
        objects.append({"key": key, "versions": count, "locked": "ObjectLockRetainUntilDate" in head})
    counts = {name: seen[name] for name in ["puts", "conditional_puts", "sha256_puts", "deletes"]}
    return {"objects": objects, **counts}


for line in sys.stdin:
    words = line.split()
    if words[0] == "tell":
        told = tell()
    else:
        told = "ok"
        if words[0] == "fail":
            state["every"] = int(words[2])
        elif words[0] == "lie":
            state["lie"] = True
        elif words[0] == "refuse":
            state["refuse"] = True
    print(json.dumps(told), flush=True)
