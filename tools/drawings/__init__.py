"""The pictures of docs/engine.md, one file for each subject."""
