"""Checks the files of samples/fleet by the schemas of Kubernetes and of Compose, and that what they name is there.

Prints, as JSON, what is said to the program: the arguments of each container, and the texts of its settings."""

import json
import sys
from pathlib import Path

import kubernetes_validate
import yaml
from compose_spec import PyOptions

# The oldest that still gets patches, about, and the newest that the package knows.
VERSIONS = ["1.30", kubernetes_validate.latest_version()]

folder = Path(sys.argv[1])
commands, settings = [], {}


def kubernetes(path):
    documents = list(yaml.safe_load_all(path.read_text()))
    for document in documents:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    named = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    for (kind, name), document in named.items():
        assert kind == "Namespace" or ("Namespace", document["metadata"]["namespace"]) in named, name
        if kind in ("Job", "Deployment", "StatefulSet"):
            pod(named, document["spec"])
    deployment = named["Deployment", "trailkeeper-fleet"]["spec"]
    budget = named["PodDisruptionBudget", "trailkeeper-fleet"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (deployment["selector"], budget["selector"]):
        assert selector["matchLabels"].items() <= labels.items()
    assert deployment["replicas"] > budget["maxUnavailable"]
    archive = named["StatefulSet", "trailkeeper-archive"]["spec"]
    labels = archive["template"]["metadata"]["labels"]
    for selector in (archive["selector"]["matchLabels"], named["Service", archive["serviceName"]]["spec"]["selector"]):
        assert selector.items() <= labels.items()
    settings["kubernetes"] = named["ConfigMap", "trailkeeper-organizations"]["data"]


def pod(named, of):
    spec = of["template"]["spec"]
    assert ("ServiceAccount", spec["serviceAccountName"]) in named
    # Only an archive has something to write to.
    volumes = {claim["metadata"]["name"]: claim for claim in of.get("volumeClaimTemplates", [])}
    for volume in spec["volumes"]:
        # Settings and secrets.
        source = ("ConfigMap", volume["configMap"]["name"]) if "configMap" in volume else ("Secret", volume["secret"]["secretName"])
        assert source in named, source
        volumes[volume["name"]] = named[source]
    for container in spec["containers"]:
        mounted = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert sorted(mounted) == sorted(volumes), mounted
        assert all(mount.get("readOnly") or volumes[name].get("spec") for name, mount in mounted.items())
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("readinessProbe", "livenessProbe"):
            assert probe not in container or container[probe]["httpGet"]["port"] in ports
        commands.append(container["args"])


def compose(path):
    options = PyOptions()
    options.apply_merge = True
    options.from_yaml(path.read_text())
    document = yaml.safe_load(path.read_text())
    services = document["services"]
    for service in services.values():
        assert all(name in services for name in service.get("depends_on", {}))
        kind, _, other = service.get("network_mode", "").partition(":")
        assert kind != "service" or other in services
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in document["volumes"] or (path.parent / source).exists(), volume
        if service["image"] == "trailkeeper":
            commands.append(service["command"])


kubernetes(folder / "kubernetes.yml")
compose(folder / "docker-compose.yml")
settings["compose"] = {file.name: file.read_text() for file in (folder / "organizations").iterdir()}
print(json.dumps({"commands": commands, "settings": settings}))
