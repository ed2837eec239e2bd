"""The experiments of docs/experiments.md: units of under an hour that add to one table, and the page made of it."""
