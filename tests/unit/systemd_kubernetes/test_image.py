# SPDX-License-Identifier: MIT
"""Is the definition of the images sound, and does it take only what is there?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from resonanced.telemetry.settings import TelemetrySettings

ROOT = Path(__file__).parents[3]
CONTAINERFILE = ROOT / "systemd/container/Containerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")
TEXT = CONTAINERFILE.read_text()


def test_hadolint_finds_nothing_to_say() -> None:
    done = subprocess.run([HADOLINT, CONTAINERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_find_something_to_say(tmp_path: Path) -> None:
    wrong = tmp_path / "Containerfile"
    wrong.write_text("FROM debian\nRUN cd /tmp && sudo true\n")
    done = subprocess.run([HADOLINT, wrong], capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_nothing_is_downloaded_but_from_debians_archive() -> None:
    assert not re.search(r"\b(curl|wget|pip|npm|git|https?://(?!127))\b|^ADD", TEXT, re.MULTILINE)


def test_each_file_that_is_copied_is_let_into_the_context_and_is_there() -> None:
    ignored = (CONTAINERFILE.parent / "Containerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?:--\S+ )*(\S.*) \S+$", TEXT, re.MULTILINE)
    sources = {word.replace("${SUITE}", "*") for line in copied for word in line.split()}
    assert sources == let_in
    assert all((ROOT / name).is_file() for name in sources if "*" not in name)


@pytest.mark.parametrize("label", ["title", "description", "licenses"])
def test_both_images_say_what_they_are(label: str) -> None:
    assert TEXT.count(f"org.opencontainers.image.{label}=") == 2


def test_the_health_check_asks_the_port_that_is_served_by_default() -> None:
    server = (ROOT / "daemon/resonanced/telemetry/server.py").read_text()
    asked = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", TEXT)
    assert asked
    assert int(asked[1]) == TelemetrySettings().port
    assert f'case "{asked[2]}"' in server


def test_the_programs_are_where_the_manifests_look() -> None:
    manifest = (ROOT / "systemd/kubernetes/pods/daemonset.yaml").read_text()
    copied = re.findall(r"^COPY --chmod=0755 \S+ (\S+)$", TEXT, re.MULTILINE)
    assert "/usr/lib/resonance-pods/with_pods.py" in copied
    assert "/usr/lib/resonance-pods/with_pods.py" in manifest


def test_the_side_containers_image_is_not_root_by_itself() -> None:
    stage = TEXT.partition(" AS pods")[2].partition("\nFROM ")[0]
    assert re.search(r"^USER 9757:9757$", stage, re.MULTILINE)


def test_the_users_number_is_the_same_in_each_build() -> None:
    assert "groupadd --gid 9756 resonance" in TEXT
    assert "useradd --uid 9756 --gid 9756" in TEXT
