"""Reads a model's answer as tool calls, without any server: what is ambiguous is refused, never guessed.

    python examples/python/toolcall.py [FILE]

FILE holds what a model wrote; without one, some samples are judged.
"""

import sys
from pathlib import Path

from orchestrator.toolcall import ToolSet

TOOLS = ToolSet.from_openai(
    [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Says how the weather will be.",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
                    "required": ["city"],
                },
            },
        }
    ]
    # Repaired calls may run only if the tool changes nothing.
).with_options(read_only=["weather"])

SAMPLES = [
    '{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{"city":"Paris"}}]}',
    "Sure!\n```json\n{v: 1, type: 'tool_calls', calls: [{name: 'weather', arguments: {city: 'Łódź', days: 3,}}]}\n```",
    '{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{"city":"Paris","days":0}}]}',
    '{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{"city":"Par',
    '{"v":1,"type":"final","content":"It will rain."}',
]


def main() -> int:
    texts = [Path(name).read_text() for name in sys.argv[1:]] or SAMPLES
    for text in texts:
        verdict = TOOLS.parse(text)
        envelope = verdict["envelope"]
        if envelope is None:
            for error in verdict["errors"]:
                print(f"{verdict['fidelity']}, refused: {error['keyword']} at {error['pointer'] or 'the top'}: {error['expected']}")
        elif envelope["type"] == "final":
            print(f"{verdict['fidelity']}, answer: {envelope['content']}")
        else:
            runs = "may run" if TOOLS.may_run(verdict) else "is for a person to allow"
            for call in envelope["calls"]:
                print(f"{verdict['fidelity']}, {runs}: {call['name']}({call['arguments']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
