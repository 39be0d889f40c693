"""Asks for a tool call with the official `openai` client; Orchestrator sees to it that it is valid.

    pip install openai
    python examples/python/strict_call.py MODEL [PROMPT]

MODEL is an instance of the home (``ORCH_HOME``, else the usual directories) whose daemon runs (``orch up MODEL``). The
header asks for strict tool calls, whatever mode the instance has; any model will do, also one that knows no tools.
``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` say where else the daemon is.
"""

import json
import os
import sys

import openai

TOOLS: list[openai.types.chat.ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Says how the weather will be.",
            "parameters": {
                "type": "object",
                "properties": {
                    "unit": {"enum": ["celsius", "fahrenheit"]},
                    "days": {"type": "integer", "minimum": 1, "maximum": 7},
                },
                "required": ["unit", "days"],
                "additionalProperties": False,
            },
        },
    }
]


def main() -> int:
    if len(sys.argv) < 2:
        print("usage: strict_call.py MODEL [PROMPT]", file=sys.stderr)
        return 2
    model, prompt = sys.argv[1], " ".join(sys.argv[2:]) or "How will the weather be in the next three days?"
    client = openai.OpenAI(
        base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8484/v1"),
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
        default_headers={"x-orchestrator-tools": "strict"},
    )
    try:
        response = client.chat.completions.with_raw_response.create(
            model=model,
            messages=[{"role": "user", "content": prompt}],
            tools=TOOLS,
            tool_choice="required",
            parallel_tool_calls=False,
        )
    except openai.APIError as error:
        # 502 with `answer.invalid`: the model wrote no valid call, and nothing was made up.
        print(f"error: {error}", file=sys.stderr)
        return 1
    choice = response.parse().choices[0]
    for call in choice.message.tool_calls or []:
        assert call.type == "function"
        # Valid by the schema above: no need to check again.
        arguments = json.loads(call.function.arguments)
        print(f"{call.function.name}: {arguments['days']} days in {arguments['unit']}")
    print(f"finish_reason {choice.finish_reason}; {response.headers['x-orchestrator-tools']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
