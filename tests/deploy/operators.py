"""Checks manifests against excerpts of the schemas of the operators' custom resources.

`operators.json` is made from the operators' own CustomResourceDefinitions. It has the full schema of all
properties that our manifests use, and only the names of the others, so that a misspelled name is found. When
a manifest uses more properties, or for a newer operator, make the file again from a folder with the
definitions, named PROJECT-VERSION-ANY.yaml:

    git -C keda show v2.20.2:config/crd/bases/keda.sh_scaledobjects.yaml > crds/keda-2.20.2-scaledobjects.yaml
    .venv/bin/python -m tests.deploy.operators crds
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator

FILE: Final = Path(__file__).with_suffix(".json")
#: Sources of the definitions. All are under the Apache License 2.0.
PROJECTS: Final = {
    "keda": "https://github.com/kedacore/keda, config/crd/bases",
    "strimzi": "https://github.com/strimzi/strimzi-kafka-operator, packaging/install/cluster-operator",
    "prometheus": "https://github.com/prometheus-operator/prometheus-operator,"
    " example/prometheus-operator-crd",
    "altinity": "https://github.com/Altinity/clickhouse-operator, deploy/helm/clickhouse-operator/crds",
}
#: Fields that every resource has and Kubernetes itself validates.
_COMMON: Final = {"apiVersion", "kind", "metadata"}
#: A property that no manifest used when the excerpt was made.
_UNUSED: Final = {"unused": True}
#: Schema keywords that validate nothing.
_TOLD: Final = {"description", "default", "example", "title", "nullable"}


def excerpt(schema: Mapping[str, Any], values: Iterable[Any]) -> dict[str, Any]:
    """Return the part of a schema that applies to some values, and the names of all other properties."""
    found = list(values)
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {
                name: excerpt(each, inner)
                if (inner := [one[name] for one in found if isinstance(one, dict) and name in one])
                else dict(_UNUSED)
                for name, each in value.items()
            }
        elif key == "items":
            kept[key] = excerpt(value, [one for each in found if isinstance(each, list) for one in each])
        elif key == "additionalProperties" and isinstance(value, dict):
            kept[key] = excerpt(
                value, [one for each in found if isinstance(each, dict) for one in each.values()]
            )
        elif key.startswith("x-kubernetes-"):
            if key == "x-kubernetes-int-or-string":
                kept["type"] = ["integer", "string"]
        elif key not in _TOLD:
            kept[key] = value
    # The API server silently drops properties that a schema does not name.
    free = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if "properties" in kept and not free:
        kept["additionalProperties"] = False
    return kept


def unused(schema: Mapping[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths in a value of properties of which the excerpt has the name only."""
    if schema.get("unused"):
        yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            own = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if isinstance(own, dict):
                yield from unused(own, inner, f"{path}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from unused(schema.get("items", {}), inner, f"{path}[{number}]")


@cache
def _known() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(FILE.read_text("utf-8"))["resources"]
    return known


def problems(manifest: Mapping[str, Any]) -> list[str]:
    """Return what an operator would refuse in a manifest, or silently ignore."""
    own = _known().get(f"{manifest['apiVersion']}/{manifest['kind']}")
    if own is None:
        return [f"{manifest['apiVersion']} has no {manifest['kind']}"]
    told = {name: value for name, value in manifest.items() if name not in _COMMON}
    schema = own["schema"]
    found = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(told)
    ]
    return found + [f"{where} is not in {FILE.name}: make it anew" for where in unused(schema, told)]


def main(folder: Path) -> None:
    """Make the excerpts from the definitions in a folder."""
    from tests.deploy import manifests

    used = manifests.of_operators()
    kinds = {f"{one['apiVersion']}/{one['kind']}" for one in used}
    resources = {name: each for name, each in _known().items() if name in kinds}
    for file in sorted(folder.glob("*.yaml")):
        project, version, _ = file.name.split("-", 2)
        definition = yaml.safe_load(file.read_text("utf-8"))["spec"]
        kind = definition["names"]["kind"]
        for each in definition["versions"]:
            name = f"{definition['group']}/{each['name']}/{kind}"
            mine = [one for one in used if f"{one['apiVersion']}/{one['kind']}" == name]
            if mine and each["served"]:
                schema = each["schema"]["openAPIV3Schema"]
                own = {key: value for key, value in schema["properties"].items() if key not in _COMMON}
                resources[name] = {
                    "from": f"{PROJECTS[project]}, {version}",
                    "schema": excerpt({**schema, "properties": own}, mine),
                }
    made = {
        "about": "Excerpts of CustomResourceDefinitions, made by tests/deploy/operators.py",
        "license": "Apache-2.0, that of each project",
        "resources": resources,
    }
    text = json.dumps(made, indent=1, ensure_ascii=False)
    FILE.write_text(re.sub(r'\{\s+("unused": true)\s+\}', r"{\1}", text) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
