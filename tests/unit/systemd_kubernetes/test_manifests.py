# SPDX-License-Identifier: MIT
"""Do the manifests hold what Kubernetes takes, and no more privilege than what is said?"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.planning.matching import Inventory
from resonance_tuning.planning.protection import Protection
from resonance_tuning.records import Target
from resonanced import config
from resonanced.telemetry.settings import TelemetrySettings

SYSTEMD = Path(__file__).parents[3] / "systemd"
KUBERNETES = SYSTEMD / "kubernetes"
KUBECTL = shutil.which("kubectl")
FILES = sorted(
    path
    for path in KUBERNETES.rglob("*.yaml")
    if path.name != "kustomization.yaml" and path.parent.name != "prometheus"
)
VERSIONS = ("1.30", "1.37")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def built(overlay: str) -> list[dict[str, Any]]:
    assert KUBECTL
    command = [KUBECTL, "kustomize", str(KUBERNETES / overlay)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(text))


def container(daemonset: dict[str, Any], name: str = "resonanced") -> dict[str, Any]:
    containers = daemonset["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = next(one for one in containers if one["name"] == name)
    return found


def capabilities_of_the_unit() -> set[str]:
    unit = (SYSTEMD / "resonanced.service").read_text()
    line = re.search(r"^CapabilityBoundingSet=(.+)$", unit, re.MULTILINE)
    assert line
    return set(line[1].split())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_each_file_is_what_the_kubernetes_schema_says(path: Path, version: str) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        if path.parent.name == "pods" and document["kind"] == "DaemonSet":
            continue  # a patch is no whole DaemonSet; the built one is looked at below
        kubernetes_validate.validate(document, version, strict=True)


def test_a_misspelt_key_is_found_by_the_schema(daemonset: dict[str, Any]) -> None:
    wrong = {**daemonset, "spec": {**daemonset["spec"], "selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.skipif(not KUBECTL, reason="no kubectl, which holds kustomize")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", ["observe", "pods"])
def test_what_kustomize_builds_is_what_the_schema_says(overlay: str, version: str) -> None:
    documents = built(overlay)
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)
    assert "DaemonSet" in {document["kind"] for document in documents}


@pytest.mark.skipif(not KUBECTL, reason="no kubectl, which holds kustomize")
def test_the_overlay_adds_a_container_and_takes_no_restriction_away() -> None:
    alone, beside = (
        next(one for one in built(overlay) if one["kind"] == "DaemonSet")
        for overlay in ("observe", "pods")
    )
    names = [one["name"] for one in beside["spec"]["template"]["spec"]["containers"]]
    assert sorted(names) == ["pods", "resonanced"]
    before, after = container(alone), container(beside)
    assert after["securityContext"] == before["securityContext"]
    assert all(mount in after["volumeMounts"] for mount in before["volumeMounts"])
    assert all(after[probe] == before[probe] for probe in PROBES)


@pytest.mark.skipif(not KUBECTL, reason="no kubectl, which holds kustomize")
def test_the_images_have_a_registry_only_where_the_operator_names_one() -> None:
    images = [
        one["image"]
        for document in built("pods")
        if document["kind"] == "DaemonSet"
        for one in document["spec"]["template"]["spec"]["containers"]
    ]
    assert images
    assert all(image.startswith("registry.example/") for image in images)


def test_the_daemon_is_not_privileged(daemonset: dict[str, Any]) -> None:
    context = container(daemonset)["securityContext"]
    assert context["privileged"] is False
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["capabilities"]["drop"] == ["ALL"]


def test_its_capabilities_are_fewer_than_those_of_the_unit(daemonset: dict[str, Any]) -> None:
    added = {
        f"CAP_{name}" for name in container(daemonset)["securityContext"]["capabilities"]["add"]
    }
    assert added < capabilities_of_the_unit()
    assert not added & {"CAP_NET_ADMIN", "CAP_SYS_NICE"}, "only a knob needs these"


def test_the_readme_of_the_image_gives_the_same_capabilities(daemonset: dict[str, Any]) -> None:
    readme = (SYSTEMD / "container/README.md").read_text()
    line = re.search(r"--cap-add ([a-z_,]+)", readme)
    assert line
    added = container(daemonset)["securityContext"]["capabilities"]["add"]
    assert line[1].upper().split(",") == added


def test_the_side_container_holds_nothing_of_the_node(patch: dict[str, Any]) -> None:
    side = container(patch, "pods")
    context = side["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["runAsNonRoot"] is True
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    volumes = {one["name"]: one for one in patch["spec"]["template"]["spec"]["volumes"]}
    assert all("hostPath" not in volumes[mount["name"]] for mount in side["volumeMounts"])


def test_only_the_side_container_has_a_token(
    daemonset: dict[str, Any], patch: dict[str, Any]
) -> None:
    spec = daemonset["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert "token" in {mount["name"] for mount in container(patch, "pods")["volumeMounts"]}
    assert "token" not in {mount["name"] for mount in container(patch)["volumeMounts"]}


def test_the_api_server_is_only_asked_for_pods() -> None:
    documents = yaml.safe_load_all((KUBERNETES / "pods/rbac.yaml").read_text())
    rules = [rule for one in documents if one["kind"] == "ClusterRole" for rule in one["rules"]]
    assert rules == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]


def test_only_the_pins_and_the_runtime_directory_of_the_node_may_be_written(
    daemonset: dict[str, Any],
) -> None:
    spec = daemonset["spec"]["template"]["spec"]
    host = {one["name"]: one["hostPath"]["path"] for one in spec["volumes"] if "hostPath" in one}
    writable = {
        host[mount["name"]]
        for mount in container(daemonset)["volumeMounts"]
        if mount["name"] in host and not mount.get("readOnly")
    }
    assert writable == {"/sys/fs/bpf", "/run/resonance"}


def test_containers_have_limits(daemonset: dict[str, Any], patch: dict[str, Any]) -> None:
    for one in (container(daemonset), container(patch, "pods")):
        assert set(one["resources"]) == {"requests", "limits"}
        assert set(one["resources"]["limits"]) == {"cpu", "memory"}


def test_the_configuration_is_read_by_the_daemon_and_changes_nothing_on_the_node() -> None:
    settings = config.load(KUBERNETES / "observe/resonanced.toml")
    assert settings.tuning.mode == "observe"


def test_mounts_are_where_the_configuration_looks(daemonset: dict[str, Any]) -> None:
    settings = config.load(KUBERNETES / "observe/resonanced.toml")
    at = {mount["name"]: mount["mountPath"] for mount in container(daemonset)["volumeMounts"]}
    assert at["bpf"] == settings.probes.bpffs_directory
    assert at["runtime"] == settings.service.runtime_directory
    assert at["configuration"] == str(config.DEFAULT_PATH.parent)
    # What Docker, containerd and podman load into AppArmor: deny /sys/fs/[^c]*/** wklx.
    assert not at["bpf"].startswith("/sys/")


def test_the_image_brings_the_same_place_for_pins(daemonset: dict[str, Any]) -> None:
    of_image = config.load(SYSTEMD / "container/resonanced.toml")
    at = {mount["name"]: mount["mountPath"] for mount in container(daemonset)["volumeMounts"]}
    assert of_image.probes.bpffs_directory == at["bpf"]


def test_probes_ask_what_the_daemon_answers(daemonset: dict[str, Any]) -> None:
    server = (SYSTEMD.parent / "daemon/resonanced/telemetry/server.py").read_text()
    one = container(daemonset)
    ports = {port["name"]: port["containerPort"] for port in one["ports"]}
    settings = config.load(KUBERNETES / "observe/resonanced.toml")
    assert ports["metrics"] == settings.telemetry.port == TelemetrySettings().port
    for probe in PROBES:
        asked = one[probe]["httpGet"]
        assert f'case "{asked["path"]}"' in server
        assert ports[asked["port"]] == settings.telemetry.port
    template = daemonset["spec"]["template"]["metadata"]
    assert template["annotations"]["prometheus.io/port"] == str(settings.telemetry.port)


def test_the_pod_monitor_asks_this_port_of_these_pods(daemonset: dict[str, Any]) -> None:
    monitor = yaml.safe_load((KUBERNETES / "prometheus/podmonitor.yaml").read_text())
    labels = daemonset["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in container(daemonset)["ports"]}


def test_the_daemon_is_given_the_file_that_the_side_container_feeds(patch: dict[str, Any]) -> None:
    daemon, side = container(patch), container(patch, "pods")
    flags = dict(word[2:].split("=") for word in daemon["command"] if "=" in word)
    of_side = dict(word[2:].split("=") for word in side["args"])
    assert of_side["file"] == flags["pods"]
    assert daemon["args"][-2:] == ["--config", flags["config"]]
    assert flags["base"] == str(config.DEFAULT_PATH)
    at = {mount["name"]: mount for mount in daemon["volumeMounts"]}
    assert Path(flags["pods"]).parent == Path(at["pods"]["mountPath"])
    assert at["pods"]["readOnly"] is True, "what talks to the network is not to be written to"
    assert Path(flags["config"]).parent == Path(at["merged"]["mountPath"])


GUARANTEED = "0f8b6c1e-5a0c-4b7e-9d55-1f2e3d4c5b6a"


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods.slice/kubepods-pod{GUARANTEED.replace('-', '_')}.slice",
        f"/kubepods/pod{GUARANTEED}",
        f"/kubepods/pod{GUARANTEED}/4711",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice",
        "/kubepods/besteffort/pod1",
        # With --cgroup-root, the driver systemd puts its name before.
        f"/a.slice/a-kubepods.slice/a-kubepods-pod{GUARANTEED.replace('-', '_')}.slice",
        "/kubepods.slice",
    ],
)
def test_no_pod_of_any_class_is_ever_a_target_of_tuning(tmp_path: Path, path: str) -> None:
    tree = CgroupTree(tmp_path, "v2")
    tree.make_process(50, "/system.slice/resonanced.service", "python3")
    protection = Protection(Inventory(tree.host), own_pid=50)
    assert "container runtime" in protection.refusal(Target("cgroup", path))


def test_each_toml_says_only_what_differs_from_the_default() -> None:
    for path in (KUBERNETES / "observe/resonanced.toml", SYSTEMD / "container/resonanced.toml"):
        assert set(tomllib.loads(path.read_text())) <= {"probes", "telemetry", "tuning"}
