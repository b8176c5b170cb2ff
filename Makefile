# make demo: the main job on the sample.  make test: the whole test suite.
# Both set up what they need: .venv with every extra, and (Debian) the system libraries.

BIN := .venv/bin
INSTALLED := .venv/.installed
# Tests and pictures want one known screen, also where a real display is there.
XVFB := xvfb-run -a -s "-screen 0 1280x800x24 -nolisten tcp"

.DEFAULT_GOAL := help
.PHONY: help install demo test slow lint libraries pictures clean

help:
	@echo "make demo      open the sample in napari, predicted (without a display: build/demo/)"
	@echo "make test      the whole test suite, real windows included"
	@echo "make slow      the tests that take minutes"
	@echo "make lint      style and import rules"
	@echo "make install   .venv with every extra, at the tested versions"
	@echo "make pictures  take the screenshots of docs/images again"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt tools/environment
	tools/environment
	@touch $@

libraries:
	@tools/system-libraries

demo: install
	@if [ "$$(uname -s)" != Linux ] || [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
	  $(BIN)/python -m napari_ink.demo build/demo; \
	else \
	  tools/system-libraries && $(XVFB) $(BIN)/python -m napari_ink.demo build/demo --picture; \
	fi

test: install libraries
	$(BIN)/python -m pytest -n 2 --dist loadfile

slow: install libraries
	$(BIN)/python -m pytest -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

pictures: install libraries
	$(XVFB) $(BIN)/python docs/take_pictures.py

clean:
	rm -rf .venv build dist
