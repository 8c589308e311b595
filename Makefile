# Two commands do everything on a fresh machine with Python 3.11 (or later) and make:
#   make demo    the main job, on this machine alone
#   make test    lint, types, layers and tests
# Both make a virtual environment first and install into it what they need.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
CODE = src tests examples benchmarks docs
DEMO = $(VENV)/.demo-installed
# In the order of collection: `tests/conftest.py` puts long modules first.
PARALLEL = -n auto --dist loadscope --no-loadscope-reorder
VERSIONS = 3.11 3.12 3.13 3.14 3.15
# Those that .ci/in-debian has, for machines without them.
DEBIAN_VERSIONS = 3.14 3.15

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test coverage mutation receivers prometheus test-all test-lowest test-matrix lint types layers unit explore format chaos redaction-report redaction-peers redaction-linear redaction-key-shapes request-cost request-latency bench-startup side-by-side bench browser docs pictures dist clean

help:
	@echo "make demo              show the main job in the terminal, about 15 seconds"
	@echo "make test              lint, types, import layers, all tests"
	@echo "make coverage          branch coverage by the fast tests; fails below the gate in pyproject.toml"
	@echo "make mutation          small changes of redaction, sampling, latency and audit that no test notices; an hour"
	@echo "make receivers         real receivers of Sentry's protocol, for the tests that skip without them"
	@echo "make prometheus        Prometheus and Alertmanager, for the tests that ask them and skip without them (Debian)"
	@echo "make browser           Chromium, for the tests that open HTML reports and skip without it (Debian)"
	@echo "make test-all          the tests on each supported Python that is installed (DEBOOTSTRAP=1: 3.14, 3.15 too)"
	@echo "make test-lowest       tests with the lowest versions of the libraries that pyproject.toml allows"
	@echo "make test-matrix       the main job in fresh environments: older libraries, other distributions"
	@echo "make explore           the property tests with new examples, twenty times as many; some minutes"
	@echo "make chaos             the audit trail while everything is killed, 8 x 10,000 entries on both databases"
	@echo "make redaction-report  recall and false positives of the redactor, by kind"
	@echo "make redaction-peers   the redactor beside its peers; writes the table of docs/redaction.md"
	@echo "make redaction-key-shapes  shapes of provider keys in GITLEAKS=path/to/gitleaks.toml that the redactor misses"
	@echo "make redaction-linear  time for half a megabyte and one of every kind of input, some minutes"
	@echo "make request-latency   latency while a backend is healthy, refuses or hangs; after request-cost, some minutes"
	@echo "make request-cost      CPU that telemetry adds to a request, beside OpenTelemetry, sentry-sdk and ddtrace; writes benchmarks/RESULTS.md"
	@echo "make bench-startup     CPU and memory that a start adds, beside OpenTelemetry and sentry-sdk; a minute"
	@echo "make side-by-side      the example through sentry-sdk's tracing and through ours; writes the table of docs/sentry.md"
	@echo "make bench             the benchmarks"
	@echo "make docs              write docs/reference from the code"
	@echo "make pictures          draw the pictures of the documentation"
	@echo "make dist              build the wheel and the source distribution"
	@echo "make format            format the code"

CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "mita-otel needs Python 3.11 or later; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }

$(STAMP): pyproject.toml constraints.txt
	@echo "setting up $(VENV) (once) ..."
	@$(CHECK_PYTHON)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q 'pip>=25.1'
	@$(BIN)/python -m pip install -q -c constraints.txt -e . --group dev
	@touch $@

# The demo needs a tenth of that.
$(DEMO): pyproject.toml constraints.txt examples/requirements.txt
	@echo "setting up $(VENV) for the demo (once) ..."
	@$(CHECK_PYTHON)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[cli]' -r examples/requirements.txt
	@touch $@

demo: $(DEMO)
	@$(BIN)/python examples/payments/demo.py

test: lint types layers unit

lint: $(STAMP)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/codespell src docs examples *.md .github
	$(BIN)/python docs/check_terms.py

types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini

layers: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/python -m pytest $(PARALLEL)

# Branch coverage by the fast tests, also of the processes that they start. Measuring doubles the time of a test.
coverage: $(STAMP)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL) --ignore=tests/e2e --ignore=tests/examples --ignore=tests/type_checking \
		--ignore=tests/test_packaging.py
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-covered

# Changes the code of redaction, sampling, latency and audit in small ways, and reports the changes that no test notices.
# A sample: mutants whose number ends in the digits of MUTANTS; '*' takes all of them, which takes days.
MUTANTS = *37
mutation:
	@test -d .venvs/mutation || $(PYTHON) -m venv .venvs/mutation
	@.venvs/mutation/bin/python -m pip install -q 'pip>=25.1'
	@.venvs/mutation/bin/python -m pip install -q -c constraints.txt -e . --group mutation
	.venvs/mutation/bin/mutmut run '$(MUTANTS)'
	.venvs/mutation/bin/mutmut results

# In `make test` the examples of property tests are the same each time.
explore: $(STAMP)
	MITA_TEST_EXPLORE=20 $(BIN)/python -m pytest -n auto $$(grep -rlE '^@given|^fuzzed = ' tests --include='test_*.py')

# Spotlight (needs Node.js 20 and npm) and Bugsink, each in a folder of its own, in the versions that tests/receivers names.
receivers: .receivers/spotlight/.installed .receivers/bugsink/.installed

.receivers/spotlight/.installed: tests/receivers/package.json tests/receivers/package-lock.json
	@mkdir -p $(@D)
	@if command -v npm >/dev/null; then \
		echo "installing Spotlight ..."; \
		cp $^ $(@D) && npm ci --prefix $(@D) --silent --ignore-scripts --no-audit --no-fund && touch $@; \
	else \
		echo "npm is not installed: the tests with Spotlight will be skipped"; \
	fi

.receivers/bugsink/.installed: tests/receivers/bugsink.txt tests/receivers/bugsink_conf.py
	@echo "installing Bugsink ..."
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install -q -r $<
	@rm -f $(@D)/bugsink.sqlite3
	@cd $(@D) && BUGSINK_FOLDER=. DJANGO_SETTINGS_MODULE=bugsink_conf PYTHONPATH=$(CURDIR)/tests/receivers \
		PYTHONDONTWRITEBYTECODE=1 bin/bugsink-manage migrate -v 0
	@touch $@

# Debian's packages, unpacked: nothing is installed, and no service is started. Debian's Alertmanager looks for its
# templates under /usr/share: here, under the folder that it is started in.
prometheus: .receivers/prometheus/.installed

.receivers/prometheus/.installed:
	@if ! command -v apt-get >/dev/null; then \
		echo "no apt-get: the tests with Prometheus use what is on the PATH, or skip"; exit 0; \
	fi; \
	echo "unpacking Prometheus and Alertmanager ..."; \
	mkdir -p $(@D) && cd $(@D) && rm -f *.deb; \
	get="apt-get download -qq -o APT::Sandbox::User= prometheus prometheus-alertmanager"; \
	{ $$get 2>/dev/null || { apt-get update -qq && $$get; }; } >/dev/null \
		&& for package in *.deb; do dpkg -x $$package . || exit 1; done && rm -f *.deb \
		&& sed -i 's#/usr/share/prometheus/alertmanager#usr/share//prometheus/alertmanager#g' usr/bin/prometheus-alertmanager \
		&& touch $(@F) \
		|| echo "Prometheus could not be fetched: the tests with it use what is on the PATH, or skip"

format: $(STAMP)
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

# The tests of HTML reports skip where no Chromium is found.
browser:
	@command -v chromium chromium-browser google-chrome chrome >/dev/null 2>&1 \
		|| { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
		|| echo "no Chromium: the tests that open HTML reports will skip"

# Each supported Python in its own virtual environment: one on the PATH, or pyenv's. Where one is missing and the user
# is root, `make test-all DEBOOTSTRAP=1` uses Debian's, in a folder that .ci/in-debian makes.
test-all:
	@left_out=; \
	for version in $(VERSIONS); do \
		python=; in_debian=; \
		for candidate in python$$version $$HOME/.pyenv/versions/$$version.*/bin/python; do \
			if "$$candidate" -c '' 2>/dev/null; then python=$$candidate; break; fi; \
		done; \
		if [ -z "$$python" ] && [ -n "$(DEBOOTSTRAP)" ]; then \
			case " $(DEBIAN_VERSIONS) " in *" $$version "*) python=python$$version in_debian=.ci/in-debian;; esac; \
		fi; \
		if [ -z "$$python" ]; then left_out="$$left_out $$version"; continue; fi; \
		echo "=== Python $$version$${in_debian:+ (Debian)}"; \
		$$in_debian make --no-print-directory PYTHON=$$python VENV=.venvs/$$version types unit || exit 1; \
	done; \
	if [ -n "$$left_out" ]; then \
		echo "left out, not installed:$$left_out (as root, make test-all DEBOOTSTRAP=1 fetches:" \
			"$(DEBIAN_VERSIONS))"; \
	fi

# The lowest versions that pyproject.toml allows, in a virtual environment of their own. Tests of newer APIs of the libraries
# are left out.
LOWEST = .venvs/lowest
LOWEST_TESTS = tests/_otel_compat tests/processors/test_log_redaction.py tests/processors/test_redaction.py \
	tests/instrumentation/test_threads.py tests/instrumentation/test_oldest_frameworks.py \
	tests/instrumentation/test_sqlalchemy_sources.py tests/policy tests/latency

test-lowest:
	@test -d $(LOWEST) || $(PYTHON) -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip install -q 'pip>=25.1'
	@$(LOWEST)/bin/python tests/lowest_versions.py >$(LOWEST)/constraints.txt
	@$(LOWEST)/bin/python -m pip install -q -c $(LOWEST)/constraints.txt -e . --group lowest
	$(LOWEST)/bin/python -m pytest -m 'not newest' -W default::DeprecationWarning $(LOWEST_TESTS)

# Virtual environments of their own, about half a minute each the first time.
test-matrix: $(STAMP)
	MITA_TEST_MATRIX=1 $(BIN)/python -m pytest tests/e2e/test_matrix.py

# 600 entries a process in `make test`, 10,000 here.
chaos: $(STAMP)
	MITA_TEST_CHAOS_ENTRIES=10000 $(BIN)/python -m pytest tests/e2e/test_audit_chaos.py -n 0 --durations=3

redaction-report: $(STAMP)
	@$(BIN)/python benchmarks/redaction_report.py

docs: $(STAMP)
	$(BIN)/python docs/generate.py

# The pictures that take longer than a moment to make.
pictures: $(STAMP)
	$(BIN)/python docs/pictures/tail_sampling.py

# The peers are heavy: they have a virtual environment of their own.
redaction-peers:
	@test -d .venvs/peers || $(PYTHON) -m venv .venvs/peers
	@.venvs/peers/bin/python -m pip install -q 'pip>=25.1'
	@.venvs/peers/bin/python -m pip install -q -c constraints.txt -e . --group peers
	@.venvs/peers/bin/python benchmarks/redaction_peers.py --write docs/redaction.md

# What it is compared with would be loaded by our tests, too: another environment.
request-cost:
	@test -d .venvs/cost || $(PYTHON) -m venv .venvs/cost
	@.venvs/cost/bin/python -m pip install -q 'pip>=25.1'
	@.venvs/cost/bin/python -m pip install -q -c constraints.txt -e . --group cost
	@.venvs/cost/bin/python benchmarks/request_cost.py

bench-startup:
	@test -d .venvs/startup || $(PYTHON) -m venv .venvs/startup
	@.venvs/startup/bin/python -m pip install -q 'pip>=25.1'
	@.venvs/startup/bin/python -m pip install -q -c constraints.txt -e '.[otlp,cli]'
	@.venvs/startup/bin/python benchmarks/startup.py

# Needs the environment of request-cost.
request-latency:
	@.venvs/cost/bin/python benchmarks/request_latency.py

side-by-side: $(STAMP)
	@PYTHONPATH=tests $(BIN)/python -m e2e.side_by_side --write

redaction-key-shapes: $(STAMP)
	$(BIN)/python benchmarks/redaction_key_shapes.py $(GITLEAKS)

redaction-linear: $(STAMP)
	@$(BIN)/python benchmarks/redaction_linear.py

dist: $(STAMP)
	rm -rf dist
	$(BIN)/python -m hatchling build

bench: $(STAMP)
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf .venv .venvs .receivers build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache mutants
