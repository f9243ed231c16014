"""The Kustomize base: what it runs exists, it is rendered by kubectl, and Kubernetes' own schemas take it."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from app import settings
from app.cli import main
from app.routes import ROUTES
from tests.support.processes import ROOT

FOLDER = ROOT / "deploy/kubernetes"
FOLDERS = (FOLDER, FOLDER / "migrate")
OLDEST = "1.28"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DEFAULTS = settings.load({"DATABASE_URL": "postgresql://nowhere/none"})

kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which renders the base, is not here")
schemas = pytest.mark.skipif(
    importlib.util.find_spec("kubernetes_validate") is None,
    reason="Kubernetes' schemas are not here: make test-deploy fetches them",
)


def written() -> Iterator[dict[str, Any]]:
    """The resources as they stand in the files."""
    for folder in FOLDERS:
        for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
            yield from yaml.safe_load_all((folder / name).read_text())


RESOURCES = list(written())
PODS: dict[str, dict[str, Any]] = {
    each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in RESOURCES if each["kind"] in ("Deployment", "Job")
}


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return dict(only)


def rendered() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for folder in FOLDERS:
        done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        found += yaml.safe_load_all(done.stdout)
    return found


@kubectl
def test_kubectl_renders_everything_with_the_tag_of_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert len(rendered()) == len(RESOURCES)
    images = {container(each["spec"]["template"]["spec"])["image"] for each in rendered() if each["kind"] in ("Deployment", "Job")}
    assert images == {f"opportunities:{version[1]}"}


@schemas
def test_the_schemas_of_kubernetes_take_every_resource() -> None:
    kubernetes_validate = importlib.import_module("kubernetes_validate")
    for resource in rendered() if shutil.which("kubectl") else RESOURCES:
        for version in (OLDEST, kubernetes_validate.latest_version()):
            kubernetes_validate.validate(resource, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(RESOURCES[0] | {"dta": {}}, OLDEST, strict=True)


def test_pods_run_verbs_and_settings_that_exist() -> None:
    known = {settings.variable(name) for name in settings.Settings.__struct_fields__}
    (configuration,) = (each["data"] for each in RESOURCES if each["kind"] == "ConfigMap")
    assert configuration.keys() <= known - {"DATABASE_URL"}
    settings.load({"DATABASE_URL": "postgresql://nowhere/none", **configuration})  # a bad value raises
    assert {name: container(pod)["args"] for name, pod in PODS.items()} == {
        "opportunities-api": ["serve"],
        "opportunities-relay": ["relay"],
        "opportunities-webhooks": ["webhooks"],
        "opportunities-imports": ["imports"],
        "opportunities-migrate": ["migrate"],
    }
    for pod in PODS.values():
        verb, *options = container(pod)["args"]
        main.verb(verb).make_context(verb, options)
        assert [name for source in container(pod)["envFrom"] for name in source] == ["configMapRef", "secretRef"]


def test_no_service_s_name_becomes_a_setting() -> None:
    """Kubernetes gives pods ``<SERVICE>_PORT=tcp://…`` for every service, unless told not to: ours would not start with that."""
    services = {each["metadata"]["name"].upper().replace("-", "_") for each in RESOURCES if each["kind"] == "Service"}
    assert f"{services.pop()}_PORT" == settings.variable("port")
    assert all(pod["enableServiceLinks"] is False for pod in PODS.values())


def test_pods_have_no_rights_and_write_nowhere_but_to_tmp() -> None:
    """Kubernetes cannot tell that a user by name is not root, so the image names it by number."""
    user = re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
    assert user is not None
    for pod in PODS.values():
        assert pod["securityContext"]["runAsUser"] == int(user[1]) > 0
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container(pod)["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


def test_the_api_is_asked_where_it_answers_and_is_given_the_time_to_stop() -> None:
    api = container(PODS["opportunities-api"])
    routes = {path for handler in ROUTES for path in handler.paths}
    probes = {name: api[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe["path"] for probe in probes.values()} <= routes
    assert probes["readinessProbe"]["path"] == "/health/ready"
    assert api["ports"] == [{"name": "http", "containerPort": DEFAULTS.port}]
    (service,) = (each["spec"] for each in RESOURCES if each["kind"] == "Service")
    assert service["ports"][0]["targetPort"] == "http"
    waits = int(api["lifecycle"]["preStop"]["exec"]["command"][1])
    for pod in PODS.values():
        assert pod.get("terminationGracePeriodSeconds", 30) > DEFAULTS.shutdown_timeout_s + waits


def test_services_and_budgets_choose_pods_that_are_there() -> None:
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in RESOURCES if each["kind"] in ("Deployment", "Job")]
    for each in RESOURCES:
        chosen = each.get("spec", {}).get("selector")
        if chosen is not None:
            assert chosen.get("matchLabels", chosen) in labels, each["metadata"]["name"]
