"""An engine for tests: ready at once; answers with what it was asked, streams, and dies when asked to."""

import http.server
import json
import os
import signal
import sys


class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        print("asked", *arguments[1:2], file=sys.stderr, flush=True)

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def do_GET(self):
        self.answer({"status": "ok"})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not request.get("stream"):
            self.answer({"asked": request, "pid": os.getpid()})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number in range(request.get("chunks", 3)):
            self.chunk(f'data: {{"n": {number}}}\n\n')
        if request.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if request.get("hang"):
            self.rfile.read(1)
            return
        self.chunk("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")


server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Engine)
print("listening", flush=True)
server.serve_forever()
