//! The demo model's chat template.

/// Turns between marks, tools in the system turn, and tool calls as JSON between tags, which is the form that engines
/// recognise from the template and then constrain: without it llama.cpp ignores the tools of a request. The mark that opens
/// a call stands nowhere before the first call, because the weights take it for a call that was made.
pub(super) const CHAT: &str = r#"
{%- set first = 1 if messages and messages[0].role == 'system' else 0 -%}
{%- if tools or first -%}
    {{- '<|im_start|>system\n' -}}
    {%- if first -%}{{- messages[0].content -}}{%- endif -%}
    {%- if tools -%}
        {{- '\n<tools>\n' -}}
        {%- for tool in tools -%}{{- (tool | tojson) + '\n' -}}{%- endfor -%}
        {{- '</tools>' -}}
    {%- endif -%}
    {{- '<|im_end|>\n' -}}
{%- endif -%}
{%- for message in messages[first:] -%}
    {%- if message.role == 'tool' -%}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' -}}
    {%- else -%}
        {{- '<|im_start|>' + message.role + '\n' + (message.content or '') -}}
        {%- for call in message.tool_calls or [] -%}
            {{- '<tool_call>{"name": "' + call.function.name + '", "arguments": ' -}}
            {{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson -}}
            {{- '}</tool_call>' -}}
        {%- endfor -%}
        {{- '<|im_end|>\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"#;
