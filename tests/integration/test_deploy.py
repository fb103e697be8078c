"""What is written for containers, checked by the tools of that world. No image is built here: there is no registry."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from foundation import names
from foundation.clock import SystemClock
from observability.telemetry.metrics import domain, registry
from serving.access.identity import KEYS_FILE, KeyStore
from serving.cli.doctor import HIGHEST, LOWEST
from serving.server import running
from serving.settings import Settings, load
from tests.doubles.serving import world
from tests.make_rules import RULES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "serving" / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SECRETS = {"SIXPLY_POSTGRES_PASSWORD": "not-a-secret", "GRAFANA_PASSWORD": "not-a-secret"}
KUBERNETES = ("1.30", "1.33", "1.36")


def program(name: str) -> str:
    """A tool of Debian's."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install --no-install-recommends {name}")
    return found


def ran(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def variables() -> dict[str, str]:
    lines = (DEPLOY / "kubernetes" / "base" / "sixply.env").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """compose.yaml as docker-compose understands it."""
    found: dict[str, Any] = json.loads(ran(program("docker-compose"), "config", "--format", "json", **SECRETS))
    return found


@pytest.fixture(scope="module", params=["base", "scaled"])
def manifests(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    built = ran(program("kustomize"), "build", str(DEPLOY / "kubernetes" / request.param))
    return list(yaml.safe_load_all(built))


def of_kind(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [one for one in manifests if one["kind"] == kind]
    return found


def test_the_dockerfile_passes_its_linter() -> None:
    ran(str(Path(sys.executable).with_name("hadolint")), "Dockerfile")


def test_the_image_uses_a_python_and_extras_that_set_up_takes_and_does_not_run_as_root() -> None:
    major, minor = map(int, re.findall(r"ARG PYTHON=python:(\d+)\.(\d+)-slim", DOCKERFILE)[0])
    assert LOWEST <= (major, minor) <= HIGHEST
    (extras,) = re.findall(r"^ARG WITH=(.*)$", DOCKERFILE, re.MULTILINE)  # none in a project without extensions
    assert set(filter(None, extras.split(","))) <= set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    )
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)[-1] == "10001:10001"


def test_the_development_container_has_a_python_that_set_up_takes_and_runs_a_rule_of_the_makefile() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    major, minor = map(int, re.findall(r"python:(\d+)\.(\d+)-", container["image"])[0])
    assert LOWEST <= (major, minor) <= HIGHEST
    assert container["postCreateCommand"].removeprefix("make ") in RULES
    assert container["forwardPorts"] == [load().settings.serving.http.port]


def test_what_the_image_copies_holds_everything_that_set_up_and_serving_read() -> None:
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for needed in ("pyproject.toml", "requirements.lock", "requirements-dev.lock", "README.md", "LICENSE", "stack.toml", "policy.toml",
                   "outcomes.toml", "serving"):  # fmt: skip
        assert (ROOT / needed).exists()
        assert needed not in left_out
    assert {".git", ".venv*", "var", "weights", ".env"} <= set(left_out)


def test_the_commands_of_the_image_run(tmp_path: Path) -> None:
    assert '["python", "-m", "serving.cli"]' in DOCKERFILE
    assert "Usage" in ran(sys.executable, "-m", "serving.cli", "serve", "--help")
    written = re.search(r"HEALTHCHECK[^\[]*(\[.*?\])\n", DOCKERFILE.replace("\\\n", ""))
    assert written
    check = [sys.executable, *json.loads(written[1])[1:]]
    with running(world(tmp_path).system) as url:
        port = url.rpartition(":")[2]
        ran(*check, SIXPLY__SERVING__HTTP__PORT=port)
    gone = subprocess.run(check, env={"SIXPLY__SERVING__HTTP__PORT": port}, check=False, timeout=240)
    assert gone.returncode == 1


def test_a_pod_sets_only_what_there_is_and_finds_its_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (DEPLOY / "kubernetes" / "base" / "statefulset.yaml").read_text(encoding="utf-8")
    pod = yaml.safe_load(text)["spec"]["template"]["spec"]
    (container,), (linking,) = pod["containers"], pod["initContainers"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "192.0.2.1"))
    assert load(ROOT / "stack.toml").settings.serving.http.allowed_hosts
    data, secret = (
        {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}[it] for it in ("data", "keys")
    )
    assert linking["command"] == ["ln", "-sfn", f"{secret}/{KEYS_FILE}", f"{data}/{KEYS_FILE}"]
    assert f"SIXPLY__FOUNDATION__DATA_DIR={data} " in DOCKERFILE
    made = KeyStore(tmp_path / "made.json", SystemClock())
    key = made.create(subject="ada", tenant="north", roles=["reader"])
    (tmp_path / KEYS_FILE).symlink_to(made.path)
    assert KeyStore(tmp_path / KEYS_FILE, SystemClock()).authenticate(f"Bearer {key}").subject == "ada"


def test_compose_starts_in_order_publishes_on_loopback_and_pins_every_image(composed: dict[str, Any]) -> None:
    services = composed["services"]
    assert set(services) == {"api", "postgres", "redis", "prometheus", "grafana", "jaeger"}
    for name, service in services.items():
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
        assert not service.get("privileged")
        image, _, tag = service["image"].rpartition(":")
        assert name == "api" or (image and tag not in ("", "latest")), name
    api = services["api"]
    assert {on["condition"] for on in api["depends_on"].values()} == {"service_healthy"}
    assert all("healthcheck" in services[name] for name in api["depends_on"])
    assert api["read_only"] is True
    assert api["cap_drop"] == ["ALL"]
    assert variables().items() <= api["environment"].items()
    assert {variables()["PGHOST"], "redis", "jaeger"} <= set(services)


def test_what_compose_mounts_exists(composed: dict[str, Any]) -> None:
    mounted = [
        Path(volume["source"])
        for service in composed["services"].values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    ]
    assert len(mounted) >= 5
    assert [path for path in mounted if not path.exists()] == []


def test_prometheus_takes_its_configuration_with_the_rules(composed: dict[str, Any], tmp_path: Path) -> None:
    configuration = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
    scraped = yaml.safe_load(configuration)["scrape_configs"][0]
    ours = yaml.safe_load((ROOT / "observability" / "dashboards" / "prometheus.yml").read_text(encoding="utf-8"))
    assert scraped["job_name"] == ours["scrape_configs"][0]["job_name"], "the rules ask for it by this name"
    (target,) = scraped["static_configs"][0]["targets"]
    assert target.partition(":")[0] in composed["services"]
    assert target.partition(":")[0] in json.loads(variables()["SIXPLY__SERVING__HTTP__ALLOWED_HOSTS"])
    (tmp_path / "key").write_text("key")
    secret = scraped["authorization"]["credentials_file"]
    (tmp_path / "prometheus.yml").write_text(configuration.replace(secret, str(tmp_path / "key")))
    shutil.copy(ROOT / "observability" / "dashboards" / "rules.yml", tmp_path)
    ran(program("promtool"), "check", "config", str(tmp_path / "prometheus.yml"))


def test_grafana_finds_the_sources_that_its_dashboards_ask(composed: dict[str, Any]) -> None:
    known = yaml.safe_load((DEPLOY / "grafana" / "datasources" / "datasources.yml").read_text(encoding="utf-8"))
    for source in known["datasources"]:
        host, port = re.findall(r"http://([a-z]+):(\d+)", source["url"])[0]
        assert host in composed["services"]
        assert port
    asked = set()
    for dashboard in (ROOT / "observability" / "dashboards" / "grafana").glob("*.json"):
        asked |= set(re.findall(r'"type": "prometheus",\s+"uid": "(\w+)"', dashboard.read_text(encoding="utf-8")))
    assert asked <= {source["uid"] for source in known["datasources"]}


@pytest.mark.parametrize("release", KUBERNETES)
def test_every_manifest_fits_the_schema_of_kubernetes(manifests: list[dict[str, Any]], release: str) -> None:
    assert len(manifests) >= 7
    for manifest in manifests:
        kubernetes_validate.validate(manifest, release, strict=True)


def test_a_pod_is_probed_bounded_and_holds_no_right_that_it_does_not_need(manifests: list[dict[str, Any]]) -> None:
    template = of_kind(manifests, "StatefulSet")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in ("/health/live", "/health/ready")
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live", (
        "a store that is down is no reason to restart"
    )
    assert container["resources"]["limits"]["memory"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    assert not container["image"].endswith(":latest")
    grace = template["spec"]["terminationGracePeriodSeconds"]
    assert grace > Settings().serving.http.grace_s + 5, "the stores close after the last answer"


def test_selectors_find_the_pods_and_the_budget_leaves_one(manifests: list[dict[str, Any]]) -> None:
    labels = of_kind(manifests, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    for manifest in manifests:
        if manifest["kind"] == "Service":
            assert manifest["spec"]["selector"].items() <= labels.items()
    budget = of_kind(manifests, "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert (budget.get("minAvailable"), budget.get("maxUnavailable")).count(None) == 1
    network = of_kind(manifests, "NetworkPolicy")["spec"]
    assert network["podSelector"]["matchLabels"].items() <= labels.items()


def test_the_autoscaler_follows_a_metric_that_is_served() -> None:
    scaler = yaml.safe_load((DEPLOY / "kubernetes" / "scaled" / "autoscaling.yaml").read_text(encoding="utf-8"))
    (metric,) = scaler["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    domain().watch(names.REQUESTS_WAITING, lambda: 0, work="answers")
    assert name == names.REQUESTS_WAITING.replace(".", "_")
    assert name in {family.name for family in registry().collect()}
    adapter = yaml.safe_load((DEPLOY / "kubernetes" / "scaled" / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
    assert adapter["rules"]["custom"][0]["seriesQuery"].startswith(name)
