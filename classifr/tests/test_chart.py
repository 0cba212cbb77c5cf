"""The Helm chart, as Helm renders it: valid for Kubernetes, and with settings that exist."""

import json
import os
import subprocess
import sys
from typing import Any

import kubernetes_validate
import pytest
import yaml

from classifr.tests.process_tree import ROOT
from classifr.tests.test_docs import variables

pytestmark = pytest.mark.outer
INFORMATION = 1  # of Helm's lint; 2 is a warning, 3 an error
CHART = ROOT / "deploy/helm/classifr"
# In a process of its own: it brings the runtime of Go along
RENDER = """
import json, sys
import helm_python as helm
with helm.Chart.load(sys.argv[1]) as chart:
    rendered = chart.render(json.loads(sys.argv[2]), name="site", namespace="default")
print(json.dumps([helm.lint(sys.argv[1]), rendered]))
"""


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the chart makes of these values; fails on what Helm's lint warns of."""
    library = ROOT / ".tools/helm"
    if not library.is_dir():
        pytest.skip("The Helm SDK is not installed: run `make tools`.")
    output = subprocess.check_output(
        [sys.executable, "-c", RENDER, CHART, json.dumps(values)],
        env={**os.environ, "PYTHONPATH": str(library)},
    )
    findings, files = json.loads(output)
    assert findings["total_charts_linted"] == 1
    assert [one for one in findings["messages"] if one["severity"] > INFORMATION] == []
    documents = [one for text in files.values() for one in yaml.safe_load_all(text)]
    return [one for one in documents if one]


@pytest.mark.parametrize("values", [{}, {"urlPrefix": "/classifr", "image": {"tag": "1.2"}}])
def test_kubernetes_takes_what_it_makes(values):
    documents = rendered(values)
    for document in documents:
        kubernetes_validate.validate(document, "1.31", strict=True)
    kinds = sorted(document["kind"] for document in documents)
    assert kinds == [
        *("Deployment", "Deployment", "HorizontalPodAutoscaler"),
        *("Ingress", "Job", "PodDisruptionBudget", "Service"),
    ]


def test_what_kubernetes_refuses_would_be_noticed():
    (worker,) = [one for one in rendered({}) if one["metadata"]["name"] == "site-worker"]
    worker["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(worker, "1.31", strict=True)


def test_every_pod_has_known_settings_its_secrets_by_reference_and_no_rights():
    pods = [one["spec"]["template"]["spec"] for one in rendered({}) if "template" in one["spec"]]
    assert len(pods) == 3
    for pod in pods:
        (container,) = pod["containers"]
        assert {each["name"] for each in container["env"]} <= variables()
        assert container["envFrom"] == [{"secretRef": {"name": "classifr"}}]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert pod["securityContext"]["runAsNonRoot"]


def test_the_prefix_reaches_the_ingress_and_the_site():
    documents = {one["kind"]: one for one in rendered({"urlPrefix": "/classifr"})}
    (path,) = documents["Ingress"]["spec"]["rules"][0]["http"]["paths"]
    assert path["path"] == "/classifr"
    job = documents["Job"]["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "URL_PREFIX", "value": "/classifr"} in job["env"]
