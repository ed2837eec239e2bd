"""The sections of the panel, one controller a file. They start what the logic does and show what it gives."""
