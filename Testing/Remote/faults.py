"""What goes wrong with the stand-in's answers, for tests of the client."""

from __future__ import annotations

from typing import Any

from stand_in import Fault, Handler

from LowResSegLib.remote.protocol import AnswerError

JOB = [("POST", "/jobs"), ("PUT", "/input"), ("GET", "/result"), ("GET", "/record")]  # requests of a job, in order


def hit(handler: Handler, method: str, ending: str) -> bool:
    return handler.command == method and handler.path.partition("?")[0].endswith(ending)


def times(count: int, method: str, ending: str, do: Any) -> Fault:
    """A fault of the first requests of a kind; `do` answers them."""
    left = [count]

    def fault(handler: Handler) -> bool:
        if not hit(handler, method, ending) or not left[0]:
            return False
        left[0] -= 1
        do(handler)
        return True

    return fault


def refuse(code: str, retry: float = 0.01) -> Any:
    def do(handler: Handler) -> None:
        handler.close_connection = True
        error = AnswerError(code, "Come back later.", retry)
        handler.json(error.status, error.to_dict())

    return do


def cut(handler: Handler) -> None:
    handler.cut()


def half_an_answer(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")
    handler.cut()


def nonsense(handler: Handler) -> None:
    handler.close_connection = True
    handler.wfile.write(b"220 smtp.example ESMTP\r\n")
