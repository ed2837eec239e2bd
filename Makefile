# Each target sets up what it needs, in environments of its own that are made again when their requirements change.
#
#   make run     segment a brain MRI: INPUT=scan.nii.gz OUTPUT=folder, or without them the MNI152 template into out/;
#                results of before in that folder are replaced
#   make test    everything that is checked: lint, all tests, and the library's tests with numpy 1.26
#   make lint    ruff, mypy, and whether Python 3.9 can read it all
#   make clean   remove environments, caches and results
#
# PYTHON=python3.x chooses another Python; it must be 3.9 or newer. PYTEST_ARGS are passed on.

PYTHON ?= python3
TEMPLATE := .cache/mni152_t1_1mm.nii.gz
INPUT ?= $(TEMPLATE)
OUTPUT ?= out
PYTEST_ARGS ?=

REQUIREMENTS := pyproject.toml setup.py constraints.txt
SHIPPED := LowResSegLib LowResSeg tools setup.py
SOURCES := $(SHIPPED) Testing benchmarks
# numpy 1.26 is there for Python 3.9 to 3.12; the oldest found is taken, which is what the oldest Slicer has.
PYTHON_1 = $(shell for python in python3.9 $(HOME)/.pyenv/versions/3.9.*/bin/python python3.10 python3.11 python3.12; do \
	$$python -c "" 2>/dev/null && echo $$python && break; done)

.PHONY: run test test-all test-numpy-1 lint clean

# $(call environment,FOLDER,PYTHON,REQUIREMENTS)
define environment
@$(2) -c "import sys; sys.exit(sys.version_info < (3, 9))" || \
	{ echo "$(2) is not Python 3.9 or newer; give another with PYTHON=..." >&2; exit 1; }
rm -rf $(1)
$(2) -m venv $(1)
$(1)/bin/python -m pip install --quiet --disable-pip-version-check "pip>=22"
$(1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(3)
touch $(1)/stamp
endef

run: .venv-run/stamp $(filter $(TEMPLATE),$(INPUT))
	.venv-run/bin/lowresseg segment "$(INPUT)" --output "$(OUTPUT)" --overwrite

test: lint test-all test-numpy-1

test-all: .venv-test/stamp
	.venv-test/bin/python -m pytest $(PYTEST_ARGS)

ifneq ($(strip $(PYTHON_1)),)
test-numpy-1: .venv-numpy-1/stamp
	.venv-numpy-1/bin/python -m pytest Testing/Lib $(PYTEST_ARGS)
else
test-numpy-1:
	@echo "The tests with numpy 1.26 are left out: they need Python 3.9 to 3.12, and none was found." >&2
endif

lint: .venv-test/stamp
	.venv-test/bin/ruff check $(wildcard $(SOURCES))
	.venv-test/bin/mypy
	.venv-test/bin/vermin --quiet --violations --no-tips --target=3.9- $(wildcard $(SHIPPED))

clean:
	rm -rf .venv-run .venv-test .venv-numpy-1 .cache out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis
	find $(wildcard $(SOURCES)) -name __pycache__ -type d -prune -exec rm -rf {} +

$(TEMPLATE): tools/mni152.py | .venv-run/stamp
	.venv-run/bin/python tools/mni152.py $@

.venv-run/stamp: $(REQUIREMENTS)
	$(call environment,.venv-run,$(PYTHON),--editable ".[onnx$(comma)picture]")

.venv-test/stamp: $(REQUIREMENTS)
	$(call environment,.venv-test,$(PYTHON),--editable ".[onnx$(comma)picture$(comma)dicom$(comma)train$(comma)test$(comma)slicer$(comma)lint]")

.venv-numpy-1/stamp: $(REQUIREMENTS)
	$(call environment,.venv-numpy-1,$(PYTHON_1),"numpy==1.26.*" --editable ".[onnx$(comma)picture$(comma)dicom$(comma)test]")

comma := ,
