"""What `deploy/` and the pipelines name is there, and holds no secret; the image runs."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
import requests
import yaml

from classifr.tests.process_tree import ROOT
from classifr.tests.test_docs import variables
from scripts.services import free_port, wait_until

COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PIPELINES = [
    ROOT / ".github/workflows/ci.yml",
    ROOT / ".github/workflows/deploy.yml",
    ROOT / "deploy/azure-pipelines.yml",
]
OURS = ("migrate", "web", "worker")


def known(name: str) -> bool:
    return name.removesuffix("_FILE") in variables()


def test_the_compose_file_has_every_part_each_of_a_fixed_version():
    others = {"db", "blobs", "redis", "proxy", "prometheus", "grafana"}
    assert set(SERVICES) == others | set(OURS)
    for name in others:
        assert re.search(r":v?\d", SERVICES[name]["image"]), name


@pytest.mark.parametrize("name", OURS)
def test_our_services_get_settings_that_exist_on_a_read_only_system(name):
    service = SERVICES[name]
    assert [each for each in service["environment"] if not known(each)] == []
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]


def test_an_invented_setting_would_be_noticed():
    assert not known("DATABASE_ADDRESS")


def test_secrets_are_files_that_the_script_writes_and_git_ignores():
    used = set(chain.from_iterable(each.get("secrets", []) for each in SERVICES.values()))
    assert used == set(COMPOSE["secrets"])
    script = (ROOT / "deploy/compose/make-secrets").read_text()
    assert used <= set(re.findall(r"^keep (\w+)", script, re.MULTILINE))
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("KEY|PASSWORD|TOKEN|CONNECTION|DATABASE_URL|EMAIL_URL", name):
                assert str(value).startswith("/run/secrets/"), name
                assert str(value).removeprefix("/run/secrets/") in service["secrets"], name


def test_everything_that_is_mounted_is_there():
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (ROOT / "deploy" / source).exists(), f"{name}: {source}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"
        assert set(service.get("depends_on", {})) <= set(SERVICES), name


def test_the_secrets_are_made_once(tmp_path):
    (tmp_path / "compose").mkdir()
    script = shutil.copy(ROOT / "deploy/compose/make-secrets", tmp_path / "compose")
    subprocess.run([script], check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(COMPOSE["secrets"]) <= set(made)
    assert made["database_password"] in made["database_url"]
    subprocess.run([script], check=True)
    assert made == {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0


def values(node: Any, *keys: str) -> Iterator[str]:
    """Yield what these keys have, anywhere in a document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key in keys and isinstance(value, str):
            yield value
        if isinstance(value, dict | list):
            yield from values(value, *keys)


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.name)
def test_a_pipeline_runs_only_what_there_is(path):
    document = yaml.safe_load(path.read_text())
    lines = list(values(document, "run", "script"))
    assert lines
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    asked = re.findall(r"(?<!-)\bmake ([a-z-]+)", "\n".join(lines).replace("git make", ""))
    assert asked
    assert set(asked) <= targets
    for action in values(document, "uses", "task"):
        assert re.search(r"@v?\d", action), f"{action} is of no fixed version"


def test_the_pipelines_check_test_scan_and_list():
    for path in (PIPELINES[0], PIPELINES[2]):
        text = path.read_text()
        for step in ("make check", "make test", "make image", "make sbom", "pip-audit", "trivy"):
            assert step in text, f"{path.name}: {step}"


@pytest.mark.outer
def test_the_list_of_what_is_installed_names_its_parts(tmp_path):
    target = tmp_path / "sbom.json"
    subprocess.run([ROOT / "scripts/write-sbom", target], check=True, capture_output=True)
    found = json.loads(target.read_text())
    assert found["bomFormat"] == "CycloneDX"
    assert {"django", "keras"} <= {each["name"].lower() for each in found["components"]}


@pytest.mark.outer
def test_the_image_runs_as_nobody_in_particular_on_a_read_only_system(tmp_path):
    """IMAGE names one that `make image` built: to build it takes minutes and a base image."""
    image = os.environ.get("IMAGE", "classifr:latest")
    podman = shutil.which("podman") or shutil.which("docker")
    if (
        not podman
        or subprocess.run([podman, "image", "inspect", image], capture_output=True).returncode
    ):
        pytest.skip(f"there is no image {image}: run `make image`, or name another in IMAGE")
    port = free_port()
    settings = {"SECRET_KEY": "x" * 60, "BIND": f"127.0.0.1:{port}", "WEB_CONCURRENCY": "1"}
    environment = [f"--env={name}={value}" for name, value in settings.items()]
    name = f"classifr-test-{port}"
    options = ["--rm", "--read-only", "--tmpfs=/tmp", "--network=host", *environment]
    volume = f"--volume={name}:/data"
    run = [podman, "run", *options, volume]
    try:
        who = subprocess.check_output([*run, image, "sh", "-c", "id -u; touch /x || echo no"])
        assert who.split() == [b"10001", b"no"]
        subprocess.run([*run, image, "classifr", "migrate", "-v0"], check=True)
        subprocess.run([*run, "--detach", f"--name={name}", image], check=True)
        page = f"http://127.0.0.1:{port}/account/login/"

        def is_up() -> bool:
            try:
                return requests.get(page, timeout=5).status_code == 200
            except requests.ConnectionError:
                return False

        wait_until(is_up, "the container", timeout_seconds=60)
        style = re.search(r'href="(/static/css/classifr[^"]+)"', requests.get(page, timeout=5).text)
        assert requests.get(f"http://127.0.0.1:{port}{style[1]}", timeout=5).status_code == 200
        once = subprocess.check_output([*run, image, "classifr", "worker", "--once"], text=True)
        assert "jobs done" in once
    finally:
        subprocess.run([podman, "rm", "--force", name], capture_output=True)
        subprocess.run([podman, "volume", "rm", "--force", name], capture_output=True)
