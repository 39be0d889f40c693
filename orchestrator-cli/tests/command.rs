//! The real program on a home of its own: what it prints, where, and how it ends. No engine is needed here.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A home, and no daemon left behind in it.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orch"));
        command.arg("--home").arg(self.path()).args(arguments);
        for name in ["ORCH_HOME", "ORCH_HOST", "ORCH_API_KEY", "ORCH_LOG", "ORCH_UV", "ORCH_PYTHON"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.run(&["daemon", "stop"]);
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn a_configuration_is_written_once_and_its_path_is_absolute() {
    let home = Home::new();
    let written = home.json(&["init", "demo", "--model", "models/x.gguf", "--json"]);
    let here = std::env::current_dir().unwrap();
    assert_eq!(written["model"], format!("file:{}", here.join("models/x.gguf").display()));
    let file = home.path().join("instances/demo/config.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let again = home.run(&["init", "demo", "--model", "/other.gguf"]);
    assert_eq!(status(&again), 15, "{}", stderr(&again));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    assert_eq!(status(&home.run(&["config", "validate"])), 0);
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_with_its_place_and_the_nearest_key() {
    let home = Home::new();
    let folder = home.path().join("instances/bad");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.yaml"), "name: bad\nmodel:\n  path: /x.gguf\nserver:\n  prot: 1\n").unwrap();
    let output = home.run(&["config", "validate"]);
    assert_eq!(status(&output), 10);
    assert!(stderr(&output).contains("config.yaml:5:3: unknown key `server.prot`"), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: did you mean `port`?"), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&home.run(&["config", "validate", "--json"]).stdout).unwrap();
    assert_eq!((&report["valid"], &report["problems"][0]["faults"][0]["at"]["line"]), (&Value::Bool(false), &Value::from(5)));
}

#[test]
fn errors_are_json_for_programs_and_stay_off_standard_output() {
    let home = Home::new();
    for (arguments, code, exit) in [
        (&["--json", "upp"][..], "usage", 2),
        (&["--json", "init", "x", "--model", "nonsense"], "model.reference_invalid", 43),
        (&["--json", "config", "validate", "/no/such/file"], "config.not_found", 11),
        (&["--json", "model", "pull", "nonsense"], "model.reference_invalid", 43),
        (&["--json", "model", "prune", "--keep", "a/b/c"], "model.reference_invalid", 43),
        (&["--json", "daemon", "status"], "daemon.unreachable", 60),
        (&["--json", "completions", "bash"], "usage", 2),
    ] {
        let output = home.run(arguments);
        assert_eq!(status(&output), exit, "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], code, "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new();
    let mut child = home.start(&["config", "schema"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((status(&output), stderr(&output)), (0, String::new()));
}

#[test]
fn commands_at_the_same_moment_start_one_daemon_and_stopping_it_leaves_none() {
    let home = Home::new();
    let children: Vec<Child> = (0..6).map(|_| home.start(&["ps", "--json"])).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!((stdout(&output).as_str(), status(&output)), ("[]\n", 0), "{}", stderr(&output));
    }
    let first = home.json(&["daemon", "status", "--json"]);
    assert_eq!(home.json(&["daemon", "start", "--json"])["pid"], first["pid"]);
    let second = home.run(&["serve"]);
    assert_eq!(status(&second), 61, "{}", stderr(&second));
    assert_eq!(status(&home.run(&["daemon", "stop", "--all"])), 0);
    assert_eq!(status(&home.run(&["daemon", "status"])), 60);
    let process = std::fs::read_to_string(format!("/proc/{}/stat", first["pid"])).unwrap_or_default();
    // Its status is for the first process to take, and not every container has one that does.
    assert!(process.is_empty() || process.contains(") Z "), "the daemon is still there: {process}");
}

#[test]
fn a_daemon_that_cannot_start_tells_why_in_its_own_words() {
    let home = Home::new();
    std::fs::write(home.path().join("config.yaml"), "gateway:\n  prot: 1\n").unwrap();
    let output = home.run(&["ps"]);
    assert_eq!(status(&output), 10);
    assert!(stderr(&output).contains("config.yaml:2:3: unknown key `gateway.prot`"), "{}", stderr(&output));
}

#[test]
fn a_home_that_is_a_file_is_refused_by_name() {
    let home = Home::new();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = home.run(&["--home", file.to_str().unwrap(), "ps"]);
    // The option is given twice, which clap refuses; the variable comes second to no option.
    assert_eq!(status(&output), 2);
    let output = Command::new(env!("CARGO_BIN_EXE_orch")).env("ORCH_HOME", &file).arg("ps").output().unwrap();
    assert_eq!(status(&output), 14);
    assert!(stderr(&output).contains(file.to_str().unwrap()), "{}", stderr(&output));
}

#[test]
fn what_does_not_run_cannot_be_stopped_and_what_does_not_exist_cannot_be_started() {
    let home = Home::new();
    home.json(&["init", "demo", "--model", "/no/such/model.gguf", "--json"]);
    for (arguments, exit, words) in [
        (&["down", "demo"][..], 27, "`demo` is not running"),
        (&["up", "dmo"], 20, "there is no instance `dmo`"),
        (&["up", "demo"], 40, "`file:/no/such/model.gguf` does not exist"),
        (&["health", "demo"], 31, "`demo` is not healthy"),
        (&["env", "create", "nope"], 50, "there is no recipe"),
    ] {
        let output = home.run(arguments);
        assert_eq!(status(&output), exit, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("\n\nhint: "), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn the_daemon_tells_its_home_and_its_log_which_is_private() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = Home::new();
    let status = home.json(&["daemon", "start", "--json"]);
    assert_eq!(status["home"].as_str(), home.path().to_str());
    let log = Path::new(status["log"].as_str().unwrap());
    assert!(log.starts_with(home.path()), "{log:?}");
    assert_eq!(std::fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.contains("serving"), "{text}");
    assert!(text.lines().all(|line| line.starts_with("20")), "a line without its time in: {text}");
}

#[test]
fn a_daemon_elsewhere_that_does_not_answer_is_not_to_be_started_here() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_orch")).env_remove("ORCH_HOME").args(["--host", "http://127.0.0.1:1", "ps"]).output().unwrap();
    assert_eq!(output.status.code(), Some(60));
    assert!(stderr(&output).contains("check the address"), "{}", stderr(&output));
}
