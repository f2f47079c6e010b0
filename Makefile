# SPDX-License-Identifier: MIT
# The verbs of the house; `make help` lists them. `make run` and `make test` need nothing but
# root on a fresh Debian 12, Debian 13 or Ubuntu 24.04: they install what is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The system's own interpreter: python3-bpfcc belongs to it.
PYTHON := /usr/bin/python3
# The stubs' generator has wheels for no newer one.
GENERATOR_PYTHON := $(firstword $(wildcard /usr/bin/python3.11 /usr/bin/python3.12))
BIN := .venv/bin
PYTEST := $(BIN)/pytest
PIP_INSTALL := pip install --quiet --disable-pip-version-check

UBUNTU := $(shell . /etc/os-release 2>/dev/null && [[ "$$ID $${ID_LIKE:-}" == *ubuntu* ]] && echo yes)
RUN_PACKAGES := python3-venv clang libbpf-dev libbpf1 python3-bpfcc
# Ubuntu's chromium is a snap, which a test cannot start.
TEST_PACKAGES := $(RUN_PACKAGES) prometheus libbpf-tools iproute2 procps dbus-daemon systemd nginx \
  systemd-container groff-base \
  $(if $(UBUNTU),linux-tools-generic,linux-perf chromium)

DEB_PACKAGES := $(RUN_PACKAGES) debhelper dpkg-dev fakeroot
DEB_TEST_PACKAGES := $(DEB_PACKAGES) lintian mmdebstrap iproute2 debian-archive-keyring
VM_PACKAGES := $(DEB_PACKAGES) mmdebstrap debian-archive-keyring e2fsprogs zstd qemu-utils \
  qemu-system-x86 openssh-client rsync

BTF := /sys/kernel/btf/vmlinux
# The header is the running kernel's; the objects relocate themselves to any other.
HEADERS := build/$(shell uname -r)
PROGRAMS := $(wildcard bpf/resonance_bpf/programs/*.bpf.c)
OBJECTS := $(patsubst bpf/resonance_bpf/programs/%.c,bpf/resonance_bpf/objects/%.o,$(PROGRAMS))
SCHEDULER := build/vm/minimal_scheduler.bpf.o
MACHINE := $(shell uname -m)
MULTIARCH := $(MACHINE)-linux-gnu
BPF_ARCH := $(or $(patsubst x86_64,x86,$(filter x86_64,$(MACHINE))), \
  $(patsubst aarch64,arm64,$(filter aarch64,$(MACHINE))),$(MACHINE))

# ---- verbs -----------------------------------------------------------------------------------
.PHONY: help run test privileged demo-phase demo-hedge bench headline check stubs-are-fresh proto man bpf deb deb-test vm vm-matrix clean

help: ## list the verbs
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

run: run-packages .venv/run.stamp run-objects ## measure and serve until Ctrl-C, or FOR=15 seconds
	@exec $(BIN)/resonanced run $(if $(FOR),--for $(FOR))

test: test-packages .venv/dev.stamp run-objects ## every test this machine can run
	@$(PYTEST) -n 2
	@if why=$$($(BIN)/python tests/nspawn/possible.py); then \
	  $(PYTEST) -p no:xdist -m nspawn --no-skips; \
	else \
	  echo "not run: the tests of the unit under systemd: $$why"; \
	fi
	@if why=$$($(BIN)/python tests/capability.py); then \
	  $(PYTEST) -p no:xdist -m privileged --no-skips; \
	else \
	  echo "not run: the privileged tests: $$why"; \
	fi

privileged: test-packages .venv/dev.stamp bpf ## the tests of real probes; none may skip
	@$(PYTEST) -p no:xdist -m privileged --no-skips

demo-phase: run-packages .venv/dev.stamp run-objects ## eight flushers in step, and out of it (two minutes)
	@$(BIN)/python tests/demo/phase.py

demo-hedge: run-packages .venv/dev.stamp run-objects ## hedging, without a daemon and with one (one minute)
	@$(BIN)/python tests/demo/hedge.py

bench: ## list the benches
	@for bench in $(patsubst tests/bench/bench_%.py,%,$(wildcard tests/bench/bench_*.py)); do \
	  printf '  make bench-%-12s %s\n' $$bench "$$(sed -nE '2s/^"""//p' tests/bench/bench_$$bench.py)"; \
	done

bench-%: test-packages .venv/dev.stamp bpf
	@$(BIN)/python tests/bench/bench_$*.py $(ARGS)

headline: run-packages .venv/dev.stamp ## write the README's headline from docs/results
	@$(BIN)/resonance bench headline docs/results --into README.md

check: run-packages .venv/dev.stamp ## format, lint, types, contracts, stubs
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pyright --warnings
	$(BIN)/lint-imports
	$(if $(GENERATOR_PYTHON),$(MAKE) stubs-are-fresh, \
	  @echo "not checked: the stubs: their generator needs Python 3.11 or 3.12")

proto: build/generator/stamp ## write the stubs of sdk/resonance_api anew
	@$(call generate_stubs,.)

man: run-packages .venv/run.stamp ## write the manual pages in systemd/man from the parsers
	@$(BIN)/python systemd/make-man

bpf: $(OBJECTS) ## compile the probes

deb: deb-packages .venv/bin/python bpf ## the Debian packages, of this suite or SUITES="bookworm trixie"
	@PYTHON=$(BIN)/python systemd/make-deb $(SUITES)

deb-test: deb-test-packages .venv/dev.stamp bpf ## install, upgrade and purge them in roots of their own (minutes)
	@$(MAKE) deb SUITES="bookworm trixie"
	@$(PYTEST) -p no:xdist -m packages --no-skips tests/packages

vm: vm-packages .venv/bin/python bpf $(SCHEDULER) ## the tests in a kernel test VM: KERNEL=6.1
	@[[ -n "$(KERNEL)" ]] || { echo "which? make vm KERNEL=6.1; vagrant/kernels.toml has them all" >&2; exit 2; }
	@PYTHON=$(CURDIR)/$(BIN)/python vagrant/run-matrix $(KERNEL)

vm-matrix: vm-packages .venv/bin/python bpf $(SCHEDULER) ## more of them on all kernels of vagrant/kernels.toml
	@VM_TESTS=$${VM_TESTS-vm} PYTHON=$(CURDIR)/$(BIN)/python vagrant/run-matrix

clean: ## remove what these verbs made, but for packages of the system
	rm -rf .venv build dist bpf/resonance_bpf/objects .hypothesis .*_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# ---- packages of the system ------------------------------------------------------------------
# apt-get is called only when something is missing. Prometheus comes for its promtool, nginx for
# tests that start their own: the policy file keeps their services from starting now, and they are
# not enabled for later.
APT_INSTALL := apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300

define install_packages
@missing=$$(comm -13 <(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $(1) 2>/dev/null \
  | sed -n 's/^installed //p' | sort -u) <(printf '%s\n' $(1) | sort -u) | xargs); \
[[ -n $$missing ]] || exit 0; \
if [[ $$(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then \
  echo "missing packages: $$missing; install them, or run this as root where there is apt-get" >&2; \
  exit 1; \
fi; \
echo "installing $$missing"; \
policy=/usr/sbin/policy-rc.d; \
if [[ ! -e $$policy ]]; then \
  trap "rm -f $$policy" EXIT; printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; \
fi; \
export DEBIAN_FRONTEND=noninteractive; \
$(APT_INSTALL) $$missing >/dev/null 2>&1 \
  || { apt-get update -qq && $(APT_INSTALL) $$missing >/dev/null; }; \
for served in prometheus nginx; do \
  [[ " $$missing " != *" $$served "* ]] || systemctl --quiet disable $$served; \
done
endef

.PHONY: run-packages test-packages deb-packages deb-test-packages vm-packages
run-packages:
	$(call install_packages,$(RUN_PACKAGES))

test-packages:
	$(call install_packages,$(TEST_PACKAGES))

deb-packages:
	$(call install_packages,$(DEB_PACKAGES))

deb-test-packages:
	$(call install_packages,$(DEB_TEST_PACKAGES))

vm-packages:
	$(call install_packages,$(VM_PACKAGES))

# ---- the environment -------------------------------------------------------------------------
.venv/bin/python:
	@$(PYTHON) -m venv --system-site-packages .venv

.venv/run.stamp: pyproject.toml | .venv/bin/python
	@$(BIN)/$(PIP_INSTALL) --editable '.[daemon,cli]'
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	@$(BIN)/$(PIP_INSTALL) --editable '.[daemon,cli,core,viz,bench,dev]'
	@touch $@ .venv/run.stamp

# ---- BPF objects -----------------------------------------------------------------------------
# Without BTF there is nothing to build them against, and the daemon takes a lower tier and says so.
.PHONY: run-objects
run-objects: $(if $(wildcard $(BTF)),$(OBJECTS))

$(HEADERS)/vmlinux.h: bpf/resonance_bpf/vmlinux.py
	@mkdir -p $(@D)
	@PYTHONPATH=bpf $(PYTHON) -m resonance_bpf.vmlinux >$@

bpf/resonance_bpf/objects/%.bpf.o: bpf/resonance_bpf/programs/%.bpf.c \
  $(PROGRAMS) $(wildcard bpf/resonance_bpf/programs/*.h) $(HEADERS)/vmlinux.h
	@mkdir -p $(@D)
	@echo "clang $(@F)"
	@clang -g -ffile-prefix-map=$(CURDIR)=. -O2 -Wall -Werror -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) \
	  -I$(HEADERS) -Ibpf/resonance_bpf/programs -I/usr/include/$(MULTIARCH) -c $< -o $@

# A scheduler for the tests of kernels that can have one loaded; of all kernels it asks the same.
$(SCHEDULER): tests/vm/minimal_scheduler.bpf.c
	@mkdir -p $(@D)
	@clang -g -ffile-prefix-map=$(CURDIR)=. -O2 -Wall -Werror -target bpf -c $< -o $@

# ---- stubs -----------------------------------------------------------------------------------
# Pinned in the extra [proto]; kept apart because it wants an older protobuf than the daemon gets.
PROTOS := $(shell cd sdk && find resonance_api -name '*.proto' | sort)

define generate_stubs
cd sdk && PATH="$(CURDIR)/build/generator/bin:$$PATH" python -m grpc_tools.protoc -I . \
  --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(PROTOS)
endef

build/generator/stamp: pyproject.toml
	@[[ -n "$(GENERATOR_PYTHON)" ]] || { echo "the stubs' generator needs Python 3.11 or 3.12" >&2; exit 1; }
	@$(GENERATOR_PYTHON) -m venv build/generator
	@build/generator/bin/$(PIP_INSTALL) --only-binary :all: $$($(PYTHON) -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["proto"])')
	@touch $@

stubs-are-fresh: build/generator/stamp
	@rm -rf build/stubs && mkdir -p build/stubs && $(call generate_stubs,$(CURDIR)/build/stubs)
	@cd build/stubs && find . -type f | while read -r stub; do \
	  cmp "$$stub" "$(CURDIR)/sdk/$$stub" || { echo "stale stubs: run make proto" >&2; exit 1; }; done
