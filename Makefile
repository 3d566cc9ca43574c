# make demo   set up everything, start the demo on port 7860
# make test   set up everything, run the tests
# Set-up makes .venv with what the target needs, and runs again only when the requirements change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Without a Python that runs, as after an update of the system's, nothing is set up. Here and not in a recipe: make looks
# at the stamps before it runs one.
$(shell test -e $(BIN)/python || rm -f $(VENV)/.demo $(VENV)/.test)

.PHONY: demo test lint clean

demo: $(VENV)/.demo
	$(BIN)/python app.py

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

lint: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/.test: requirements.txt requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV)
