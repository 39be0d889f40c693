//! Bad input gets a clear error and loses nothing: each row shows the exit code and the words people need.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use orchestrator_tests::behaviour::ExitAtStart;
use orchestrator_tests::home::{self, fake_engine};
use orchestrator_tests::{Behaviour, TestHome};
use serde_json::{Value, json};

use crate::support::Edit as _;

#[test]
fn a_faulty_configuration_is_refused_with_its_place_and_what_was_meant() {
    let cases: [(&str, &str, u8, &[&str]); 6] = [
        (
            "an unknown key",
            "{\n  \"name\": \"demo\",\n  \"model\": { \"ref\": \"file:/m.gguf\", \"contextsize\": 4096 }\n}",
            10,
            &["config.json", "3", "contextsize", "context_size"],
        ),
        (
            "a wrong type",
            "{\n  \"name\": \"demo\",\n  \"model\": { \"ref\": \"file:/m.gguf\" },\n  \"server\": { \"port\": \"many\" }\n}",
            10,
            &["config.json", "4", "port"],
        ),
        ("no model", "{ \"name\": \"demo\" }", 10, &["config.json", "model"]),
        ("another name than its folder", "{ \"name\": \"other\", \"model\": { \"ref\": \"file:/m.gguf\" } }", 10, &["other", "demo"]),
        ("no JSON at all", "{ \"name\": ", 10, &["config.json"]),
        ("an empty file", "", 10, &["config.json"]),
    ];
    for (what, text, status, words) in cases {
        let home = TestHome::new();
        home.add("good", &Behaviour::default());
        home.write_config_text("demo", text);
        let outcome = home.orch(&["up", "demo"]).assert_fails(status, words);
        assert!(!outcome.stderr.contains('\u{1b}'), "{what}: {outcome:#?}");
        let outcome = home.orch(&["config", "validate"]).assert_fails(status, &[]);
        for word in words {
            assert!(outcome.stdout.contains(word) || outcome.stderr.contains(word), "{what}: `{word}` is missing in {outcome:#?}");
        }
        // The others are not affected, and the file is as it was.
        home.orch(&["up", "good"]).assert_ok();
        assert_eq!(std::fs::read_to_string(home.path().join("instances/demo/config.json")).unwrap(), text);
    }
}

#[test]
fn a_port_or_alias_that_two_claim_is_a_conflict_that_names_both() {
    let home = TestHome::new();
    for name in ["a", "b"] {
        home.write_config(name, &home.config(name, &Behaviour::default()).edit("/server", json!({ "port": 45_871 })));
    }
    home.orch(&["config", "validate"]).assert_fails(12, &[]);
    home.orch(&["up", "a"]).assert_fails(12, &["45871", "b"]);
    let home = TestHome::new();
    for name in ["a", "b"] {
        home.write_config(name, &home.config(name, &Behaviour::default()).edit("/aliases", json!(["gpt-4"])));
    }
    home.orch(&["up", "a"]).assert_fails(12, &["gpt-4", "b"]);
}

/// Writes what is to be at the model's path.
type Prepare = fn(&TestHome, &Path);

#[test]
fn a_model_that_cannot_be_one_is_refused_before_anything_starts() {
    let cases: [(&str, Prepare, u8, &[&str]); 8] = [
        ("missing", |_, _| {}, 40, &["bad.gguf"]),
        ("a folder", |_, path| std::fs::create_dir(path).unwrap(), 42, &["bad.gguf"]),
        // Root may read every file, but nobody gets to the end of this one.
        ("unreadable", |_, path| std::os::unix::fs::symlink(path, path).unwrap(), 41, &["bad.gguf", "cannot be read", "permissions"]),
        ("empty", |_, path| std::fs::write(path, "").unwrap(), 42, &["bad.gguf", "empty"]),
        ("not GGUF", |_, path| std::fs::write(path, "<!DOCTYPE html><html>404</html>".repeat(50)).unwrap(), 42, &["bad.gguf"]),
        (
            "truncated",
            |home, path| {
                let whole = std::fs::read(home.model()).unwrap();
                std::fs::write(path, &whole[..whole.len() / 2]).unwrap();
            },
            42,
            &["bad.gguf", "cut off", "fetch"],
        ),
        (
            "claiming more than it holds",
            |home, path| {
                let mut bytes = std::fs::read(home.model()).unwrap();
                // The number of tensors.
                bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
                std::fs::write(path, bytes).unwrap();
            },
            42,
            &["bad.gguf", "claims more than the file holds", "fetch"],
        ),
        ("a device", |_, path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(), 42, &["bad.gguf"]),
    ];
    for (what, prepare, status, words) in cases {
        let home = TestHome::new();
        let path = home.path().join("bad.gguf");
        prepare(&home, &path);
        let starts = home.path().join("starts");
        let behaviour = Behaviour { starts_file: Some(starts.clone()), ..Behaviour::default() };
        home.write_config("demo", &home.config("demo", &behaviour).edit("/model/path", json!(path)));
        home.orch(&["up", "demo"]).assert_fails(status, words);
        assert!(!starts.exists(), "{what}: the engine was started");
    }
}

#[test]
fn an_engine_that_cannot_be_one_is_refused_by_its_path() {
    let home = TestHome::new();
    let place = |name: &str| home.path().join(name);
    std::fs::write(place("plain"), "no program").unwrap();
    std::fs::write(place("broken"), "no program").unwrap();
    std::fs::set_permissions(place("broken"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(place("lost"), "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(place("lost"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(place("folder")).unwrap();
    let cases = [("missing", &[25][..]), ("plain", &[26]), ("folder", &[26]), ("broken", &[21, 26]), ("lost", &[21, 26])];
    for (name, statuses) in cases {
        let config = home.config(name, &Behaviour::default()).edit("/engine/binary", json!(place(name)));
        home.write_config(name, &config);
        let outcome = home.orch(&["up", name]);
        assert!(statuses.contains(&outcome.status), "{name}: {outcome:#?}");
        assert!(outcome.stderr.contains(place(name).to_str().unwrap()), "{name}: {outcome:#?}");
        assert!(outcome.stderr.contains("hint:"), "{name}: {outcome:#?}");
    }
}

#[test]
fn an_engine_that_fails_its_start_or_its_answers_is_named_with_the_way_out() {
    let home = TestHome::new();
    let exit = ExitAtStart { status: 3, stderr: "boom\n".to_owned() };
    home.add("exits", &Behaviour { exit_at_start: Some(exit), ..Behaviour::default() });
    home.orch(&["up", "exits"]).assert_fails(21, &["`exits`", "status 3", "boom", "orch logs exits"]);
    let never = home.config("never", &Behaviour { never_ready: true, ..Behaviour::default() });
    home.write_config("never", &never.edit("/healthcheck/start_period", json!("500ms")));
    home.orch(&["up", "never"]).assert_fails(22, &["`never`", "ready in time", "orch logs never", "healthcheck.start_period"]);
    home.add("fails", &Behaviour { model_status: Some(500), ..Behaviour::default() });
    home.orch(&["run", "fails", "hello"]).assert_fails(32, &["the model's server answered with an error 500", "told to fail", "orch logs"]);
}

#[test]
fn no_engine_at_all_says_how_to_get_one() {
    let home = TestHome::new();
    let mut config = home.config("demo", &Behaviour::default());
    config.as_object_mut().unwrap().remove("engine");
    home.write_config("demo", &config);
    home.orch(&["up", "demo"]).assert_fails(25, &["llama-server", "orch env create llama-cpp-cpu"]);
}

#[test]
fn a_configured_port_is_honoured_or_its_holder_is_named() {
    let home = TestHome::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    home.write_config("demo", &home.config("demo", &Behaviour::default()).edit("/server", json!({ "port": port })));
    let own_pid = std::process::id().to_string();
    home.orch(&["up", "demo"]).assert_fails(24, &[&port.to_string(), &own_pid]);
    drop(holder);
    home.orch(&["up", "demo"]).assert_ok();
    assert_eq!(home.row("demo")["port"], port);
}

#[test]
fn a_setting_the_engine_cannot_honour_is_refused_by_name() {
    let home = TestHome::new();
    let cases: [(&str, Value, &str); 2] =
        [("/gpu", json!({ "backend": "cpu", "layers": 7 }), "gpu.layers"), ("/args", json!(["--port", "1"]), "--port")];
    for (pointer, value, word) in cases {
        home.write_config("demo", &home.config("demo", &Behaviour::default()).edit(pointer, value));
        home.orch(&["up", "demo"]).assert_fails(28, &[word]);
    }
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    for place in ["/proc/orchestrator", "/dev/null/home"] {
        let home = TestHome::new();
        let mut command = home.command(&["ps"]);
        command.env("ORCH_HOME", place);
        home::run(command).assert_fails(14, &[place, "hint:"]);
    }
}

#[test]
fn a_faulty_daemon_configuration_is_refused_with_its_place() {
    let home = TestHome::new();
    std::fs::write(home.path().join("config.yaml"), "gateway:\n  prot: 1\n").unwrap();
    home.orch(&["ps"]).assert_fails(10, &["config.yaml", "2", "prot", "port"]);
}

#[test]
fn what_is_not_there_or_not_running_is_said_so() {
    let home = TestHome::new();
    home.add("qwen3-8b", &Behaviour::default());
    for command in ["up", "down", "restart", "describe", "logs", "health"] {
        home.orch(&[command, "qwen3-7b"]).assert_fails(20, &["qwen3-7b", "qwen3-8b"]);
    }
    home.orch(&["down", "qwen3-8b"]).assert_fails(27, &["qwen3-8b"]);
    home.orch(&["up", "../etc"]).assert_fails(2, &["../etc"]);
    home.orch(&["frobnicate"]).assert_fails(2, &["frobnicate"]);
    home.orch(&["up"]).assert_fails(2, &[]);
    home.orch(&["env", "create", "no-such-env"]).assert_fails(50, &["no-such-env", "llama-cpp-cpu"]);
}

#[test]
fn building_an_environment_without_python_says_what_to_install() {
    let home = TestHome::new();
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let mut command = home.command(&["env", "create", "llama-cpp-cpu"]);
    command.env("PATH", &empty);
    let outcome = home::run(command).assert_fails(52, &["hint:"]);
    assert!(outcome.stderr.to_lowercase().contains("python") || outcome.stderr.contains("uv"), "{outcome:#?}");
    let left = std::fs::read_dir(home.path().join("envs/.tmp")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "something half-built was left behind");
}

/// Everything is sent to a port where nobody listens.
#[test]
fn building_an_environment_without_a_network_says_so_and_leaves_nothing() {
    let home = TestHome::new();
    let nowhere = "http://127.0.0.1:9/simple";
    let mut command = home.command(&["env", "create", "llama-cpp-cpu"]);
    for variable in ["UV_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_INDEX_URL"] {
        command.env(variable, nowhere);
    }
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"] {
        command.env(variable, "http://127.0.0.1:9");
    }
    command.env("UV_HTTP_RETRIES", "0").env("PIP_RETRIES", "0");
    let outcome = home::run(command);
    // 52 where not even the tool that builds could be fetched.
    assert!([52, 53].contains(&outcome.status), "{outcome:#?}");
    assert!(outcome.stderr.contains("hint:"), "{outcome:#?}");
    let left: Vec<_> = std::fs::read_dir(home.path().join("envs/llama-cpp-cpu"))
        .map_or(Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect());
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(std::fs::read_dir(home.path().join("envs/.tmp")).map_or(0, Iterator::count), 0);
}

#[test]
fn control_characters_of_an_engine_are_shown_and_not_obeyed() {
    let home = TestHome::new();
    let end = ExitAtStart { status: 3, stderr: "\u{1b}[2J\u{1b}]0;owned\u{7}evil \u{8}words\n".to_owned() };
    home.add("demo", &Behaviour { exit_at_start: Some(end), ..Behaviour::default() });
    let outcome = home.orch(&["up", "demo"]).assert_fails(21, &["words"]);
    let logs = home.orch(&["logs", "demo"]).assert_ok();
    for text in [&outcome.stderr, &logs.stdout] {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{8}']), "{text:?}");
    }
    assert!(fake_engine().exists());
}

#[test]
fn a_broken_environment_is_shown_as_broken_with_the_way_out() {
    let home = TestHome::new();
    let versions = home.path().join("envs/llama-cpp-cpu");
    std::fs::create_dir_all(&versions).unwrap();
    std::os::unix::fs::symlink("0123456789abcdef", versions.join("current")).unwrap();
    for arguments in [&["env", "ls"][..], &["doctor"]] {
        let shown = home.orch(arguments).stdout;
        assert!(shown.contains("0123456789abcdef") && shown.contains("orch env create llama-cpp-cpu"), "{shown}");
    }
    assert!(home.orch(&["env", "ls"]).assert_ok().stdout.contains("broken"));
    assert_eq!(home.json(&["env", "ls"])[0]["problem"]["code"], "env.unhealthy");
}
