"""Chats with a model: starts it where it is not running, and prints the answer as it is written.

    python examples/python/chat.py NAME [PROMPT]

NAME is an instance, an alias or a model of the home (``ORCH_HOME``, else the usual directories). It does not matter
whether a daemon runs: where none does, this program owns the home while it runs.
"""

import sys

import orchestrator
from orchestrator import Orchestrator


def answer(orch: Orchestrator, model: str, messages: list[dict[str, str]]) -> str:
    """Prints an answer piece by piece, and returns all of it."""
    said = ""
    with orch.chat(model, messages, max_tokens=256) as stream:
        for piece in stream:
            print(piece, end="", flush=True)
            said += piece
    print()
    if stream.finish_reason == "length":
        print("(cut off at 256 tokens)", file=sys.stderr)
    return said


def main() -> int:
    if len(sys.argv) < 2:
        print("usage: chat.py NAME [PROMPT]", file=sys.stderr)
        return 2
    model, prompt = sys.argv[1], " ".join(sys.argv[2:])
    messages: list[dict[str, str]] = []
    try:
        with Orchestrator() as orch:
            while True:
                question = prompt or input("> ")
                messages.append({"role": "user", "content": question})
                messages.append({"role": "assistant", "content": answer(orch, model, messages)})
                if prompt:
                    return 0
    except (EOFError, KeyboardInterrupt):
        print()
        return 0
    except orchestrator.OrchestratorError as error:
        # The text holds the causes, the engine's last words and what to do.
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
