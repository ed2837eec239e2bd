"""The server: `serving.serve` is the whole of it. Needs the extra `server`: FastAPI, uvicorn and cryptography."""
