"""A stand-in for llama.cpp's server: the same arguments, the same endpoints, and faults on demand.

What it does wrong is told by variables: ``FAKE_LOADING`` seconds until it is ready (``inf`` for never), ``FAKE_EXIT``
a status to end with at once, ``FAKE_PACE`` seconds between two words, ``FAKE_WORDS`` how many.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOADING = float(os.environ.get("FAKE_LOADING", "0.05"))
PACE = float(os.environ.get("FAKE_PACE", "0"))
WORDS = int(os.environ.get("FAKE_WORDS", "4"))
READY_AT = time.monotonic() + LOADING


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path != "/health":
            self.answer(404, {"error": {"message": "no such page", "code": 404}})
        elif time.monotonic() < READY_AT:
            self.answer(503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}})
        else:
            self.answer(200, {"status": "ok"})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if request.get("max_tokens") == 0:
            self.answer(400, {"error": {"message": "max_tokens must be above 0", "type": "invalid_request_error", "code": 400}})
            return
        # The answer tells what was asked, so that a test can see what arrived.
        words = [json.dumps(request), *(f" word{number}" for number in range(WORDS))]
        if not request.get("stream"):
            message = {"role": "assistant", "content": "".join(words)}
            self.answer(200, {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]})
            self.event({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]})
            for word in words:
                self.event({"choices": [{"index": 0, "delta": {"content": word}}]})
                time.sleep(PACE)
            usage = {"prompt_tokens": 1, "completion_tokens": WORDS, "total_tokens": WORDS + 1}
            self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
            self.chunk(b"data: [DONE]\n\n")
            self.chunk(b"")
        except OSError:
            say("the client went away")
            self.close_connection = True

    def event(self, value: object) -> None:
        self.chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


def main() -> None:
    arguments = dict(zip(sys.argv[1:], sys.argv[2:]))
    print("printed on standard output", flush=True)
    say(f"loading {arguments['--model']}")
    if status := os.environ.get("FAKE_EXIT"):
        say("the fake engine was told to fail")
        raise SystemExit(int(status))
    server = ThreadingHTTPServer((arguments["--host"], int(arguments["--port"])), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    say("listening")
    server.serve_forever(poll_interval=0.02)


if __name__ == "__main__":
    main()
