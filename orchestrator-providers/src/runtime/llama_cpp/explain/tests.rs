//! The texts were collected by provoking each failure of `llama-server` 0.7.0 (build 11669) and of our launcher
//! script with `xllamacpp` 2026.10.11549.

use super::*;

fn check(text: &str, expected: Option<&ExitCause>) {
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(explain(&lines).as_ref(), expected, "{text}");
}

#[test]
fn a_refused_argument() {
    let cause = |detail: &str| ExitCause::BadArgument { detail: detail.to_owned() };
    for (text, detail) in [
        ("error: invalid argument: --foo", "invalid argument: --foo"),
        ("error: unknown argument: --foo", "unknown argument: --foo"),
        (
            "error while handling argument \"--port\": stoi\n\nusage:\n--port PORT   port to listen (default: 9931)\n\n\nto show complete usage, run with -h",
            "error while handling argument \"--port\": stoi",
        ),
        (
            "error while handling argument \"--device\": invalid device: CUDA0\n\nusage:",
            "error while handling argument \"--device\": invalid device: CUDA0",
        ),
        (
            "error while handling argument \"--port\": invalid literal for int() with base 10: 'abc'",
            "error while handling argument \"--port\": invalid literal for int() with base 10: 'abc'",
        ),
        ("error: --model is required", "--model is required"),
    ] {
        check(text, Some(&cause(detail)));
    }
}

#[test]
fn a_taken_port() {
    check(
        "0.00.003.510 W srv  llama_server: security: no API key is set\n\
         0.00.003.596 E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 38121\n\
         0.00.003.605 I srv    operator(): operator(): cleaning up before exit...\n\
         0.00.003.666 E srv  llama_server: exiting due to HTTP server error",
        Some(&ExitCause::PortTaken),
    );
}

#[test]
fn memory_that_ran_out_is_told_from_a_model_that_was_refused() {
    check(
        "0.00.208.111 E ggml_aligned_malloc: insufficient memory (attempted to allocate 1953.12 MB)\n\
         0.00.208.139 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 2048000000\n\
         0.00.226.569 E llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache\n\
         0.00.226.601 E cmn  common_init_: failed to create context with model 'models/llama.gguf'\n\
         0.00.227.192 E srv  llama_server: exiting due to model loading error",
        Some(&ExitCause::OutOfMemory),
    );
    check("terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc", Some(&ExitCause::OutOfMemory));
    check("E llama_model_load: error loading model: mmap failed: Cannot allocate memory", Some(&ExitCause::OutOfMemory));
    check(
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9 MiB on device 0: cudaMalloc failed: out of memory",
        Some(&ExitCause::OutOfMemory),
    );
}

#[test]
fn an_unknown_architecture_is_told_from_a_damaged_file() {
    check(
        "0.00.006.993 E llama_model_load: error loading model: unknown model architecture: 'zzzzz'\n\
         0.00.007.020 E llama_model_load_from_file_impl: failed to load model\n\
         0.00.007.970 E srv  llama_server: exiting due to model loading error",
        Some(&ExitCause::UnknownArchitecture { detail: "unknown model architecture: 'zzzzz'".to_owned() }),
    );
}

#[test]
fn a_refused_model_keeps_the_words_of_whoever_read_it() {
    let cause = |detail: &str| ExitCause::ModelRejected { detail: detail.to_owned() };
    check(
        "0.00.004.407 E gguf_init_from_reader: invalid magic characters: 'garb', expected 'GGUF'\n\
         0.00.004.823 E llama_model_load: error loading model: llama_model_loader: failed to load model from bad.gguf\n\
         0.00.005.397 E srv          init: exiting due to model loading error\n\
         error: the server could not be started: Failed to init server, please check the input params.",
        Some(&cause("invalid magic characters: 'garb', expected 'GGUF'")),
    );
    check(
        "0.00.007.202 E gguf_init_from_file: failed to open GGUF file 'missing.gguf' (No such file or directory)\n\
         0.00.007.205 E llama_model_load: error loading model: llama_model_loader: failed to load model from missing.gguf",
        Some(&cause("failed to open GGUF file 'missing.gguf' (No such file or directory)")),
    );
    check(
        "E llama_model_load: error loading model: tensor 'blk.0.ffn_down.weight' data is not within the file bounds, model is corrupted or incomplete",
        Some(&cause("tensor 'blk.0.ffn_down.weight' data is not within the file bounds, model is corrupted or incomplete")),
    );
    check("0.00.007.207 E cmn  common_init_: failed to load model 'x.gguf'", Some(&cause("failed to load model 'x.gguf'")));
}

#[test]
fn a_missing_library_or_module() {
    let cause = |detail: &str| ExitCause::MissingLibrary { detail: detail.to_owned() };
    check(
        "llama-server: error while loading shared libraries: libllama-server-impl.so: cannot open shared object file: No such file or directory",
        Some(&cause("libllama-server-impl.so: cannot open shared object file: No such file or directory")),
    );
    check(
        "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\nModuleNotFoundError: No module named 'xllamacpp'",
        Some(&cause("No module named 'xllamacpp'")),
    );
}

#[test]
fn other_words_explain_nothing() {
    for text in
        ["", "hello", "0.01.588.973 I srv    operator(): operator(): cleaning up before exit...", "GGML_ASSERT(n_outputs >= 1) failed"]
    {
        check(text, None);
    }
}

#[test]
fn an_endless_line_is_cut() {
    let line = format!("error: invalid argument: {}", "x".repeat(10_000));
    let detail = match explain(&[line]) {
        Some(ExitCause::BadArgument { detail }) => detail,
        other => format!("{other:?}"),
    };
    assert!(detail.chars().count() < 400 && detail.ends_with('…'), "{detail}");
}
