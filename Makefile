# make run    build, then count identifiers over Python's standard library (or INPUT="file ...")
# make test   the whole test suite        make lint    formatters, clang-tidy, ruff, mypy
# make bench  the benchmarks              make format  let the formatters rewrite
# make fuzz   the fuzzers, for SECONDS=60  make models the protocols, searched exhaustively with spin
# make coverage  which lines of core and cpython no test runs, against those that are explained
# make soak   random programs of many interpreters, for MINUTES=10
# make docs-cxx  the reference of the C++ headers, by doxygen
# PYTHON=/path/to/python3.13 chooses the interpreter; otherwise tools/find-python.sh finds the best one.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
export PYTHON

VENV := $(CURDIR)/.venv
PY := $(VENV)/bin/python
CMAKE := $(VENV)/bin/cmake
CTEST := $(VENV)/bin/ctest
# An active virtual environment, or build flags meant for something else, must not leak in.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
export PATH := $(VENV)/bin:$(PATH)

INPUT ?=
SECONDS ?= 60
MINUTES ?= 10
SOAK_ARGS ?=
PYTEST_ARGS ?=

.PHONY: run build test test-core test-python lint bench coverage fuzz models soak format docs-cxx clean setup FORCE
FORCE:

run: build
	@"$(PY)" examples/run_count_identifiers.py $(INPUT)

build: build/release/build.ninja
	@"$(CMAKE)" --build build/release

test: test-core test-python

test-core: build/debug/build.ninja
	@"$(CMAKE)" --build build/debug
	@"$(CTEST)" --preset debug --parallel "$$(nproc)"

test-python: build
	@tools/setup.sh test
	@"$(PY)" -m pytest tests/python tests/test_layers.py -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart=0 $(PYTEST_ARGS)

bench: build build/bench/build.ninja
	@"$(CMAKE)" --build build/bench
	@tools/build-host-bench.sh
	@ISTHMUS_BENCH_DIR="$(CURDIR)/build/bench/bench" "$(PY)" -m isthmus bench $(BENCH_ARGS)

coverage:
	@tools/coverage.sh $(PYTEST_ARGS)

fuzz:
	@tools/fuzz.sh $(SECONDS)

models:
	@tools/check-models.sh

soak: build
	@"$(PY)" tests/soak --minutes $(MINUTES) $(SOAK_ARGS)

lint: build/lint/build.ninja
	@tools/setup.sh lint
	@tools/lint.sh

format: setup
	@tools/setup.sh lint
	@tools/lint.sh --fix

docs-cxx:
	@if ! command -v doxygen >/dev/null; then echo "docs-cxx: needs doxygen (Debian: apt-get install doxygen)" >&2; exit 1; fi
	@mkdir -p build
	@doxygen docs/Doxyfile
	@echo build/docs-cxx/html/index.html

clean:
	rm -rf build dist src/isthmus/*.so* src/isthmus/lib .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests bench examples tools -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

setup: .venv/pyvenv.cfg

# Asked every time, since a better interpreter may have appeared; touched only when .venv is made anew.
.venv/pyvenv.cfg: FORCE
	@tools/setup.sh run

# A new .venv may hold another Python: nothing cached about the old one may survive.
build/%/build.ninja: .venv/pyvenv.cfg CMakePresets.json
	@tools/system-packages.sh $*
	@"$(CMAKE)" --preset $* --fresh --log-level=NOTICE \
	    $(if $(filter %ext coverage fuzz lint release,$*),-DPython_EXECUTABLE="$(PY)")
	@touch $@
.PRECIOUS: build/%/build.ninja
