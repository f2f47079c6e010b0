#!/bin/bash
# SPDX-License-Identifier: MIT
# What does a machine need before its tests? `provision.sh [KERNEL]`, as root, inside: packages of
# the system where one is missing and there is a network, our packages, and an environment for
# pytest. It may run again; with everything in place it needs no network. A kernel is for public
# boxes, which come with another one: it is installed, and boots next time.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null # the machine's own
. /etc/os-release
suite=$VERSION_CODENAME
environment=/opt/resonance-tests
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive

die() {
  echo "provision: $*" >&2
  exit 1
}

[[ $(id -u) == 0 ]] || die "run it as root"

# One that was interrupted may still be at work.
apt() {
  apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

# Answers from kernels.toml: what a machine of a box has, what a kernel is.
matrix() { # EXPRESSION
  PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=vagrant python3 -c \
    "from kernel_vms.matrix import read_matrix; matrix = read_matrix(); print(*$1)"
}

install_missing() { # PACKAGE...
  local wanted=() package
  for package; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] \
      || wanted+=("$package")
  done
  ((${#wanted[@]})) || return 0
  echo "provision: installing ${wanted[*]}"
  { apt update && apt install -y --no-install-recommends "${wanted[@]}"; } \
    >/dev/null || die "apt-get does not get ${wanted[*]}; without a network, use a box of build-box"
}

command -v python3 >/dev/null || install_missing python3
kernel=${1:-}
if [[ -n $kernel && $(uname -r) != "$(matrix "[matrix.kernel('$kernel').release]")"* ]]; then
  from=$(matrix "[matrix.kernel('$kernel').suite]")
  # shellcheck disable=SC2016 # apt's own names
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)
  echo "deb $mirror $from main" >/etc/apt/sources.list.d/resonance-kernel.list
  read -ra packages <<<"$(matrix "matrix.kernel('$kernel').packages")"
  apt update
  apt install -y --no-install-recommends -t "$from" "${packages[@]}" >/dev/null
  echo "provision: $kernel is installed; boot it, and run this again"
  exit 0
fi

if [[ $suite != bookworm && $suite != trixie ]]; then
  # No package of ours: the tests run from the checkout, by `make test`, which installs the rest.
  install_missing make python3-venv
  exit 0
fi
read -ra packages <<<"$(matrix "matrix.boxes['$suite'].packages")"
install_missing "${packages[@]}"

debs=(build/deb/"$suite"/*.deb)
[[ -e ${debs[0]} ]] || die "no packages in build/deb/$suite: run make deb before"
[[ -d build/wheels/$suite/tests ]] \
  || die "no build/wheels/$suite/tests: run vagrant/fetch-wheels $suite before"
# Again and again the same version, while someone works on it.
apt install -y --reinstall --allow-downgrades "${debs[@]/#/./}" >"$log" 2>&1 \
  || die "apt-get: $(tail -n 5 "$log")"

# Our modules are those of the packages, pytest and what goes with it those of the checkout.
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
python3 -m venv --without-pip --system-site-packages "$environment"
printf '%s\n' /usr/lib/resonanced /usr/lib/resonance "$PWD/build/wheels/$suite/tests" \
  >"$environment/lib/python$version/site-packages/resonance.pth"
for command in resonanced:resonanced.__main__ resonance:resonance.cli; do
  printf '#!%s/bin/python\nimport sys\n\nfrom %s import main\n\nsys.exit(main())\n' \
    "$environment" "${command#*:}" >"$environment/bin/${command%:*}"
  chmod 755 "$environment/bin/${command%:*}"
done

# Tests that purge packages and set the clock refuse any machine that has not this file.
touch /etc/resonance-vm
