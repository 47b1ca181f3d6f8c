"""Custom resources are held against their operators' own schemas, and those are looked at where it counts."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.deploy import manifests, operators

FOUND = {each["kind"]: each for each in manifests.of_operators()}


@pytest.mark.parametrize("kind", FOUND)
def test_a_resource_is_one_that_its_operator_takes_whole(kind: str) -> None:
    assert operators.problems(FOUND[kind]) == []


def test_there_is_a_resource_of_each_operator() -> None:
    groups = {each["apiVersion"].rpartition("/")[0] for each in FOUND.values()}
    assert groups == {
        "keda.sh",
        "kafka.strimzi.io",
        "clickhouse.altinity.com",
        "monitoring.coreos.com",
    }


@pytest.mark.parametrize(
    ("kind", "path", "value", "problem"),
    [
        ("Kafka", "spec.kafka.listeners.0.typ", "internal", "typ"),
        ("Kafka", "spec.kafka.listeners.0.type", "outside", "'outside' is not one of"),
        ("KafkaNodePool", "spec.roles.0", "brokr", "'brokr' is not one of"),
        ("KafkaNodePool", "spec.replicas", "three", "'three' is not of type 'integer'"),
        ("KafkaUser", "spec.authentication.type", "scram", "'scram' is not one of"),
        ("ScaledObject", "spec.triggers.0.metadata.lagThreshold", 100_000, "100000 is not of type 'string'"),
        ("TriggerAuthentication", "spec.secretTargetRefs", [], "secretTargetRefs"),
        ("ClickHouseInstallation", "spec.configuration.clustrs", [], "clustrs"),
        ("PodMonitor", "spec.podMetricsEndpoints.0.interval", "often", "'often' does not match"),
        ("PrometheusRule", "spec.groups.0.rules.0.for", "soon", "'soon' does not match"),
        # That there is such a name is known, and no more.
        ("ClickHouseInstallation", "spec.configuration.clusters.0.layout.shards", 1, "make it anew"),
    ],
)
def test_what_an_operator_would_not_take_is_found(kind: str, path: str, value: Any, problem: str) -> None:
    manifest = copy.deepcopy(FOUND[kind])
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    there: Any = manifest
    for part in way:
        there = there[part]
    there[last] = value
    (found,) = operators.problems(manifest)
    assert problem in found and ".".join(map(str, way)) in found.replace("[", ".").replace("]", "")


def test_a_kind_that_an_operator_does_not_have_is_found() -> None:
    manifest = FOUND["Kafka"] | {"apiVersion": "kafka.strimzi.io/v1beta2"}
    assert operators.problems(manifest) == ["kafka.strimzi.io/v1beta2 has no Kafka"]
