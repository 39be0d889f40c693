"""The envelope: the one strict form in which a model calls tools or answers.

    {"v": 1, "type": "tool_calls", "calls": [{"name": "…", "arguments": {…}}]}
    {"v": 1, "type": "final", "content": "…"}
"""

from orchestrator._orchestrator import envelope_schema as schema
from orchestrator._orchestrator import parse_envelope as parse

__all__ = ["parse", "schema"]
