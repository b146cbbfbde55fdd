# Two commands: `make demo` and `make test`. Both set everything up first; both may be run again.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
UV := .venv-uv/bin/uv
STEPS := source .ci/steps.sh
# TESTS=tests/anvil and PYTEST="-k fork -x" narrow a run; DEMO="--scenario crash --json" is passed on to the demo
TESTS ?= tests
PYTEST ?=
DEMO ?=
ANALYSER_slither := slither-analyzer==0.11.6
ANALYSER_halmos := halmos==0.3.3
# CHAOS="sim kill9 --minutes 5" names campaigns and the time for each; what was done before is not done again
CHAOS ?=

.PHONY: help tools setup artifacts demo test bench chaos chaos-chain chaos-secrets lint format lock clean clean-all

help:  ## this list
	awk -F':.*## ' '/^[a-z-]+:.*## /{ printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

tools:
	PYTHON="$(PYTHON)" .ci/tools.sh >/dev/null

setup: tools .venv/.ready anvil/node_modules/.ready tests/browser/node_modules/.ready  ## everything the other targets need; instant when it is there
	$(STEPS)
	# instant when cached, so its state lives in the cache and not in a stamp
	if ! $(PY) -m anvil.compile --cached || ! $(PY) -m anvil.renewal --cached; then
	    step "compile the contracts" $(PY) -m anvil.compile --quiet
	    step "compile the module of Safes" $(PY) -m anvil.renewal --quiet
	fi
	table

demo: setup  ## a crash on a local chain: guarded positions and their unprotected twins
	.venv/bin/keeper demo $(DEMO)

test: setup  ## all tests but chaos and bench
	# 33 MB that only tests need, once and not in a test's own time; where it cannot be had they fail and say so
	$(PY) -m anvil.deploy_aave_v3_2 || true
	# a third worker for two cores: much of the time goes in waiting for daemons, blocks and chains of their own
	mkdir -p build && rm -f build/test-status
	$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not chaos and not bench" $(PYTEST) $(TESTS) \
	    || { status=$$?; echo $$status > build/test-status; exit $$status; }

bench: setup  ## figures of speed, into build/figures.json
	$(PY) -m pytest -m bench -s $(PYTEST) $(TESTS)

chaos: setup  ## processes killed, faults injected, in campaigns of 40 minutes at most; CHAOS="sim --minutes 5" narrows
	# no campaign: a name more in their list would begin the counts of all of them anew
	$(if $(CHAOS),,$(PY) -m anvil.mutants_renewal)
	$(if $(CHAOS),,$(PY) -m tests.chaos.loud_suite)
	$(PY) -m tests.chaos.campaign $(CHAOS)

chaos-secrets: setup  ## the whole suite at DEBUG, then every file that it left searched for keys, passwords and tokens
	$(PY) -m tests.chaos.loud_suite $(TESTS)

chaos-chain: setup  ## daemons on local chains: frozen, late and front-run orders, kill -9, a dead daemon; TESTS narrows
	# one at a time: they count on blocks in time
	$(PY) -m pytest -m chaos -p no:xdist $(PYTEST) $(if $(filter tests,$(TESTS)),tests/anvil,$(TESTS))

artifacts: setup  ## compile our own contracts and rewrite contracts/artifacts
	$(PY) -m anvil.compile --write-artifacts
	$(PY) -m anvil.renewal --write-artifacts

lint: setup  ## ruff and mypy
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy -p keeper -p strategies -p anvil

format: setup  ## let ruff rewrite
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

lock: tools .venv-uv/.ready  ## resolve the locks anew, keeping pins that still fit
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal --generate-hashes \
	    --all-extras --group test --group browser --group lint --group build pyproject.toml -o requirements.lock
	# what a server needs and no more, at the same pins: the install page uses it
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal --generate-hashes --no-annotate \
	    --constraint requirements.lock --extra alarms --extra metrics --extra page --group build \
	    pyproject.toml -o requirements-runtime.lock
	# the same and ccxt, for who reads more exchanges than four
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal --generate-hashes --no-annotate \
	    --constraint requirements.lock --extra alarms --extra metrics --extra page --extra tickers --group build \
	    pyproject.toml -o requirements-tickers.lock
	printf 'uv\n' | UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal \
	    --generate-hashes - -o .ci/uv.lock
	# 0.1 needs a package that not every index carries; the site needs nothing of ours, so it has a lock of its own
	printf 'zensical>=0.0.73,<0.1\n' | UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal \
	    --generate-hashes - -o .ci/docs.lock
	env -C anvil npm install --package-lock-only --omit=optional
	env -C tests/browser npm install --package-lock-only --omit=optional

clean:  ## caches, compiled contracts, figures
	rm -rf .cache build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find keeper strategies anvil tests -name __pycache__ -not -path '*/node_modules/*' -prune -exec rm -rf {} +

clean-all: clean  ## and the environments
	rm -rf .venv .venv-uv .venv-docs anvil/node_modules

# uv from a hash lock of its own, in a small environment: twenty times faster than pip on a cold start. Where it cannot
# be had the environment stays without it and pip takes its place.
.venv-uv/.ready: .ci/uv.lock
	$(STEPS)
	python="$$(PYTHON="$(PYTHON)" .ci/tools.sh)"
	rm -f build/setup-times
	rm -rf .venv-uv
	"$$python" -m venv .venv-uv
	step "fetch uv" .venv-uv/bin/python -m pip install --quiet --disable-pip-version-check \
	    --require-hashes -r .ci/uv.lock || echo "    uv cannot be had here; pip does its work, more slowly"
	touch $@

.venv/.ready: requirements.lock pyproject.toml .venv-uv/.ready
	$(STEPS)
	python="$$(PYTHON="$(PYTHON)" .ci/tools.sh)"
	if ! $(PY) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
	    rm -rf .venv
	    "$$python" -m venv --without-pip .venv
	fi
	if [ -x $(UV) ]; then
	    step "install Python packages from the lock" $(UV) pip sync --quiet --python $(PY) --require-hashes requirements.lock
	    step "install the project itself" $(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation -e .
	else
	    $(PY) -m ensurepip --upgrade >/dev/null
	    step "install Python packages from the lock" $(PY) -m pip install --quiet --disable-pip-version-check \
	        --require-hashes -r requirements.lock
	    step "install the project itself" $(PY) -m pip install --quiet --disable-pip-version-check \
	        --no-deps --no-build-isolation -e .
	fi
	# by hand, because PYTHONDONTWRITEBYTECODE may be set: without it every start of a command compiles what it imports
	step "compile bytecode" env -u PYTHONDONTWRITEBYTECODE $(PY) -m compileall -q -j 0 -x '/tests?/|/ccxt/(pro|static_dependencies/bip)/' \
	    .venv/lib keeper strategies anvil/*.py || true
	touch $@

anvil/node_modules/.ready: anvil/package.json anvil/package-lock.json anvil/.npmrc
	$(STEPS)
	force=""
	# the pinned anvil is of one platform; on another the user brings one (see .ci/tools.sh)
	if [ "$$(uname -s) $$(uname -m)" != "Linux x86_64" ]; then force=--force; fi
	step "install npm packages (anvil, solc, protocol sources)" \
	    env -C anvil npm ci --no-progress --loglevel=error $$force
	touch $@

# a pinned Chromium, so that the page is looked at wherever the tests run; where it cannot be had its tests skip
tests/browser/node_modules/.ready: tests/browser/package.json tests/browser/package-lock.json tests/browser/.npmrc tests/browser/unpack.mjs
	$(STEPS)
	step "install a browser to look at the status page (npm)" \
	    env -C tests/browser npm ci --no-progress --loglevel=error --force
	if ! node tests/browser/unpack.mjs; then
	    echo "    it cannot be unpacked here; tests that need a browser use the machine's own, or skip"
	fi
	touch $@

.PHONY: screenshots strategy-figures

strategy-figures: setup  ## tables and drawings of docs/strategies, written anew from the replays that they show
	.venv/bin/python -m tests.strategy_pages

screenshots: setup  ## the status page as desktop, dark and phone see it, into build/screenshots
	$(PY) -m pytest -q -m browser -k screenshots_show tests/browser
	ls -1 build/screenshots

.PHONY: contracts executor-invariants executor-mutants renewal-mutants slither halmos

contracts: setup  ## forge: unit and fuzz tests of our contracts, on the committed artifacts over the real market
	$(PY) -m anvil.forge units

executor-invariants: setup  ## forge: 2.6 million calls of thieves and owners (RUNS=5120 DEPTH=256, in each of two suites)
	$(PY) -m anvil.forge invariants $(or $(RUNS),5120) $(or $(DEPTH),256)

executor-mutants: setup  ## planted defects of the Executor: every one must be noticed
	$(PY) -m anvil.mutants $(MUTANTS)

renewal-mutants: setup  ## planted defects of a Safe's module: every one must be noticed
	$(PY) -m anvil.mutants_renewal $(MUTANTS)

slither: .venv-slither/bin/slither setup  ## static analysis of our contracts; each finding is explained or fails
	$(PY) -m anvil.analysis slither

halmos: .venv-halmos/bin/halmos setup  ## proofs of contracts/proofs, for every caller and all bytes
	$(PY) -m anvil.analysis halmos

# analysers pin what we do not: each has an environment of its own
.venv-slither/bin/slither .venv-halmos/bin/halmos: | .venv/.ready
	$(PY) -m venv .venv-$(notdir $@)
	.venv-$(notdir $@)/bin/python -m pip install --quiet --disable-pip-version-check $(ANALYSER_$(notdir $@))
	touch $@

.PHONY: docs

docs: .venv-docs/bin/zensical  ## the documentation as a site, into build/site; fails on a link that leads nowhere
	.venv-docs/bin/zensical build --strict

.venv-docs/bin/zensical: .ci/docs.lock | .venv/.ready
	$(STEPS)
	$(PY) -m venv .venv-docs
	step "install what makes the site from its lock" .venv-docs/bin/python -m pip install --quiet \
	    --disable-pip-version-check --require-hashes -r .ci/docs.lock
	touch $@

.PHONY: clean-machine

clean-machine: setup  ## follow the install page in an empty root: units verified, daemon READY, page served, alarm received
	$(PY) -m tests.clean_machine
