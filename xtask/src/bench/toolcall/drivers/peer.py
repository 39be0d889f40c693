"""The driver of `json_repair`: times its own loop, as `protocol.rs` describes."""

import json
import sys
import time
from pathlib import Path

import json_repair


def texts(case: str) -> list[str]:
    lines = Path(sys.argv[1], f"{case}.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    return [json.loads(line)["text"] for line in lines]


def judged(text: str) -> str:
    try:
        value = json_repair.loads(text)
        # It answers the empty string where it finds nothing.
        return json.dumps(None if value == "" else {"read": json.dumps(value)})
    except (ValueError, RecursionError) as error:
        print(f"json_repair: {type(error).__name__}", file=sys.stderr)
        return "null"


def main() -> None:
    cases: dict[str, list[str]] = {}
    for line in sys.stdin:
        command, case, number = line.split()
        items = cases.setdefault(case, texts(case) if case not in cases else [])
        if command == "judge":
            for text in items[int(number) :]:
                print(judged(text), flush=True)
            print("end", flush=True)
            continue
        begun, used = time.monotonic_ns(), time.process_time_ns()
        for _ in range(int(number)):
            for text in items:
                try:
                    json_repair.loads(text)
                except (ValueError, RecursionError):
                    pass
        print(time.monotonic_ns() - begun, time.process_time_ns() - used, flush=True)


main()
