# Two commands matter: `make book` and `make test`. `make help` lists the others.
# Needed: Python 3.11 to 3.13, git, make. The first command makes .venv from the lock file.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

FITS := import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c '$(FITS)' >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
LOCK ?= requirements.lock
BIN := $(VENV)/bin
# The libraries that the benchmarks compare with are large, and nothing else needs them.
PEERS := VENV=.venv-peers LOCK=requirements-peers.lock

# Modules are compiled when they are first imported: most of what is installed never is.
# The environment is current if it was made from these contents; time stamps say nothing in a clone.
STAMP := $(VENV)/installed-$(shell cat $(LOCK) pyproject.toml | cksum | tr ' ' -)

CORES := $(shell $(or $(PYTHON),python3) -c 'import os; n = getattr(os, "sched_getaffinity", None); print(len(n(0)) if n else os.cpu_count() or 1)')
TESTERS := $(shell echo $$(( $(CORES) < 4 ? $(CORES) : 4 )))
# A small network keeps about one core busy, so there are as many kernels as cores, up to four.
KERNELS := $(shell echo $$(( $(CORES) / 2 > $(TESTERS) ? $(CORES) / 2 : $(TESTERS) )))
THREADS = OMP_NUM_THREADS=$(1) TF_NUM_INTRAOP_THREADS=$(1) TF_NUM_INTEROP_THREADS=$(1)

# Kernels and figures must not depend on the user's own settings.
unexport MPLBACKEND
export PYTHONHASHSEED = 0
export JUPYTER_PREFER_ENV_PATH = 1
export IPYTHONDIR = $(abspath $(VENV))/ipython
export MPLCONFIGDIR = $(abspath $(VENV))/matplotlib
export TF_CPP_MIN_LOG_LEVEL = 3
export PYDEVD_DISABLE_FILE_VALIDATION = 1

PYTEST = $(BIN)/python -m pytest

define timed
@printf '\n== %s\n' '$(1)'; start=$$SECONDS; $(2) && printf -- '-- %s: %s s\n' '$(1)' $$((SECONDS - start))
endef

.PHONY: help book execute serve test lint test-package test-jax test-notebooks test-site lock clean \
	benchmarks test-peers benchmarks-here test-peers-here

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

book: $(STAMP)  ## Execute what has changed and render the site into _build/html
	$(call timed,execute,$(BIN)/python -m tools.execute)
	$(call timed,render,$(BIN)/python -m tools.render)

execute: $(STAMP)  ## Rewrite committed outputs: all, or those of NB="book/a/b.ipynb ..."
	$(call timed,execute in place,$(BIN)/python -m tools.execute --in-place $(NB))
	$(call timed,figure of the front page,$(BIN)/python -m tools.front_figure)

serve: $(STAMP)  ## Show _build/html on http://localhost:8000 (PORT=...)
	@test -f _build/html/index.html || { echo 'no site yet: run "make book" first'; exit 1; }
	$(BIN)/python -m http.server --directory _build/html --bind 127.0.0.1 $(or $(PORT),8000)

test: lint test-package test-jax test-notebooks test-site  ## Everything that must hold before a merge

lint: $(STAMP)  ## Check style and formatting, notebooks included
	$(call timed,lint,$(BIN)/ruff check . && $(BIN)/ruff format --check .)

test-package: $(STAMP)  ## Tests of the package, the tools and the project, on TensorFlow
	@printf '\n== tests on TensorFlow\n'
	$(call THREADS,1) KERAS_BACKEND=tensorflow $(PYTEST) -q -n $(TESTERS) --ignore tests/test_site.py tests

test-jax: $(STAMP)  ## The same tests on JAX
	@printf '\n== tests on JAX\n'
	$(call THREADS,1) KERAS_BACKEND=jax $(PYTEST) -q -n $(TESTERS) --ignore tests/test_site.py \
		--ignore tests/test_project.py --ignore tests/test_notebooks.py \
		--ignore-glob 'tests/test_tools*' tests

test-notebooks: $(STAMP)  ## Run every notebook and compare its outputs with the committed ones
	@printf '\n== notebooks against their committed outputs\n'
	@if [ -z "$$(find book -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*')" ]; then \
		echo 'no notebooks yet'; else set -x; \
	$(call THREADS,2) TEXTGEN_SCALE=cpu KERAS_BACKEND=tensorflow $(PYTEST) -q -n $(KERNELS) --dist loadscope \
		--nbval --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with tests/nbval.cfg \
		--durations 10 book; fi

test-site: $(STAMP)  ## Build the site from the committed outputs; check its links, images, headings
	$(call timed,site from the committed outputs,$(BIN)/python -m tools.render --committed --out _build/test)
	@printf '\n== checks of the site\n'
	SITE=_build/test/html $(PYTEST) -q tests/test_site.py

benchmarks:  ## Measure all against the peers and draw the figures (RECORD=FILE: copy the record)
	@$(MAKE) --no-print-directory $(PEERS) benchmarks-here

test-peers:  ## Tests that need the peers: do they and we compute the same?
	@$(MAKE) --no-print-directory $(PEERS) test-peers-here

RESULT = _build/benchmarks/benchmarks.json
benchmarks-here: test-peers-here
	$(call timed,benchmarks,$(BIN)/python -m benchmarks.suite --out $(RESULT))
	$(if $(RECORD),cp $(RESULT) $(RECORD))

test-peers-here: $(STAMP) $(VENV)/kenlm
	@printf '\n== tests with the peers\n'
	$(call THREADS,1) KERAS_BACKEND=tensorflow $(PYTEST) -q -n $(TESTERS) tests/peers

COMPILE = uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-annotate --extra dev --extra jax
lock:  ## Renew the two lock files after a change of pyproject.toml (needs uv)
	$(COMPILE) -o requirements.lock
	$(COMPILE) --extra peers --constraint requirements.lock -o requirements-peers.lock

clean:  ## Remove _build (not the environments)
	rm -rf _build .pytest_cache .ruff_cache .hypothesis

$(STAMP):
	@test -n '$(PYTHON)' || { echo 'No Python 3.11, 3.12 or 3.13 with the module venv was found; name one: make PYTHON=/path/to/python3.12'; exit 1; }
	@printf '== environment: %s from %s (once; some minutes)\n' '$(VENV)' '$(LOCK)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	rm -f $(VENV)/installed-*
	touch $@

# KenLM comes as its source only. Without a C++ compiler it is left out, and the others are measured.
KENLM := kenlm==0.3.0 --hash=sha256:c4628bb9fb63c8a6f9240035b8b037385cfc404cb72e933cf48878291edac1e8
$(VENV)/kenlm: $(STAMP)
	@printf '== KenLM (once; a minute)\n'
	@PATH="$(abspath $(BIN)):$$PATH" CMAKE_POLICY_VERSION_MINIMUM=3.5 $(BIN)/python -m pip install \
		--quiet --disable-pip-version-check --no-build-isolation --no-deps --require-hashes \
		-r <(echo '$(KENLM)') >$@.log 2>&1 && touch $@ || \
		echo 'KenLM was not built (it needs a C++ compiler): see $@.log; the others go on'
	@test ! -f benchmarks/build_kenlm.py || \
		PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m benchmarks.build_kenlm || \
		echo 'lmplz was not built; the others go on'
