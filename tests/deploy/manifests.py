"""The overlays of deploy/kubernetes as `kubectl apply -k` would send them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.deploy.compose import ROOT, tool

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("small", "production")
Manifest = dict[str, Any]
#: The loader of libyaml if PyYAML has it: it is ten times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    """Return the manifests of an overlay, rendered by the kustomize that is part of kubectl."""
    return _render(FOLDER / "overlays" / overlay)


def _render(folder: Path) -> tuple[Manifest, ...]:
    command = [tool("kubectl"), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return tuple(yaml.load_all(done.stdout, _LOADER))


def switched_on(overlay: str, folder: Path, settings: Mapping[str, str]) -> tuple[Manifest, ...]:
    """Return the manifests of a copy of an overlay, with more settings and its optional lines uncommented."""
    shutil.copytree(FOLDER, folder / "kubernetes")
    shutil.copytree(FOLDER.parent / "clickhouse", folder / "clickhouse")
    copy = folder / "kubernetes" / "overlays" / overlay
    with (copy / "settings.env").open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in settings.items())
    text = (copy / "kustomization.yaml").read_text()
    in_force = re.sub(r"^  # (- \.\./)", r"  \1", text, flags=re.MULTILINE)
    assert in_force != text, "nothing stands in comments"
    (copy / "kustomization.yaml").write_text(in_force)
    return _render(copy)


def of_operators() -> list[Manifest]:
    """Return all custom resources, including those that are optional."""
    with TemporaryDirectory() as folder:
        found = [*rendered("small"), *rendered("production"), *switched_on("production", Path(folder), {})]
    return [each for each in found if is_custom(each)]


def is_custom(manifest: Manifest) -> bool:
    """Say whether a manifest is of a kind that Kubernetes itself does not know."""
    group = manifest["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def of_kind(overlay: str, *kinds: str) -> list[Manifest]:
    """Return the manifests of some kinds."""
    return [each for each in rendered(overlay) if each["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Manifest:
    """Return the one manifest of this kind and name."""
    (found,) = (each for each in of_kind(overlay, kind) if each["metadata"]["name"] == name)
    return found


def workloads(overlay: str) -> list[Manifest]:
    """Return all manifests that create pods."""
    return of_kind(overlay, "Deployment", "DaemonSet", "StatefulSet", "Job")


def pod(workload: Manifest) -> Manifest:
    """Return the pod's specification."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def labels(workload: Manifest) -> dict[str, str]:
    """Return the labels of its pods."""
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def of_the_product(overlay: str) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield each workload that runs the product's image, with its container."""
    for workload in workloads(overlay):
        (container,) = pod(workload)["containers"]
        if container["image"].startswith("videocloud-analytics"):
            yield workload, container


def settings(overlay: str) -> dict[str, str]:
    """Return the content of the ConfigMap that all workloads share."""
    (found,) = (
        each for each in of_kind(overlay, "ConfigMap") if each["metadata"]["name"].startswith("settings-")
    )
    data: dict[str, str] = found["data"]
    return data


def environment(overlay: str, container: Manifest) -> dict[str, str]:
    """Return a container's environment variables; a value from a Secret is `NAME/KEY`."""
    found = dict(settings(overlay)) if container.get("envFrom") else {}
    for each in container.get("env", []):
        source = each.get("valueFrom", {})
        if reference := source.get("secretKeyRef"):
            found[each["name"]] = f"{reference['name']}/{reference['key']}"
        else:
            found[each["name"]] = each.get("value", source.get("fieldRef", {}).get("fieldPath", ""))
    return found


def secrets(overlay: str) -> set[tuple[str, str]]:
    """Return (name, key) of every entry of a Secret that the manifests refer to."""
    found = set()
    for workload in workloads(overlay):
        for container in pod(workload)["containers"]:
            for each in container.get("env", []):
                if reference := each.get("valueFrom", {}).get("secretKeyRef"):
                    found.add((reference["name"], reference["key"]))
        for volume in pod(workload).get("volumes", []):
            if "secret" in volume:
                found |= {(volume["secret"]["secretName"], item["key"]) for item in volume["secret"]["items"]}
    for access in of_kind(overlay, "TriggerAuthentication"):
        found |= {(each["name"], each["key"]) for each in access["spec"]["secretTargetRef"]}
    for server in of_kind(overlay, "ClickHouseInstallation"):
        for key, value in server["spec"]["configuration"]["users"].items():
            if key.endswith("/k8s_secret_password"):
                name, _, secret_key = value.partition("/")
                found.add((name, secret_key))
    return found
