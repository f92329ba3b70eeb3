# Every target sets itself up: the first one makes .venv, later ones use it again.
PYTHON ?= python3
BIN = .venv/bin
RUN = $(BIN)/python
NOTEBOOKS = $(wildcard notebooks/*.ipynb)
SOLUTIONS = $(wildcard notebooks/solutions/*.ipynb)
# inside a container everyone is root, and Jupyter wants to be told
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab dashboard demo test coverage docs notebooks figures torture ladder fixed_cells collapse remedies fashion full_space grids robustness longer selection over_epochs prime language dense s5 clean

# rfc3987-syntax, which Jupyter loads, spends two or three seconds building a grammar nobody here needs
lab dashboard test coverage: export PYTHONPATH := $(CURDIR)/jupyter/quick_start$(if $(PYTHONPATH),:$(PYTHONPATH))
test coverage: export OMP_NUM_THREADS = 1

lab: .venv/ready
	$(RUN) -m jupyter lab --ip=127.0.0.1 $(AS_ROOT) notebooks/00_start_here.ipynb

# The lab as a page of its own, without a notebook around it and without anything fetched from elsewhere.
dashboard: export JUPYTER_PATH = $(CURDIR)/jupyter
dashboard: .venv/ready
	$(RUN) -m voila --Voila.ip=127.0.0.1 --Voila.auto_token=True --template=darts_lab --theme=light dashboard.ipynb

# The collapse and its cure on S4, two processes of one thread side by side, with progress and time left.
demo: .venv/ready
	$(RUN) -m darts_lab.demo

# Two processes on two cores: were the kernels of the notebooks to use both each, they would mostly wait for one another.
# The notebooks run even where a test has failed; the last line says how both ended.
test: .venv/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check darts_lab tests experiments benchmarks examples
	$(RUN) -m mypy
	@$(RUN) -m pytest -q -rs -n 2 --dist loadfile --no-loadscope-reorder tests; tests=$$?; \
	DARTS_LAB_SCALE=tiny $(RUN) -m pytest -q -n 2 --dist loadfile --nbval-lax \
		--nbval-current-env --nbval-cell-timeout=7200 --nbval-kernel-startup-timeout=600 notebooks; notebooks=$$?; \
	ended() { [ $$1 = 0 ] && echo passed || echo FAILED; }; \
	echo "make test: tests $$(ended $$tests), notebooks $$(ended $$notebooks)"; [ $$tests = 0 ] && [ $$notebooks = 0 ]

# As the tests of `make test`, with the share of lines that they run; of its own, as it takes longer. Python 3.12 and newer
# have a monitor for it; what numba has compiled cannot be seen.
coverage: export COVERAGE_CORE = sysmon
coverage: .venv/ready
	$(RUN) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered tests

# The site, into build/site: Markdown, notebooks with their committed outputs, the API. A warning is an error.
docs: .venv/ready .venv/docs
	$(RUN) -m sphinx -q -W --keep-going -c docs . build/site
	@echo "build/site/index.html"

.venv/docs: pyproject.toml | .venv/ready
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@

# The long part of the torture that tests/torture/README.md tells of, an hour or two; writes the table there.
COUNT = 50
torture: .venv/ready
	-$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	DARTS_LAB_CLICKING=60 $(RUN) -m pytest -q tests/widgets/test_widgets.py -k clicking
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(RUN) tests/torture/torture.py --count $(COUNT)

# Executes the notebooks at laptop scale, outputs and pictures included. Beside widgets nbclient may overlook the end of a
# cell (nbclient, issue 312), and sees it when the cell's time is over.
notebooks: .venv/ready
	for notebook in $(NOTEBOOKS) $(SOLUTIONS); do \
		DARTS_LAB_SCALE=laptop $(RUN) -m jupyter nbconvert --to notebook --inplace --execute \
			--ExecutePreprocessor.timeout=1800 --ExecutePreprocessor.startup_timeout=600 "$$notebook" || exit 1; \
		$(RUN) notebooks/smaller.py "$$notebook" || exit 1; \
	done

# Executes the notebooks into figures/notebooks, whatever they save into figures/, and builds the gallery figures/index.html.
figures: .venv/ready
	for notebook in $(NOTEBOOKS); do \
		DARTS_LAB_FIGURES="$(CURDIR)/figures" $(RUN) -m jupyter nbconvert --to html --execute \
			--ExecutePreprocessor.timeout=1800 --ExecutePreprocessor.startup_timeout=600 --output-dir figures/notebooks "$$notebook" || exit 1; \
	done
	$(RUN) -c "from darts_lab import figures; print(figures.gallery('figures'))"

# results/protocol.md says what these are: the L2 factors that the laptop's search bears, what skips cost on fixed cells, and
# the declared comparison, some fifteen hours of one core; the other remedies; the comparison on Fashion-MNIST, where its
# images are, and in the full space; the grids of L2 and drop path. All go on where they were stopped.
ladder fixed_cells collapse remedies fashion full_space grids: .venv/ready
	$(RUN) experiments/$@.py

# The committed tables results/robustness*: all methods, some five hours on two cores; goes on where it was stopped.
robustness: .venv/ready
	$(RUN) experiments/robustness.py

# results/longer*: S2 searched twice as long. results/selection.csv: which of a method's cells a short training would keep.
# results/over_epochs.csv: cells of every fifth epoch, trained. results/prime*: the parts of DARTS-PRIME.
# results/language*: recurrent cells. results/dense*: disparity and depth. All go on where they were stopped.
longer selection over_epochs prime language dense: .venv/ready
	$(RUN) experiments/$@.py

# The committed tables results/s5*: all 81 cells of S5 trained, and searches among them; goes on where it was stopped.
s5: .venv/ready
	$(RUN) experiments/ground_truth.py

.venv/ready: pyproject.toml
	$(RUN) -c "import pip, sys; sys.exit(sys.version_info < (3, 10))" 2>/dev/null || $(PYTHON) -m venv --clear .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[test]'
	$(RUN) -c "from darts_lab.check import compile_kernels; compile_kernels()"
	touch $@

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
