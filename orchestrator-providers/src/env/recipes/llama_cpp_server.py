"""Serves one model with llama.cpp's own HTTP server, which the package `xllamacpp` holds.

It understands the options that `llama-server` understands, and the same `LLAMA_ARG_*` variables; an option on the
command line wins. An option it does not know is refused with the words of `llama-server` and exit status 1.
It answers on loopback unless told otherwise, allows no web page of another origin, and has no tools, no MCP servers
and no page of its own.

Owns: the way from options to the engine's parameters, and the end on a signal. Does not own: anything else.
"""

import os
import signal
import sys
from importlib.metadata import version

TRUE = ("on", "enabled", "true", "1")
FALSE = ("off", "disabled", "false", "0")


class Refused(Exception):
    """An option that cannot be honoured; its text is shown to people."""


def text(value):
    return value


def number(value):
    return int(value, 10)


def real(value):
    return float(value)


def switch(value):
    if value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    raise ValueError(f"expected `on` or `off`, not `{value}`")


def words(value):
    return [part.strip() for part in value.split(",") if part.strip()]


def file_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def file_lines(path):
    lines = (line.strip() for line in file_text(path).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "'": "'", '"': '"', "\\": "\\"}


def unescaped(value):
    """Reads the escapes that the engine's own command line reads."""
    found, rest = [], iter(value)
    for letter in rest:
        following = next(rest, "") if letter == "\\" else ""
        found.append(ESCAPES.get(following, letter + following) if following else letter)
    return "".join(found)


def no_layers(value):
    """The engine in this environment has no GPU: only the value that asks for none is honest."""
    if value not in ("0", "auto"):
        raise ValueError("this engine was built for the processor alone and cannot put layers on a GPU")


def no_device(value):
    if value != "none":
        raise ValueError(f"invalid device: {value}")


def member(prefix):
    """Returns a parser for the members of one of the engine's enumerations, named without their prefix."""

    def parse(value):
        import xllamacpp

        kind, start = prefix
        name = start + value.upper()
        try:
            return getattr(xllamacpp, kind)[name]
        except KeyError:
            known = [m.name[len(start) :].lower() for m in getattr(xllamacpp, kind)]
            raise ValueError(f"`{value}` is none of {', '.join(known)}") from None

    return parse


def flash_attention(value):
    words_for = {"on": "enabled", "off": "disabled"}
    return member(("llama_flash_attn_type", "LLAMA_FLASH_ATTN_TYPE_"))(words_for.get(value, value))


def set_at(path):
    """Returns a function that sets the parameter at a dotted path."""
    *folders, last = path.split(".")

    def apply(params, value):
        for folder in folders:
            params = getattr(params, folder)
        setattr(params, last, value)

    return apply


def add_stop(params, value):
    params.antiprompt = [*params.antiprompt, value]


def set_projector(params, value):
    params.mmproj.path = value


def set_rerank(params, _):
    import xllamacpp

    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK


def ignore(_params, _value):
    """For options whose only honest value is the one this engine has anyway."""


# The names of an option, its variable, how its value is read (`None`: it takes none), and what it does.
# A name in the second place is the one that switches the option off.
OPTIONS = [
    (("-m", "--model"), (), "LLAMA_ARG_MODEL", text, set_at("model.path")),
    (("-a", "--alias"), (), "LLAMA_ARG_ALIAS", lambda v: set(words(v)), set_at("model_alias")),
    (("--host",), (), "LLAMA_ARG_HOST", words, set_at("hostnames")),
    (("--port",), (), "LLAMA_ARG_PORT", number, set_at("port")),
    (("-to", "--timeout"), (), "LLAMA_ARG_TIMEOUT", number, lambda p, v: (set_at("timeout_read")(p, v), set_at("timeout_write")(p, v))),
    (("--threads-http",), (), "LLAMA_ARG_THREADS_HTTP", number, set_at("n_threads_http")),
    (("--cors-origins",), (), "LLAMA_ARG_CORS_ORIGINS", text, set_at("cors_origins")),
    (("--api-key-file",), (), None, file_lines, set_at("api_keys")),
    (("--metrics",), (), "LLAMA_ARG_ENDPOINT_METRICS", None, set_at("endpoint_metrics")),
    (("--slots",), ("--no-slots",), "LLAMA_ARG_ENDPOINT_SLOTS", None, set_at("endpoint_slots")),
    (("--props",), (), "LLAMA_ARG_ENDPOINT_PROPS", None, set_at("endpoint_props")),
    (("-c", "--ctx-size"), (), "LLAMA_ARG_CTX_SIZE", number, set_at("n_ctx")),
    (("-n", "--predict", "--n-predict"), (), "LLAMA_ARG_N_PREDICT", number, set_at("n_predict")),
    (("-b", "--batch-size"), (), "LLAMA_ARG_BATCH", number, set_at("n_batch")),
    (("-ub", "--ubatch-size"), (), "LLAMA_ARG_UBATCH", number, set_at("n_ubatch")),
    (("--keep",), (), None, number, set_at("n_keep")),
    (("-np", "--parallel"), (), "LLAMA_ARG_N_PARALLEL", number, set_at("n_parallel")),
    (("-t", "--threads"), (), "LLAMA_ARG_THREADS", number, set_at("cpuparams.n_threads")),
    (("-tb", "--threads-batch"), (), None, number, set_at("cpuparams_batch.n_threads")),
    (("-ngl", "--gpu-layers", "--n-gpu-layers"), (), "LLAMA_ARG_N_GPU_LAYERS", no_layers, ignore),
    (("-dev", "--device"), (), "LLAMA_ARG_DEVICE", no_device, ignore),
    (("-fit", "--fit"), (), "LLAMA_ARG_FIT", switch, set_at("fit_params")),
    (("-cram", "--cache-ram"), (), "LLAMA_ARG_CACHE_RAM", number, set_at("cache_ram_mib")),
    (("--cache-reuse",), (), "LLAMA_ARG_CACHE_REUSE", number, set_at("n_cache_reuse")),
    (("--cache-prompt",), ("--no-cache-prompt",), "LLAMA_ARG_CACHE_PROMPT", None, set_at("cache_prompt")),
    (("-kvu", "--kv-unified"), ("-no-kvu", "--no-kv-unified"), "LLAMA_ARG_KV_UNIFIED", None, set_at("kv_unified")),
    (("-ctk", "--cache-type-k"), (), "LLAMA_ARG_CACHE_TYPE_K", member(("ggml_type", "GGML_TYPE_")), set_at("cache_type_k")),
    (("-ctv", "--cache-type-v"), (), "LLAMA_ARG_CACHE_TYPE_V", member(("ggml_type", "GGML_TYPE_")), set_at("cache_type_v")),
    (("-fa", "--flash-attn"), (), "LLAMA_ARG_FLASH_ATTN", flash_attention, set_at("flash_attn_type")),
    (("-lm", "--load-mode"), (), "LLAMA_ARG_LOAD_MODE", member(("llama_load_mode", "LLAMA_LOAD_MODE_")), set_at("load_mode")),
    (("--embedding", "--embeddings"), (), "LLAMA_ARG_EMBEDDINGS", None, set_at("embedding")),
    (("--rerank", "--reranking"), (), "LLAMA_ARG_RERANKING", None, set_rerank),
    (("--pooling",), (), "LLAMA_ARG_POOLING", member(("llama_pooling_type", "LLAMA_POOLING_TYPE_")), set_at("pooling_type")),
    (("--jinja",), ("--no-jinja",), "LLAMA_ARG_JINJA", None, set_at("use_jinja")),
    (("--chat-template",), (), "LLAMA_ARG_CHAT_TEMPLATE", text, set_at("chat_template")),
    (("--chat-template-file",), (), "LLAMA_ARG_CHAT_TEMPLATE_FILE", file_text, set_at("chat_template")),
    (("--reasoning-format",), (), "LLAMA_ARG_THINK", member(("common_reasoning_format", "COMMON_REASONING_FORMAT_")), set_at("reasoning_format")),
    (("-s", "--seed"), (), None, number, set_at("sampling.seed")),
    (("--temp", "--temperature"), (), "LLAMA_ARG_TEMPERATURE", real, set_at("sampling.temp")),
    (("--top-k",), (), "LLAMA_ARG_TOP_K", number, set_at("sampling.top_k")),
    (("--top-p",), (), "LLAMA_ARG_TOP_P", real, set_at("sampling.top_p")),
    (("--min-p",), (), "LLAMA_ARG_MIN_P", real, set_at("sampling.min_p")),
    (("--repeat-penalty",), (), "LLAMA_ARG_REPEAT_PENALTY", real, set_at("sampling.penalty_repeat")),
    (("--repeat-last-n",), (), None, number, set_at("sampling.penalty_last_n")),
    (("--presence-penalty",), (), "LLAMA_ARG_PRESENCE_PENALTY", real, set_at("sampling.penalty_present")),
    (("--frequency-penalty",), (), "LLAMA_ARG_FREQUENCY_PENALTY", real, set_at("sampling.penalty_freq")),
    (("--typical", "--typical-p"), (), None, real, set_at("sampling.typ_p")),
    (("-r", "--reverse-prompt"), (), None, unescaped, add_stop),
    (("-mm", "--mmproj"), (), "LLAMA_ARG_MMPROJ", text, set_projector),
    (("--warmup",), ("--no-warmup",), "LLAMA_ARG_WARMUP", None, set_at("warmup")),
    (("-lv", "--verbosity", "--log-verbosity"), (), "LLAMA_ARG_LOG_VERBOSITY", number, set_at("verbosity")),
    (("--offline",), (), "LLAMA_ARG_OFFLINE", None, set_at("offline")),
    (("--no-ui", "--no-webui"), (), None, None, ignore),
]


def read(name, parse, value):
    try:
        return parse(value)
    except (ValueError, OSError) as error:
        raise Refused(f'error while handling argument "{name}": {error}') from None


def from_variables(environment):
    """Yields what the variables ask for. A switch's variable with `_NO_` in it switches the option off."""
    for _, negated, variable, parse, apply in OPTIONS:
        if variable is None:
            continue
        value = environment.get(variable)
        if value is not None and parse is not None:
            yield apply, read(variable, parse, value)
        elif value is not None and (negated or value.lower() in TRUE):
            yield apply, read(variable, switch, value)
        if negated and variable.replace("LLAMA_ARG_", "LLAMA_ARG_NO_") in environment:
            yield apply, False


def from_arguments(arguments):
    """Yields what the command line asks for."""
    by_name = {}
    for names, negated, _, parse, apply in OPTIONS:
        by_name.update((name, (parse, apply, True)) for name in names)
        by_name.update((name, (None, apply, False)) for name in negated)
    rest = iter(arguments)
    for name in rest:
        if name not in by_name:
            raise Refused(f"error: invalid argument: {name}")
        parse, apply, value = by_name[name]
        if parse is not None:
            value = next(rest, None)
            if value is None:
                raise Refused(f'error while handling argument "{name}": expected value for argument')
            value = read(name, parse, value)
        yield apply, value


def show_help():
    print("usage: llama_cpp_server.py --model FILE [options]\n\nOptions, as of llama-server:")
    for names, negated, variable, parse, _ in OPTIONS:
        line = "  " + ", ".join(names + negated) + (" VALUE" if parse else "")
        print(f"{line:<56}{variable or ''}".rstrip())
    print("  -h, --help\n  --version")


def show_version():
    print(f"version: {version('xllamacpp')} (xllamacpp)")
    print(f"python: {sys.version.split()[0]}")


def own_origin(params):
    """The one origin that needs no permission anyway: a page of this very server."""
    host = params.hostnames[0]
    return f"http://[{host}]:{params.port}" if ":" in host else f"http://{host}:{params.port}"


def parameters(arguments, environment):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.hostnames = ["127.0.0.1"]
    params.port = 8080
    params.n_parallel = -1
    params.cache_ram_mib = 0
    params.cors_origins = ""
    for apply, value in from_variables(environment):
        apply(params, value)
    for apply, value in from_arguments(arguments):
        apply(params, value)
    params.ui = False
    if not params.cors_origins:
        params.cors_origins = own_origin(params)
    if not params.model.path:
        raise Refused("error: --model is required")
    if not params.hostnames:
        raise Refused('error while handling argument "--host": expected an address')
    return params


def serve(params):
    import xllamacpp

    # The engine holds the interpreter while it loads, so no Python code could react to a signal then: until the
    # server is ready a signal ends the process as the system does it.
    for number_of in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number_of, signal.SIG_DFL)
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        print(f"error: the server could not be started: {error}", file=sys.stderr, flush=True)
        return 1
    # A signal may reach any of the engine's threads. The system's handler writes to this pipe from whichever it is.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number_of in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number_of, lambda *_: None)
    os.read(reader, 1)
    # Nothing is left to save. The engine's own end would wait for the answers under way, which is up to whoever
    # stops us and may be long; so the process ends here, with the server still referred to.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if server else 1)


def main(arguments):
    if "--help" in arguments or "-h" in arguments:
        show_help()
        return 0
    if "--version" in arguments:
        show_version()
        return 0
    try:
        params = parameters(arguments, os.environ)
    except Refused as refused:
        print(refused, file=sys.stderr, flush=True)
        return 1
    return serve(params)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
