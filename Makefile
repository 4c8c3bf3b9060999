# Needs only git, make and Python 3.11 or newer. The first target that runs makes the environment .venv.
PYTHON ?= python3
RUN := .venv/bin/python -m

# Threads that wait without spinning: a busy machine otherwise slows two of them down tenfold.
export OMP_WAIT_POLICY := PASSIVE

# Options for jupyter-book, such as "-W -n --keep-going --all" for a full build with warnings as errors.
BOOK_OPTIONS ?=

help:           ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

book: .venv/installed            ## build every page from the stored outputs
	.venv/bin/jupyter-book build . --quiet $(BOOK_OPTIONS)

site: .venv/installed            ## make the folder that any static host serves, build/site; SITE=https://... where it will stand
	.venv/bin/python scripts/make_site.py $(SITE)

slides: .venv/installed          ## make a deck of slides for each part, in build/slides
	.venv/bin/python scripts/make_slides.py

# Two processes at a time, each with one thread; a notebook's cells and solutions stay in one process.
test: export OMP_NUM_THREADS := 1
test: lint                       ## lint, the package's tests and doctests, then every notebook with its solutions
	MPLBACKEND=Agg $(RUN) pytest -n 2 --dist loadfile
	$(RUN) pytest -n 2 --dist loadfile --nbval --nbval-sanitize-with .nbval_sanitize.cfg --nbval-cell-timeout 120 book

lint: .venv/installed            ## check the style of the package, the tests and the notebooks
	$(RUN) ruff check .
	$(RUN) ruff format --check .

format: .venv/installed          ## mend what lint complains about, where that can be done safely
	$(RUN) ruff check --fix --exit-zero .
	$(RUN) ruff format .

notebooks: .venv/installed       ## run the notebooks and store their outputs: all, or NOTEBOOKS="a.ipynb b.ipynb"
	.venv/bin/python scripts/run_notebooks.py $(NOTEBOOKS)

assignments: .venv/installed     ## make the students' and the instructor's copies of all assignments from their sources
	.venv/bin/python scripts/assignments.py

grade: assignments               ## grade every file in a folder, SUBMISSIONS=folder, into grades/folder
	.venv/bin/python scripts/grade.py "$(or $(SUBMISSIONS),$(error Name the folder: make grade SUBMISSIONS=folder))"

address: .venv/installed         ## write the repository's address (from the git remote, or URL=...) into the book
	.venv/bin/python scripts/set_address.py $(URL)

clean:                           ## remove the built pages and the caches; the environment stays
	rm -rf _build build .pytest_cache .ruff_cache .hypothesis

.venv/installed: requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("The book needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name a newer one: make PYTHON=python3.13" % sys.version_info[:2])'
	@echo "Making the environment .venv: some minutes, up to 7 GB"
	$(PYTHON) -m venv .venv
	$(RUN) pip install --quiet --requirement requirements.txt
	@touch $@

.PHONY: help book site slides test lint format notebooks assignments grade address clean
