# Every line delegates to dev.py, which works without make.
PYTHON ?= python3

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST)

demo: ## set up and run the demo (FRESH=1 starts over)
	@FRESH=$(FRESH) $(PYTHON) dev.py demo $(ARGS)

test: ## set up and run the tests
	@$(PYTHON) dev.py test $(ARGS)

browser lint lock doctor clean: ## browser tests; ruff, mypy, imports; renew locks; what is missing; remove all
	@$(PYTHON) dev.py $@ $(ARGS)

.PHONY: help demo test browser lint lock doctor clean
.DEFAULT_GOAL := help
