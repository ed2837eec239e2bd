"""Segmentation on another computer: one protocol (`protocol`, `packed`), the server, and the client."""
