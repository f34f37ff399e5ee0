# Everything a developer runs.  Each target prepares what it needs first; a second run is quick.

SHELL := /bin/bash
PYTHON_IN_VENV := .venv/bin/python
KERNEL_SOURCES := $(wildcard csrc/*.c csrc/*.h fastlmm_hlm/_core/*.pyx fastlmm_hlm/_core/*.pxi fastlmm_hlm/_core/*.pxd) setup.py

.PHONY: help demo docs test test-fast parity parity-stored parity-fuzz parity-reference asan bench build venv clean

help:
	@echo "make demo              fit a few models and draw the pictures"
	@echo "make docs              the documentation site, in docs/_build/html; its examples run"
	@echo "make test              all tests, with lme4 in a live R session"
	@echo "make test-fast         the tests that take no more than a few seconds and need no R"
	@echo "make parity            compare every case with lme4, print the table, write parity/REPORT.md"
	@echo "make parity-fuzz       the same for random designs: N=200 SEED=1; what disagrees is made smaller"
	@echo "make parity-stored     the same against the stored answers; needs no R"
	@echo "make parity-reference  store lme4's answers again (about 5 minutes)"
	@echo "make asan              the C tests under AddressSanitizer and UBSan"
	@echo "make bench             the benchmarks"
	@echo "make build             compile the kernels into the source tree"
	@echo "make venv              the virtual environment .venv with everything"
	@echo "make clean             remove what was built; .venv stays"

# --- set-up -----------------------------------------------------------------------

.venv/.ready-build: pyproject.toml .ci/setup.sh
	.ci/setup.sh build

.venv/.ready-test: pyproject.toml .ci/setup.sh
	.ci/setup.sh test

.venv/.ready-docs: pyproject.toml .ci/setup.sh
	.ci/setup.sh docs

.venv/.kernels: $(KERNEL_SOURCES) | .venv/.ready-build
	$(PYTHON_IN_VENV) setup.py --quiet build_ext --inplace
	@touch $@

venv: .venv/.ready-test

build: .venv/.ready-build .venv/.kernels

# --- use --------------------------------------------------------------------------

demo: build
	$(PYTHON_IN_VENV) -m fastlmm_hlm.demo

docs: .venv/.ready-docs .venv/.kernels
	$(PYTHON_IN_VENV) -m sphinx -q -W --keep-going -n -d docs/_build/doctrees -b html docs docs/_build/html
	$(PYTHON_IN_VENV) -m docs.ext.links docs/_build/html

test: .venv/.ready-test .venv/.kernels
	FASTLMM_REQUIRE_R=1 $(PYTHON_IN_VENV) -m pytest -q

test-fast: .venv/.ready-test .venv/.kernels
	$(PYTHON_IN_VENV) -m pytest -q -m "not slow and not parity"

parity: .venv/.ready-test .venv/.kernels
	$(PYTHON_IN_VENV) -m parity.report

N ?= 200
SEED ?= 1
parity-fuzz: .venv/.ready-test .venv/.kernels
	$(PYTHON_IN_VENV) -W ignore -m parity.fuzz --number $(N) --seed $(SEED) --store

parity-stored: build
	$(PYTHON_IN_VENV) -m parity.run --stored

parity-reference: .venv/.ready-test .venv/.kernels
	$(PYTHON_IN_VENV) -m parity.cases | Rscript parity/make_reference.R

asan: .venv/.ready-build
	$(MAKE) -C csrc/tests asan

bench: .venv/.ready-test .venv/.kernels
	$(PYTHON_IN_VENV) -m benchmarks

clean:
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .ci/log .venv/.kernels docs/_build
	rm -f fastlmm_hlm/_core/*.so fastlmm_hlm/_core/kernels.c
	find fastlmm_hlm parity tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
	@if [ -f csrc/tests/Makefile ]; then $(MAKE) -C csrc/tests clean; fi
