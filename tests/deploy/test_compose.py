"""docker-compose.yml: what it names is there, and what it starts is kept in its bounds."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import compose_spec
import pytest
import typer.main
import yaml
from clickhouse_connect.driver.httputil import check_env_proxy

from api.settings import Settings as ApiSettings
from deploy.cli import app
from deploy.embedded import stack
from deploy.monitoring import files as monitoring
from deploy.monitoring.alerts import ALERTS, PAGE
from sinks.kafka.access import KafkaAccess
from streams.settings import Settings as WorkerSettings
from tests.deploy import compose

ROOT = compose.ROOT
SERVICES = compose.services()
PRODUCT = dict(compose.of_the_product())
JOBS = {"migrate", "topics"}
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
USERS = ElementTree.parse(ROOT / "deploy/clickhouse/users.xml").getroot()


def test_it_is_a_compose_file() -> None:
    filled = yaml.safe_dump(compose.filled(compose.generated()), sort_keys=False)
    compose_spec.PyCompose.from_yaml(filled).validate()


def test_a_word_that_compose_does_not_know_would_be_found() -> None:
    with pytest.raises(ValueError, match="helthcheck"):
        compose_spec.PyCompose.from_yaml("services: {a: {image: b, helthcheck: {}}}")


def test_docker_compose_takes_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("there is no docker compose on this machine; compose-spec's own parser checks the file")
    file = tmp_path / ".env"
    file.write_text("".join(f"{name}={value}\n" for name, value in compose.generated().items()))
    command = [docker, "compose", "--env-file", str(file), "--profile", "*", "config", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_security_linter_has_nothing_to_say() -> None:
    # Left out: CL-0019 wants digests beside tags, which only a registry knows, and CL-0026 limits of CPU,
    # which would slow everybody down on a host with idle cores.
    command = [compose.tool("compose-lint"), "--fail-on", "low", "--format", "json"]
    # Of a copy: it warns of what is mounted from below /root, where a clone may be, or /dev, where TMPDIR
    # may be, and takes what a .env beside the file says for written in the file.
    with TemporaryDirectory(dir="/tmp") as folder:
        copy = shutil.copy(compose.FILE, folder)
        done = subprocess.run([*command, copy], capture_output=True, text=True, timeout=60)
    found = set(re.findall(r"CL-\d{4}", done.stdout))
    assert done.stdout and found <= {"CL-0019", "CL-0026"}, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_cannot_write_its_root_or_gain_rights_or_fill_the_host(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    user = service["user"].split(":")[0]
    assert user.isdecimal() and user != "0"
    assert not service.get("privileged") and "network_mode" not in service and "pid" not in service
    limits = service["deploy"]["resources"]["limits"]
    assert re.fullmatch(r"\d+[mg]", limits["memory"]) and limits["pids"] <= 4096
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_this_host_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    if SERVICES[name].get("ports"):
        assert "edge" in SERVICES[name]["networks"]


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert re.search(r"\d+\.\d+", tag), f"{image} floats"


def test_the_products_image_has_the_version_of_the_product() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {service["image"] for service in PRODUCT.values()} == {f"videocloud-analytics:{version}"}


@pytest.mark.parametrize("name", SERVICES)
def test_who_needs_another_waits_until_it_is_healthy_or_has_ended_well(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        other = SERVICES[needed]
        if needed in JOBS:
            assert how["condition"] == "service_completed_successfully"
            assert other["restart"] == "no"
        else:
            assert how["condition"] == "service_healthy" and other["healthcheck"]["test"]
            assert other["restart"] == "unless-stopped"


def test_only_jobs_have_no_health_check() -> None:
    # Of others, `docker compose up --wait` of Compose 2 says "has no healthcheck configured", and fails.
    unchecked = {name for name, each in SERVICES.items() if each.get("healthcheck", {}).get("disable")}
    assert unchecked == JOBS
    # Compose waits for the end of what another waits for, and for the health of all others.
    ends = {
        needed
        for each in SERVICES.values()
        for needed, how in each.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    assert ends == JOBS
    for name in SERVICES.keys() - unchecked:
        assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert SERVICES[name]["healthcheck"]["start_period"]


def test_profiles_are_those_that_the_documents_name() -> None:
    profiles = {name: each["profiles"] for name, each in SERVICES.items() if "profiles" in each}
    monitored = dict.fromkeys(("prometheus", "alertmanager", "grafana"), ["grafana"])
    assert profiles == {"traffic": ["demo"], **monitored, "s3": ["s3"]}


@pytest.mark.parametrize("name", PRODUCT)
def test_a_service_runs_a_command_that_there_is(name: str) -> None:
    command, *options = PRODUCT[name]["command"]
    # An unknown option, or a value that does not fit, is an error here.
    with COMMANDS[command].make_context(command, list(options)) as context:
        assert context.info_name == command


@pytest.mark.parametrize("name", PRODUCT)
def test_a_service_sets_only_variables_that_its_command_reads(name: str) -> None:
    command = COMMANDS[PRODUCT[name]["command"][0]]
    settings = ApiSettings if command.name == "api" else WorkerSettings
    read = {field.upper() for field in settings.model_fields}
    read |= {parameter.envvar for parameter in command.params if parameter.envvar}
    read |= {"API_URL"} if command.name == "agent" else set()
    read |= {"TMPDIR"} if command.name == "api" else set()  # Python itself reads it.
    read |= {"NO_PROXY", "no_proxy"}  # HTTP clients read them.
    assert compose.environment(PRODUCT[name]).keys() <= read


#: What the file itself says: its servers and how they are reached, and addresses within the containers.
SAID: frozenset[str] = frozenset(
    {field.upper() for field in KafkaAccess.model_fields}
    | {"KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "CLICKHOUSE_URL", "CLICKHOUSE_CLUSTER", "TOPIC_REPLICATION"}
    | {"WORKER_METRICS_HOST", "WORKER_METRICS_PORT", "EXPORT_DIR"}
    # These have other names in .env, or are for `vca migrate` alone.
    | {"EXPORT_S3_ACCESS_KEY", "EXPORT_S3_SECRET_KEY", "ANALYST_PASSWORD"}
)


@pytest.mark.parametrize("name", PRODUCT)
def test_every_setting_but_addresses_can_be_set_in_the_file_of_make_env(name: str) -> None:
    settings = ApiSettings if name == "api" else WorkerSettings
    wanted = {field.upper(): f"a {field}" for field in settings.model_fields if field.upper() not in SAID}
    told = compose.environment(compose.filled(compose.generated() | wanted)["services"][name])
    assert wanted.items() <= told.items()
    # An untold one is not set at all, so that it is what the product itself takes.
    assert compose.environment(PRODUCT[name]).keys() < told.keys()


@pytest.mark.parametrize("others", [{}, {"NO_PROXY": "s3.corp.test"}])
def test_a_proxy_of_the_host_is_asked_for_no_other_service(
    others: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker gives a container the proxy of its client's configuration."""
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    for part, service in compose.filled(compose.generated() | others)["services"].items():
        given = compose.environment(service)
        urls = [urlsplit(given[name]) for name in given if name.endswith(("_URL", "_ENDPOINT"))]
        asked = {url.hostname for url in urls if url.scheme == "http"} if part in PRODUCT else set()
        for variable in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(variable, given.get(variable, ""))
        for host in asked | (set(others.values()) if asked else set()):
            assert host and proxy_bypass(host), (part, host)
            assert check_env_proxy("http", host, 8123) is None, (part, host)
        if asked:
            assert check_env_proxy("http", "clickhouse.test", 8123), part


@pytest.mark.parametrize("name", PRODUCT)
def test_settings_take_what_a_service_sets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in compose.environment(PRODUCT[name]).items():
        monkeypatch.setenv(variable, value)
    settings = ApiSettings() if name == "api" else WorkerSettings()
    if name != "migrate":
        access = settings.kafka("kafka:9092")
        assert (access["security_protocol"], access["sasl_mechanism"]) == ("SASL_PLAINTEXT", "PLAIN")


def test_exports_stay_on_disk_until_a_bucket_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (folder,) = (mount.split(":")[1] for mount in SERVICES["api"]["volumes"])
    on_disk = _api_settings(monkeypatch, SERVICES["api"])
    assert on_disk.export_s3_url is None and on_disk.export_dir == folder
    assert compose.environment(SERVICES["api"])["TMPDIR"] == folder
    assert SERVICES["s3"]["profiles"] == ["s3"] and "s3" not in SERVICES["api"]["depends_on"]

    values = compose.generated() | {"EXPORT_S3_URL": "s3://videocloud-exports"}
    services = compose.filled(values)["services"]
    store = compose.environment(services["s3"])
    in_a_bucket = _api_settings(monkeypatch, services["api"])
    assert in_a_bucket.export_s3_url == "s3://videocloud-exports"
    endpoint, public = in_a_bucket.export_s3_endpoint, in_a_bucket.export_s3_public_endpoint
    assert set(services["s3"]["networks"]) & set(services["api"]["networks"])
    (port,) = services["s3"]["ports"]
    assert (endpoint, public) == (f"http://s3:{port.split(':')[2]}", f"http://{port.rpartition(':')[0]}")
    for setting, variable in (
        (in_a_bucket.export_s3_access_key, "AWS_ACCESS_KEY_ID"),
        (in_a_bucket.export_s3_secret_key, "AWS_SECRET_ACCESS_KEY"),
    ):
        assert setting is not None and setting.get_secret_value() == store[variable]


def _api_settings(monkeypatch: pytest.MonkeyPatch, service: dict[str, Any]) -> ApiSettings:
    with monkeypatch.context() as patch:
        for variable, value in compose.environment(service).items():
            patch.setenv(variable, value)
        return ApiSettings()


def test_kafkas_own_doors_stay_inside_its_container() -> None:
    broker = compose.environment(SERVICES["kafka"])
    listeners = dict(each.split("://") for each in broker["KAFKA_LISTENERS"].split(","))
    protocols = dict(each.split(":") for each in broker["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    for name, address in listeners.items():
        if protocols[name] == "PLAINTEXT":
            assert address.startswith("127.0.0.1:"), f"{name} is open to all who reach it"
        else:
            jaas = broker[f"KAFKA_LISTENER_NAME_{name}_PLAIN_SASL_JAAS_CONFIG"]
            user = compose.environment(SERVICES["worker"])
            pair = f'user_{user["KAFKA_SASL_USERNAME"]}="{user["KAFKA_SASL_PASSWORD"]}"'
            assert pair in jaas and jaas.endswith(";")
    assert f"127.0.0.1:{listeners['BROKER'].split(':')[1]}" in SERVICES["kafka"]["healthcheck"]["test"][1]
    assert listeners["CLIENTS"] == ":9092" and "CLIENTS://kafka:9092" in broker["KAFKA_ADVERTISED_LISTENERS"]


def test_each_part_comes_to_clickhouse_as_a_user_of_its_own_that_there_is() -> None:
    users = {user.tag: user for user in USERS.iterfind("users/*")}
    parts = {"migrate": "owner", "worker": "writer", "api": "reader"}
    server = compose.environment(SERVICES["clickhouse"])
    for part, user in parts.items():
        url = urlsplit(compose.environment(SERVICES[part])["CLICKHOUSE_URL"])
        assert (url.username, url.hostname, url.port, url.path) == (user, "clickhouse", 8123, "/videocloud")
        variable = users[user].find("password").attrib["from_env"]  # type: ignore[union-attr]
        assert url.password == server[variable]
    assert users.pop("default").attrib == {"remove": "remove"}, "the user without a password is gone"
    assert users.keys() == set(parts.values())
    rights = {name: [right.text for right in user.iter("query")] for name, user in users.items()}
    assert rights["writer"] == ["GRANT SELECT, INSERT ON videocloud.*"]
    assert rights["reader"] == ["GRANT SELECT ON videocloud.*"]
    assert USERS.findtext("profiles/reader/readonly") == "2"


def test_clickhouse_finds_every_variable_that_its_files_name() -> None:
    named = set()
    for file in ("users.xml", "config.xml"):
        named |= set(re.findall(r'from_env="(\w+)"', (ROOT / "deploy/clickhouse" / file).read_text()))
    assert named == compose.environment(SERVICES["clickhouse"]).keys() - {"CLICKHOUSE_SKIP_USER_SETUP"}


def test_clickhouse_forgets_torn_inserts_before_it_starts() -> None:
    command = SERVICES["clickhouse"]["entrypoint"][-1]
    script, folder = re.fullmatch(r"sh (\S+) (\S+) && exec /entrypoint\.sh", command).groups()  # type: ignore[union-attr]
    mounts = dict(reversed(mount.split(":")[:2]) for mount in SERVICES["clickhouse"]["volumes"])
    assert mounts[script] == "./deploy/clickhouse/forget-torn-inserts.sh"
    assert mounts[folder] == "clickhouse"


@pytest.mark.parametrize("name", ["clickhouse", "prometheus", "grafana"])
def test_files_that_are_mounted_are_there(name: str) -> None:
    mounted = [mount.split(":")[0] for mount in SERVICES[name]["volumes"] if mount.startswith("./")]
    assert len(mounted) >= 2 and not [path for path in mounted if not (ROOT / path).exists()]


def test_prometheus_and_grafana_find_what_their_files_name() -> None:
    ports = {
        "worker": int(SERVICES["worker"]["environment"]["WORKER_METRICS_PORT"]),
        "api": int(SERVICES["api"]["ports"][0].rpartition(":")[2]),
    }
    for scrape in monitoring.prometheus()["scrape_configs"]:
        (found,) = scrape["dns_sd_configs"]
        assert found["names"] == [scrape["job_name"]]
        assert found["port"] == ports.pop(scrape["job_name"])
    assert ports == {}
    told = set(re.findall(r"\$\{(\w+)\}", str(monitoring.datasources())))
    given = compose.environment(SERVICES["grafana"]).keys()
    assert told == {name for name in given if not name.startswith("GF_")}
    folders = [mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]]
    assert monitoring.FOLDER in folders


def test_prometheus_tells_alertmanager_and_every_alert_has_somebody_to_go_to() -> None:
    (found,) = monitoring.prometheus()["alerting"]["alertmanagers"]
    ((host, port),) = (each.split(":") for one in found["static_configs"] for each in one["targets"])
    service = SERVICES[host]
    assert service["profiles"] == SERVICES["prometheus"]["profiles"]
    assert set(service["networks"]) & set(SERVICES["prometheus"]["networks"])
    assert service["ports"][0].endswith(f":{port}") and f":{port}/" in service["healthcheck"]["test"][-1]
    told = monitoring.alertmanager()
    routes = [told["route"], *told["route"]["routes"]]
    receivers = {each["name"]: each["webhook_configs"] for each in told["receivers"]}
    assert {each["receiver"] for each in routes} == receivers.keys()
    (page,) = told["route"]["routes"]
    assert page["matchers"] == [f'severity="{PAGE}"'] and PAGE in {alert.severity for alert in ALERTS}
    written = set(re.findall(r"> (/\S+)", service["entrypoint"][-1]))
    assert {each["url_file"] for one in receivers.values() for each in one} == written
    assert any(folder.startswith(f"{monitoring.ADDRESSES}:") for folder in service["tmpfs"])


def test_what_follows_from_an_alert_that_woke_somebody_is_told_nobody() -> None:
    alerts = {alert.name: alert for alert in ALERTS}
    rules = monitoring.alertmanager()["inhibit_rules"]
    assert rules

    def named(matchers: list[str]) -> list[str]:
        (names,) = (re.fullmatch(r'alertname=~"([\w|]+)"', each) for each in matchers)
        assert names is not None
        return names[1].split("|")

    for rule in rules:
        causes = [alerts[name] for name in named(rule["source_matchers"])]
        followed = [alerts[name] for name in named(rule["target_matchers"])]
        assert {alert.severity for alert in causes} == {PAGE}
        # What should wake somebody is left out only where the same page of the runbook is open already.
        told = {alert.chapter for alert in causes}
        assert all(alert.severity != PAGE or alert.chapter in told for alert in followed)
        for label in rule.get("equal", ()):
            assert all(f"by ({label})" in alert.query for alert in causes + followed)


@pytest.mark.parametrize(
    ("given", "page", "ticket"),
    [
        ({"ALERT_PAGE_URL": "http://a/?b=%20"}, "http://a/?b=%20", "http://a/?b=%20"),
        ({"ALERT_PAGE_URL": "http://a", "ALERT_TICKET_URL": "http://b"}, "http://a", "http://b"),
        ({}, "", ""),
    ],
)
def test_alertmanager_starts_with_the_addresses_that_were_given(
    given: dict[str, str], page: str, ticket: str, tmp_path: Path
) -> None:
    shell, option, script = SERVICES["alertmanager"]["entrypoint"]
    binary = tmp_path / "alertmanager"
    binary.write_text('#!/bin/sh\nprintf "%s\\n" "$@"')
    binary.chmod(0o755)
    here = script.replace(monitoring.ADDRESSES, str(tmp_path))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "ALERT_PAGE_URL": "", "ALERT_TICKET_URL": "", **given}
    done = subprocess.run([shell, option, here], env=environment, capture_output=True, text=True, check=True)
    assert ((tmp_path / "page").read_text(), (tmp_path / "ticket").read_text()) == (page, ticket)
    assert ("told nobody" in done.stderr) == (not given)
    (config,) = (mount for mount in SERVICES["alertmanager"]["volumes"] if mount.endswith(":ro"))
    source, target, _ = config.split(":")
    assert f"--config.file={target}" in done.stdout.splitlines()
    assert yaml.safe_load((ROOT / source).read_text()) == monitoring.alertmanager()


def test_a_service_has_the_time_to_stop_that_it_may_take() -> None:
    placeholder = {name: "http://127.0.0.1:1" for name in ("API_URL", "KAFKA_BOOTSTRAP_SERVERS")}
    run = type("Run", (), {"path": ROOT})()
    for service in stack.services(stack.Options(), placeholder, run):
        seconds = int(SERVICES[service.name]["stop_grace_period"].removesuffix("s"))
        assert seconds >= service.stop_grace


def test_redis_loses_nothing_to_a_full_memory_and_keeps_a_file() -> None:
    command = SERVICES["redis"]["command"][-1]
    assert "--appendonly yes" in command and "--maxmemory-policy noeviction" in command
    assert "requirepass" in command and compose.generated().keys().isdisjoint(command.split())
