# Every target sets itself up: the first one makes .venv, later ones use it again.
PYTHON ?= python3
BIN = .venv/bin
RUN = $(BIN)/python
NOTEBOOKS = $(wildcard notebooks/*.ipynb)
# rfc3987-syntax, which Jupyter loads, spends three seconds building a grammar nobody here needs
QUICK = PYTHONPATH="$(CURDIR)/tests/quick_start"
# inside a container everyone is root, and Jupyter wants to be told
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab demo test notebooks table curvature robustness clean

lab: .venv/ready
	$(RUN) -m jupyter lab --ip=127.0.0.1 $(AS_ROOT) notebooks/00_start_here.ipynb

demo: .venv/ready
	$(RUN) -m darts_lab.demo

# Two processes on two cores: were the kernels of the notebooks to use both each, they would mostly wait for one another.
test: .venv/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check darts_lab tests results benchmarks
	$(QUICK) $(RUN) -m pytest -q -n 2 --dist loadfile tests
	$(QUICK) OMP_NUM_THREADS=1 DARTS_LAB_SCALE=tiny $(RUN) -m pytest -q -n 2 --dist loadfile --nbval-lax \
		--nbval-current-env --nbval-cell-timeout=1200 notebooks

# Executes the notebooks at laptop scale, outputs and pictures included.
notebooks: .venv/ready
	for notebook in $(NOTEBOOKS); do \
		DARTS_LAB_SCALE=laptop $(RUN) -m jupyter nbconvert --to notebook --inplace --execute \
			--ExecutePreprocessor.timeout=1200 "$$notebook" || exit 1; \
	done

# The committed table results/collapse.csv: plain DARTS on S2, five seeds, beside fixed cells.
table: .venv/ready
	$(RUN) results/collapse.py

# The committed table results/curvature.csv: the dominant eigenvalue over plain searches on S1 to S4, five seeds each.
curvature: .venv/ready
	$(RUN) results/curvature.py

# The committed table results/robustness.csv: all methods on S4 and S2, five seeds each; goes on where it was stopped.
robustness: .venv/ready
	$(RUN) results/robustness.py

.venv/ready: pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
