"""deploy/kubernetes: rendered, valid, and in agreement with the product."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from api.app import create_app
from api.settings import Settings as ApiSettings
from deploy.cli import app
from deploy.monitoring import files as monitoring
from streams import health
from streams.settings import Settings as WorkerSettings
from streams.topics import source_topics
from tests.deploy import compose, manifests, operators
from tests.deploy.test_compose import USERS

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
#: The oldest Kubernetes that is still looked after, and the newest that the schemas are there for.
VERSIONS = ("1.34", kubernetes_validate.latest_version())
#: What operators act on when everything is switched on.
CUSTOM = {
    "ScaledObject",
    "TriggerAuthentication",
    "Kafka",
    "KafkaNodePool",
    "KafkaUser",
    "ClickHouseInstallation",
    "PrometheusRule",
    "PodMonitor",
}
VERSION = tomllib.loads((compose.ROOT / "pyproject.toml").read_text())["project"]["version"]

pytestmark = pytest.mark.parametrize("overlay", manifests.OVERLAYS)


def test_manifests_are_those_of_the_published_schemas(overlay: str) -> None:
    # What both overlays have alike is validated once.
    known = [] if overlay == "small" else manifests.rendered("small")
    kinds = set()
    for manifest in manifests.rendered(overlay):
        kinds.add(manifest["kind"])
        if manifests.is_custom(manifest):
            assert operators.problems(manifest) == []
        elif manifest not in known:
            for version in VERSIONS:
                kubernetes_validate.validate(manifest, version, strict=True)
    assert {"Namespace", "Deployment", "Job", "Service", "NetworkPolicy", "PodDisruptionBudget"} <= kinds


def test_a_manifest_that_is_wrong_would_be_found(overlay: str) -> None:
    worker = json.loads(json.dumps(manifests.named(overlay, "Deployment", "worker")))
    worker["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(worker, VERSIONS[0], strict=True)


def test_nothing_secret_is_in_the_manifests(overlay: str) -> None:
    assert not manifests.of_kind(overlay, "Secret")
    for _, container in manifests.of_the_product(overlay):
        for name, value in manifests.environment(overlay, container).items():
            if re.search("PASSWORD|SECRET|KEY$|_URL$", name) and name != "API_URL":
                assert re.fullmatch(r"videocloud-[a-z]+/[a-z-]+", value), f"{name} stands there as it is"


def test_the_namespace_can_be_made_before_the_rest(overlay: str) -> None:
    # The Secrets come first. A namespace that `kubectl create` made would not be restricted yet, and
    # `kubectl apply` would warn of it.
    file = manifests.FOLDER / "overlays" / overlay / "namespace.yaml"
    alone = yaml.safe_load(file.read_text())["metadata"]
    (later,) = (each["metadata"] for each in manifests.of_kind(overlay, "Namespace"))
    assert alone["name"] == later["name"] and alone["labels"].items() <= later["labels"].items()
    page = (compose.ROOT / "docs/deployment.md").read_text()
    command = f"kubectl apply -f {file.relative_to(compose.ROOT)}\npython3 deploy/kubernetes/passwords.py"
    assert (command in page) == (overlay == "small")


def test_every_secret_comes_from_the_program_or_from_an_operator(overlay: str) -> None:
    program = manifests.FOLDER / "passwords.py"
    printed = subprocess.run(
        [sys.executable, str(program)], capture_output=True, check=True, timeout=20
    ).stdout
    made = {
        (each["metadata"]["name"], key) for each in json.loads(printed)["items"] for key in each["stringData"]
    }
    others = manifests.secrets(overlay) - made
    assert others == {
        ("videocloud-kafka", "password"),
        ("kafka-cluster-ca-cert" if overlay == "small" else "videocloud-kafka-ca", "ca.crt"),
    }
    page = (compose.ROOT / "docs/deployment.md").read_text()
    assert all(f"`{name}`" in page for name, _ in manifests.secrets(overlay) if "cluster-ca" not in name)


def test_pods_are_as_the_restricted_standard_wants_them(overlay: str) -> None:
    (namespace,) = manifests.of_kind(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in manifests.workloads(overlay):
        pod = manifests.pod(workload)
        assert pod["automountServiceAccountToken"] is False
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert all(
            volume.keys() & {"emptyDir", "secret", "persistentVolumeClaim"} for volume in pod["volumes"]
        )
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["resources"]["limits"]["memory"]


def test_pods_run_commands_of_this_version_as_the_user_of_the_image(overlay: str) -> None:
    ran = set()
    for workload, container in manifests.of_the_product(overlay):
        assert container["image"] == f"videocloud-analytics:{VERSION}"
        assert manifests.pod(workload)["securityContext"]["runAsUser"] == 10001
        command, *options = container["args"]
        with COMMANDS[command].make_context(command, list(options)) as context:
            assert context.info_name == command
        ran.add(command)
    assert ran == {"worker", "api", "migrate", "topics", "agent"}


def test_servers_are_the_same_as_with_compose(overlay: str) -> None:
    images = {service["image"] for service in compose.services().values()}
    for workload in manifests.workloads(overlay):
        assert {each["image"] for each in manifests.pod(workload)["containers"]} <= images
    for server in manifests.of_kind(overlay, "ClickHouseInstallation"):
        (template,) = server["spec"]["templates"]["podTemplates"]
        assert {each["image"] for each in template["spec"]["containers"]} <= images


def test_pods_set_only_variables_that_their_command_reads(overlay: str) -> None:
    every = {field.upper() for kind in (WorkerSettings, ApiSettings) for field in kind.model_fields}
    for _, container in manifests.of_the_product(overlay):
        command = COMMANDS[container["args"][0]]
        read = every | {parameter.envvar for parameter in command.params if parameter.envvar} | {"API_URL"}
        assert manifests.environment(overlay, container).keys() <= read


def test_settings_take_what_a_pod_sets(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _, container in manifests.of_the_product(overlay):
        with monkeypatch.context() as patch:
            for name, value in manifests.environment(overlay, container).items():
                patch.setenv(name, value)
            settings = ApiSettings() if container["args"][0] == "api" else WorkerSettings()
        wanted = "PLAINTEXT" if container["args"][0] == "migrate" else "SASL_SSL"
        assert settings.kafka_security_protocol == wanted
        if wanted == "SASL_SSL":
            (mount,) = (each for each in container["volumeMounts"] if each["name"] == "kafka-ca")
            assert settings.kafka_ssl_ca == f"{mount['mountPath']}/ca.crt"


def test_each_part_comes_to_clickhouse_as_its_own_user(overlay: str) -> None:
    seen = {
        container["args"][0]: manifests.environment(overlay, container).get("CLICKHOUSE_URL")
        for _, container in manifests.of_the_product(overlay)
    }
    users = {"migrate": "owner", "worker": "writer", "api": "reader"}
    assert {part: url for part, url in seen.items() if url} == {
        part: f"videocloud-clickhouse/{user}-url" for part, user in users.items()
    }
    for server in manifests.of_kind(overlay, "ClickHouseInstallation"):
        given = server["spec"]["configuration"]["users"]
        for user in users.values():
            written = [right.text for right in USERS.findall(f"users/{user}/grants/query")]
            assert given.get(f"{user}/grants/query", []) == written, "the same rights as with compose"


def test_probes_ask_what_is_answered(overlay: str) -> None:
    answered = {
        "api": set(create_app(ApiSettings(log_level="ERROR")).openapi()["paths"]),
        "worker": {"/healthz", "/readyz", "/metrics"},
    }
    for name, paths in answered.items():
        deployment = manifests.named(overlay, "Deployment", name)
        (container,) = manifests.pod(deployment)["containers"]
        (port,) = container["ports"]
        for probe, path in {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}.items():
            asked = container[f"{probe}Probe"]["httpGet"]
            assert asked == {"path": path, "port": port["name"]} and path in paths
        scraped = deployment["spec"]["template"]["metadata"]["annotations"]
        assert scraped["prometheus.io/port"] == str(port["containerPort"])
        wanted = container["args"][container["args"].index("--port") + 1] if name == "api" else None
        port_set = manifests.environment(overlay, container).get("WORKER_METRICS_PORT", wanted)
        assert port_set == str(port["containerPort"])
    # A hung worker is noticed by the worker itself first, and then started again.
    live = container["livenessProbe"]
    assert live["periodSeconds"] * live["failureThreshold"] <= health.PATIENCE


def test_what_serves_is_disrupted_one_pod_at_a_time(overlay: str) -> None:
    guarded = {
        json.dumps(each["spec"]["selector"]["matchLabels"], sort_keys=True)
        for each in manifests.of_kind(overlay, "PodDisruptionBudget")
    }
    for deployment in manifests.of_kind(overlay, "Deployment"):
        assert json.dumps(deployment["spec"]["selector"]["matchLabels"], sort_keys=True) in guarded
        spread = {each["topologyKey"] for each in manifests.pod(deployment)["topologySpreadConstraints"]}
        assert spread == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


def test_selectors_find_their_pods(overlay: str) -> None:
    every = [manifests.labels(workload) for workload in manifests.workloads(overlay)]
    for workload in manifests.of_kind(overlay, "Deployment", "DaemonSet", "StatefulSet"):
        wanted = workload["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= manifests.labels(workload).items()
    for service in manifests.of_kind(overlay, "Service"):
        assert any(service["spec"]["selector"].items() <= pod.items() for pod in every)


def test_every_pod_is_closed_but_for_what_a_policy_opens(overlay: str) -> None:
    policies = {
        each["metadata"]["name"]: each["spec"] for each in manifests.of_kind(overlay, "NetworkPolicy")
    }
    closed = policies["nothing-else"]
    assert set(closed["policyTypes"]) == {"Ingress", "Egress"} and not closed.keys() & {"ingress", "egress"}
    for workload in manifests.workloads(overlay):
        assert closed["podSelector"]["matchLabels"].items() <= manifests.labels(workload).items()
    (stores,) = policies["stores"]["egress"]
    open_to = {each["port"] for each in stores["ports"]}
    brokers = manifests.settings(overlay)["KAFKA_BOOTSTRAP_SERVERS"].split(",")
    assert {int(broker.rpartition(":")[2]) for broker in brokers} | {6379, 8123, 8443} <= open_to
    reached = set(policies["stores"]["podSelector"]["matchExpressions"][0]["values"])
    assert reached == {container["args"][0] for _, container in manifests.of_the_product(overlay)}


def test_workers_follow_the_lag_up_to_the_partitions_and_never_to_none(overlay: str) -> None:
    if overlay == "small":
        assert manifests.named(overlay, "Deployment", "worker")["spec"]["replicas"] == 1
        assert not manifests.of_kind(overlay, "ScaledObject"), "one worker needs no autoscaler"
        return
    spec = manifests.named(overlay, "ScaledObject", "worker")["spec"]
    settings, defaults = manifests.settings(overlay), WorkerSettings()
    assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] == int(settings["TOPIC_PARTITIONS"])
    assert "idleReplicaCount" not in spec
    assert "replicas" not in manifests.named(overlay, "Deployment", "worker")["spec"]
    triggers = [each["metadata"] for each in spec["triggers"]]
    # The catalog is small: it never makes a lag of its own.
    watched = set(source_topics(defaults)) - {defaults.topic_catalog}
    assert {each["topic"] for each in triggers} == watched
    for each in triggers:
        assert each["consumerGroup"] == defaults.consumer_group
        assert each["bootstrapServers"] == settings["KAFKA_BOOTSTRAP_SERVERS"]
        assert each["sasl"] == settings["KAFKA_SASL_MECHANISM"].lower().replace("-sha-", "_sha")
        assert each["tls"] == "enable"
    (access,) = manifests.of_kind(overlay, "TriggerAuthentication")
    (user,) = access["spec"]["configMapTargetRef"]
    (shared,) = manifests.of_kind(overlay, "ConfigMap")
    assert (user["name"], user["key"]) == (shared["metadata"]["name"], "KAFKA_SASL_USERNAME")


def test_replicas_of_the_api_share_the_folder_of_exports(overlay: str) -> None:
    scalers = manifests.of_kind(overlay, "HorizontalPodAutoscaler")
    api = manifests.named(overlay, "Deployment", "api")
    (modes,) = (each["spec"]["accessModes"] for each in manifests.of_kind(overlay, "PersistentVolumeClaim"))
    if overlay == "small":
        assert (
            not scalers and api["spec"]["replicas"] == 1 and api["spec"]["strategy"] == {"type": "Recreate"}
        )
        assert modes == ["ReadWriteOnce"]
        return
    (scaler,) = scalers
    assert scaler["spec"]["minReplicas"] >= 2 and "replicas" not in api["spec"]
    assert scaler["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    assert modes == ["ReadWriteMany"]


def test_operators_make_the_user_that_the_pods_are(overlay: str) -> None:
    settings = manifests.settings(overlay)
    if overlay != "small":
        assert not manifests.of_kind(overlay, "Kafka", "KafkaUser", "ClickHouseInstallation")
        return
    user = manifests.named(overlay, "KafkaUser", settings["KAFKA_SASL_USERNAME"])
    assert user["spec"]["authentication"]["type"].upper() == settings["KAFKA_SASL_MECHANISM"]
    (kafka,) = manifests.of_kind(overlay, "Kafka")
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    address = f"{kafka['metadata']['name']}-kafka-bootstrap:{listener['port']}"
    assert settings["KAFKA_BOOTSTRAP_SERVERS"] == address
    assert listener["tls"] and settings["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    (nodes,) = manifests.of_kind(overlay, "KafkaNodePool")
    assert int(settings["TOPIC_REPLICATION"]) <= nodes["spec"]["replicas"]
    groups = {
        each["resource"]["name"]
        for each in user["spec"]["authorization"]["acls"]
        if each["resource"]["type"] == "group"
    }
    assert groups == {WorkerSettings().consumer_group}


def test_clickhouse_forgets_torn_inserts_before_it_starts(overlay: str) -> None:
    servers = manifests.of_kind(overlay, "ClickHouseInstallation")
    assert len(servers) == (overlay == "small")
    for server in servers:
        (template,) = server["spec"]["templates"]["podTemplates"]
        # The operator takes whatever stands there; Kubernetes does not.
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]}
        kubernetes_validate.validate(pod, VERSIONS[0], strict=True)
        (container,), (volume,) = template["spec"]["containers"], template["spec"]["volumes"]
        (mount,) = container["volumeMounts"]
        scripts = manifests.named(overlay, "ConfigMap", volume["configMap"]["name"])["data"]
        assert mount["name"] == volume["name"]
        script = mount["mountPath"] + "/" + "".join(scripts)
        assert container["command"][-1] == f"sh {script} /var/lib/clickhouse && exec /entrypoint.sh"


def assert_scraped(found: tuple[Any, ...], deployments: dict[str, Any]) -> None:
    """See that the rules are those of compose, and ask for the jobs that the PodMonitor makes of the pods."""
    (rule,) = (each for each in found if each["kind"] == "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((compose.ROOT / "deploy/prometheus/alerts.yml").read_text())
    (monitor,) = (each["spec"] for each in found if each["kind"] == "PodMonitor")
    (chosen,) = monitor["selector"]["matchExpressions"]
    jobs = set()
    for deployment in deployments.values():
        labels = manifests.labels(deployment)
        if labels.get(chosen["key"]) in chosen["values"]:
            jobs.add(labels[monitor["jobLabel"]])
            (container,) = manifests.pod(deployment)["containers"]
            ports = {each["name"] for each in container["ports"]}
            assert len(ports & {each["port"] for each in monitor["podMetricsEndpoints"]}) == 1
    assert jobs == {scrape["job_name"] for scrape in monitoring.prometheus()["scrape_configs"]}


def test_the_operators_and_a_bucket_can_be_switched_on_in_production(overlay: str, tmp_path: Path) -> None:
    if overlay == "small":
        assert manifests.of_kind(overlay, "Kafka") and manifests.of_kind(overlay, "ClickHouseInstallation")
        return
    found = manifests.switched_on(overlay, tmp_path, {"EXPORT_S3_URL": "s3://exports/some"})
    kinds = {each["kind"] for each in found}
    assert kinds >= CUSTOM and "PersistentVolumeClaim" not in kinds
    for manifest in found:
        if manifests.is_custom(manifest):
            assert operators.problems(manifest) == []
        else:
            kubernetes_validate.validate(manifest, VERSIONS[0], strict=True)
    deployments = {each["metadata"]["name"]: each for each in found if each["kind"] == "Deployment"}
    assert_scraped(found, deployments)
    pods = {name: manifests.pod(each) for name, each in deployments.items()}
    authorities = [
        volume["secret"]["secretName"] for volume in pods["worker"]["volumes"] if "secret" in volume
    ]
    assert authorities == ["kafka-cluster-ca-cert"]
    # The bucket: keys from a Secret that may be missing; what must be made on disk has a folder of its own.
    (container,) = pods["api"]["containers"]
    variables = {each["name"]: each for each in container["env"]}
    for name, key in (("EXPORT_S3_ACCESS_KEY", "access-key"), ("EXPORT_S3_SECRET_KEY", "secret-key")):
        reference = variables[name]["valueFrom"]["secretKeyRef"]
        assert reference == {"name": "videocloud-exports", "key": key, "optional": True}
        assert name.lower() in ApiSettings.model_fields
    (folder,) = (each["mountPath"] for each in container["volumeMounts"] if each["name"] == "exports")
    assert variables["TMPDIR"]["value"] == variables["EXPORT_DIR"]["value"] == folder
    assert {"name": "exports", "emptyDir": {"sizeLimit": "5Gi"}} in pods["api"]["volumes"]
    (shared,) = (
        each["data"] for each in found if each["kind"] == "ConfigMap" and "TOPIC_PARTITIONS" in each["data"]
    )
    assert shared["EXPORT_S3_URL"] == "s3://exports/some"
    (policy,) = (each["spec"] for each in found if each["metadata"]["name"] == "exports")
    assert {each["port"] for each in policy["egress"][0]["ports"]} >= {443}
    page = (compose.ROOT / "docs/deployment.md").read_text()
    assert "`videocloud-exports`" in page


def test_every_setting_can_be_set_in_the_settings_of_an_overlay(overlay: str) -> None:
    (settings,) = (
        each
        for each in manifests.of_kind(overlay, "ConfigMap")
        if each["metadata"]["name"].startswith("settings-")
    )
    for _, container in manifests.of_the_product(overlay):
        assert container["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
