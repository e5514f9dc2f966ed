# make demo: from a fresh clone to a comparison. make test: the whole suite. Both set up .venv once.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test clean

demo: $(READY)
	$(BIN)/invbench -m +sweep=methods

test: $(READY)
	$(BIN)/python -m pytest

$(READY): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("invbench needs Python 3.11 or newer (make PYTHON=python3.11 ...)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

clean:
	rm -rf .venv build *.egg-info
