//! Models from a hub to an answer and away again: the real `orch`, the real daemon, a hub that is a real server, and
//! engines that are real programs.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use orchestrator_tests::behaviour::VARIABLE;
use orchestrator_tests::home::{SOON, fake_engine};
use orchestrator_tests::hub::{Access, Content, Limits, Repository, RunningHub, World};
use orchestrator_tests::{Behaviour, TestHome, http, processes, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::chat_status;

const DEMO: &str = "hf:owner/Demo-GGUF:Q8_0";
const BIG: &str = "hf:owner/Big-GGUF:Q8_0";
/// The length of a model that takes a while: some pieces of the downloader.
const BIG_BYTES: usize = 24 * 1024 * 1024;

/// Gives each pull a file of its own.
static PULLS: AtomicU32 = AtomicU32::new(0);

/// A home whose models come from a hub of its own, and whose engine is the fake one.
struct Site {
    hub: RunningHub,
    home: TestHome,
}

impl Site {
    fn new() -> Self {
        Self::with(&Behaviour::default())
    }

    fn with(behaviour: &Behaviour) -> Self {
        let home = TestHome::new();
        let small = std::fs::read(home.model()).unwrap();
        // What follows the tensors is nobody's: a model as long as one likes.
        let mut big = small.clone();
        big.resize(BIG_BYTES, 7);
        let mut demo = Repository::new("owner/Demo-GGUF").file("Demo-Q8_0.gguf", small).license("mit");
        // By this the hub knows, and a search finds, what we can run.
        demo.gguf = Some(json!({ "architecture": "llama" }));
        let world = World {
            repositories: vec![
                demo,
                Repository::new("owner/Big-GGUF").file("Big-Q8_0.gguf", big),
                Repository::new("owner/Two-GGUF").file("a-Q4_0.gguf", "a").file("b-Q4_0.gguf", "b"),
                Repository::new("owner/Gated-GGUF").file("x-Q8_0.gguf", Content::seeded(1, 1_000)).access(Access::Gated),
            ],
            ..World::default()
        };
        let hub = RunningHub::start(world);
        let tools = home.path().join("bin");
        std::fs::create_dir_all(&tools).unwrap();
        std::os::unix::fs::symlink(fake_engine(), tools.join("llama-server")).unwrap();
        home.set_variable("PATH", format!("{}:/usr/bin:/bin", tools.display()));
        home.set_variable("HF_ENDPOINT", hub.huggingface());
        home.set_variable("HF_HOME", home.path().join("huggingface"));
        home.set_variable(VARIABLE, serde_json::to_string(behaviour).unwrap());
        Self { hub, home }
    }

    /// Lets the hub send so slowly that something can happen meanwhile.
    fn slow_down(&self) {
        self.hub.limit(Limits { total: Some(4 * 1024 * 1024), ..Limits::default() });
    }

    fn speed_up(&self) {
        self.hub.limit(Limits::default());
    }

    /// Begins `orch model pull` and returns it when bytes have come.
    fn pulling(&self, reference: &str) -> Pulling {
        let mut command = self.home.command(&["model", "pull", reference, "--json"]);
        let output = self.home.path().join(format!("pull-{}", PULLS.fetch_add(1, Ordering::Relaxed)));
        let file = std::fs::File::create(&output).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let pulling = Pulling { child, output };
        wait_until("bytes of the model", SOON, || self.progress().filter(|progress| progress["done"].as_u64() > Some(0)));
        pulling
    }

    fn operations(&self) -> Vec<Value> {
        let answer = http::send(&self.home.endpoint(), "GET", "/api/v1/models/operations", b"").unwrap();
        answer.json().as_array().unwrap().clone()
    }

    /// How far the newest operation is, while it runs.
    fn progress(&self) -> Option<Value> {
        self.operations().first().map(|operation| operation["status"]["progress"].clone()).filter(|progress| !progress.is_null())
    }

    /// The files of a home that are left of a download.
    fn leftovers(&self) -> Vec<PathBuf> {
        let is_part = |path: &PathBuf| path.to_string_lossy().contains("orch-part");
        files_below(&self.home.path().join("huggingface")).into_iter().filter(is_part).collect()
    }
}

/// A pull that is under way.
struct Pulling {
    child: Child,
    output: PathBuf,
}

impl Pulling {
    /// Waits for its end; returns the status, the operation that was printed, and the error output.
    fn end(mut self) -> (i32, Value, String) {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let status = self.child.wait().unwrap();
        let stderr = std::fs::read_to_string(&self.output).unwrap();
        (status.code().unwrap_or(-1), serde_json::from_str(&text).unwrap_or_default(), stderr)
    }

    fn interrupt(&self) {
        processes::signal(self.child.id(), Signal::INT);
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn references(listed: &Value) -> Vec<&str> {
    listed.as_array().unwrap().iter().filter_map(|model| model["reference"].as_str()).collect()
}

#[test]
fn a_model_goes_the_whole_way_from_a_hub_to_an_answer_and_away() {
    let site = Site::new();
    let home = &site.home;
    let found = home.json(&["model", "search", "Demo", "--provider", "hf"]);
    assert!(found["models"].to_string().contains("hf:owner/Demo-GGUF"), "{found}");
    let plan = home.json(&["model", "info", DEMO]);
    assert_eq!((plan["licence"].as_str(), plan["files"][0]["name"].as_str()), (Some("mit"), Some("Demo-Q8_0.gguf")), "{plan}");
    let fit = home.json(&["model", "fit", DEMO, "--context", "512", "--gpu", "none"]);
    assert_eq!((fit["verdict"]["is"].as_str(), fit["context"].as_u64()), (Some("fits"), Some(512)), "{fit}");
    assert!(references(&home.json(&["model", "ls"])).is_empty(), "a look at the header fetched the model");

    let pulled = home.orch(&["model", "pull", "owner/Demo-GGUF:Q8_0"]).assert_ok();
    assert!(pulled.stderr.contains(&format!("{DEMO} is here")) && pulled.stdout.is_empty(), "{pulled:#?}");
    assert_eq!(references(&home.json(&["model", "ls"])), [DEMO]);
    let known = home.json(&["model", "info", DEMO]);
    assert_eq!((known["format"].as_str(), known["licence"].as_str()), (Some("gguf"), Some("mit")), "{known}");
    let manifest = std::fs::read_to_string(home.path().join("models/manifest.json")).unwrap();
    assert!(manifest.contains(DEMO), "{manifest}");

    for name in ["first", "second"] {
        home.orch(&["init", name, "--model", DEMO]).assert_ok();
    }
    home.orch(&["up", "first"]).assert_ok();
    let endpoint = home.endpoint();
    assert_eq!(chat_status(&endpoint, "first"), 200);
    let table = home.orch(&["model", "ls"]).assert_ok().stdout;
    assert!(table.contains("first second") && table.contains("mit"), "{table}");
    home.orch(&["model", "activate", "first"]).assert_ok();
    home.orch(&["model", "activate", "second"]).assert_ok();
    assert_eq!(chat_status(&endpoint, "llama_cpp"), 200);
    assert_eq!(home.row("second")["state"], "ready");

    home.orch(&["model", "rm", DEMO]).assert_fails(47, &["`first`", "`second` (running)", "--force"]);
    assert!(home.json(&["model", "prune"])["removed"].as_array().unwrap().is_empty(), "what is used is not cleared away");
    home.orch(&["rm", "--force", "first", "second"]).assert_ok();
    home.orch(&["model", "rm", DEMO]).assert_ok();
    assert!(references(&home.json(&["model", "ls"])).is_empty());
    let left: Vec<_> =
        files_below(&home.path().join("huggingface")).into_iter().filter(|file| file.to_string_lossy().contains("blobs")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn whoever_needs_a_model_that_is_missing_fetches_it_first() {
    let site = Site::new();
    let home = &site.home;
    home.orch(&["init", "mine", "--model", DEMO]).assert_ok();
    home.orch(&["up", "mine", "--no-wait"]).assert_ok();
    home.wait_for_row("mine", "a refusal", |row| row["state"] == "failed" || row["state"] == "backoff");
    let up = home.orch(&["up", "mine"]).assert_ok();
    assert!(up.stderr.contains(&format!("{DEMO} is here")) && up.stdout.contains("mine is ready"), "{up:#?}");
    let again = home.orch(&["up", "mine"]).assert_ok();
    assert!(!again.stderr.contains("pulling"), "{again:#?}");
    let fetched = site.hub.bytes_sent("Demo-Q8_0.gguf");

    let chat = home.orch(&["run", "owner/Big-GGUF:Q8_0", "Hello"]).assert_ok();
    assert!(chat.stderr.contains("Made the instance `big-gguf-q8-0`") && !chat.stdout.trim().is_empty(), "{chat:#?}");
    home.orch(&["run", DEMO, "Hello"]).assert_ok();
    assert_eq!(site.hub.bytes_sent("Demo-Q8_0.gguf"), fetched, "what is here was fetched again");
}

#[test]
fn what_cannot_be_fetched_says_why_and_leaves_nothing() {
    let site = Site::new();
    let home = &site.home;
    for (arguments, status, words) in [
        (&["model", "pull", "nonsense"][..], 43, &["ollama:nonsense"][..]),
        (&["model", "pull", "hf:owner/Nothing-GGUF"], 40, &["hf:owner/Nothing-GGUF", "hint: "]),
        (&["model", "pull", "hf:owner/Demo-GGUF:Q2_K"], 40, &["Q2_K", "Q8_0"]),
        (&["model", "pull", "hf:owner/Demo-GGUF@v9:Q8_0"], 40, &["v9"]),
        (&["model", "pull", "hf:owner/Two-GGUF:Q4_0"], 43, &["a-Q4_0.gguf", "b-Q4_0.gguf"]),
        (&["model", "pull", "hf:owner/Gated-GGUF"], 46, &["Gated-GGUF", "hint: "]),
        (&["model", "fit", "hf:owner/Nothing-GGUF"], 40, &["Nothing-GGUF"]),
        (&["model", "rm", DEMO], 40, &["not installed"]),
        (&["model", "import", "missing.gguf"], 40, &["missing.gguf"]),
        (&["up", "nobody"], 20, &["nobody"]),
    ] {
        home.orch(arguments).assert_fails(status, words);
    }
    assert!(references(&home.json(&["model", "ls"])).is_empty());
    assert!(site.leftovers().is_empty(), "{:?}", site.leftovers());
}

#[test]
fn a_large_model_is_agreed_to_first() {
    let site = Site::new();
    let home = &site.home;
    std::fs::write(home.path().join("config.yaml"), "gateway:\n  port: 0\nmodels:\n  confirm_above_gb: 0\n").unwrap();
    home.orch(&["model", "pull", DEMO]).assert_fails(49, &["--yes"]);
    home.orch(&["init", "mine", "--model", DEMO]).assert_ok();
    home.orch(&["up", "mine"]).assert_fails(49, &["--yes"]);
    home.orch(&["model", "pull", DEMO, "--yes"]).assert_ok();
    home.orch(&["up", "mine"]).assert_ok();
}

#[test]
fn without_a_network_what_is_here_goes_on_and_what_is_not_is_told() {
    let site = Site::new();
    let Site { hub, home } = site;
    home.orch(&["model", "pull", DEMO]).assert_ok();
    drop(hub);
    home.orch(&["model", "pull", BIG]).assert_fails(44, &["hint: "]);
    home.orch(&["model", "search", "Demo", "--provider", "hf"]).assert_fails(44, &["hint: "]);
    assert_eq!(references(&home.json(&["model", "ls"])), [DEMO]);
    let chat = home.orch(&["run", DEMO, "Hello"]).assert_ok();
    assert!(!chat.stdout.trim().is_empty(), "{chat:#?}");
}

#[test]
fn a_pull_that_is_interrupted_is_cancelled_and_goes_on_where_it_ended() {
    let site = Site::new();
    site.slow_down();
    let pulling = site.pulling(BIG);
    pulling.interrupt();
    let (status, _, stderr) = pulling.end();
    assert_eq!(status, 130, "{stderr}");
    assert!(stderr.contains("goes on where it ended"), "{stderr}");
    assert_eq!(site.operations()[0]["status"]["status"], "cancelled");
    assert!(references(&site.home.json(&["model", "ls"])).is_empty(), "half a model is shown");
    site.speed_up();
    site.home.orch(&["model", "pull", BIG]).assert_ok();
    assert_eq!(references(&site.home.json(&["model", "ls"])), [BIG]);
    assert!(site.leftovers().is_empty(), "{:?}", site.leftovers());
}

#[test]
fn two_who_pull_the_same_share_one_pull() {
    let site = Site::new();
    site.slow_down();
    let first = site.pulling(BIG);
    let second = site.pulling(BIG);
    let ends = [first.end(), second.end()];
    let ids: Vec<&Value> = ends.iter().map(|(_, operation, _)| &operation["id"]).collect();
    assert!(ends.iter().all(|(status, ..)| *status == 0) && ids[0] == ids[1], "{ends:#?}");
    let sent = site.hub.bytes_sent("Big-Q8_0.gguf");
    assert!(sent < BIG_BYTES as u64 * 3 / 2, "{sent} bytes were sent for {BIG_BYTES}");
}

#[test]
fn a_pull_survives_its_daemon() {
    let site = Site::new();
    site.slow_down();
    for end_the_daemon in [
        &(|home: &TestHome| {
            home.orch(&["daemon", "restart"]).assert_ok();
        }) as &dyn Fn(&TestHome),
        &|home: &TestHome| processes::kill(home.daemon_pid()),
    ] {
        let pulling = site.pulling(BIG);
        let before = site.operations()[0]["id"].clone();
        let daemon = site.home.daemon_pid();
        end_the_daemon(&site.home);
        wait_until("a new daemon", SOON, || {
            let status = site.home.orch(&["daemon", "status", "--json"]);
            (status.status == 0 && status.json()["pid"] != daemon).then_some(())
        });
        site.speed_up();
        let (status, operation, stderr) = pulling.end();
        assert_eq!((status, operation["status"]["status"].as_str()), (0, Some("succeeded")), "{stderr}");
        assert_eq!(operation["id"], before, "it is another operation");
        site.home.orch(&["model", "rm", BIG]).assert_ok();
        site.slow_down();
    }
}

#[test]
fn a_model_is_tried_in_an_instance_that_is_gone_afterwards() {
    let call = r#"{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{"city":"Faro","days":2}}]}"#;
    let site = Site::with(&Behaviour { texts: vec![call.to_owned()], ..Behaviour::default() });
    let home = &site.home;
    let tried = home.orch(&["model", "smoke", DEMO]).assert_ok();
    for check in ["✓ model", "✓ start", "✓ chat", "✓ tool call", "✓ stop"] {
        assert!(tried.stdout.contains(check), "`{check}` is missing in {tried:#?}");
    }
    assert_eq!(home.json(&["ps"]), json!([]));
    for folder in ["instances/.removed", "logs"] {
        let left = files_below(&home.path().join(folder));
        assert!(left.iter().all(|file| !file.to_string_lossy().contains("smoke")), "{left:?}");
    }
    let kept = home.orch(&["model", "smoke", DEMO, "--keep"]).assert_ok();
    assert!(kept.stderr.contains("orch rm --force smoke-demo-gguf-q8-0"), "{kept:#?}");
    assert_eq!(home.row("smoke-demo-gguf-q8-0")["state"], "ready");
}

#[test]
fn a_model_that_fails_a_check_fails_the_try() {
    let site = Site::with(&Behaviour { texts: vec!["no call at all".to_owned()], ..Behaviour::default() });
    let home = &site.home;
    let tried = home.orch(&["model", "smoke", DEMO, "--json"]);
    assert_eq!(tried.status, 70, "{tried:#?}");
    let outcome = tried.json();
    let failed: Vec<&str> = outcome["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["passed"] == false)
        .filter_map(|check| check["name"].as_str())
        .collect();
    assert_eq!((failed.as_slice(), &outcome["passed"]), (["tool call"].as_slice(), &json!(false)), "{outcome}");
    assert_eq!(home.json(&["ps"]), json!([]));
}

#[test]
fn a_model_of_this_machine_is_registered_where_it_lies_and_copied_on_request() {
    let home = TestHome::new();
    let own = home.path().join("own.gguf");
    std::fs::copy(home.model(), &own).unwrap();
    let reference = format!("file:{}", own.display());
    home.orch(&["model", "import", "own.gguf"]).assert_ok();
    assert_eq!(references(&home.json(&["model", "ls"])), [reference.as_str()]);
    assert!(home.orch(&["model", "prune"]).assert_ok().stdout.contains("nothing to remove"));
    home.orch(&["model", "rm", "own.gguf"]).assert_ok();
    assert!(own.exists(), "a file that lies elsewhere is not ours to remove");
    home.orch(&["model", "import", "own.gguf", "--copy"]).assert_ok();
    let copies: Vec<_> =
        files_below(&home.path().join("models")).into_iter().filter(|file| file.extension().is_some_and(|end| end == "gguf")).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    home.orch(&["model", "fit", "own.gguf", "--gpu", "7"]).assert_fails(28, &["no device 7"]);
}

#[test]
fn a_model_is_switched_under_load_without_a_failed_request() {
    let site = Site::new();
    let home = &site.home;
    home.orch(&["model", "pull", DEMO]).assert_ok();
    for name in ["old", "new"] {
        home.orch(&["init", name, "--model", DEMO]).assert_ok();
    }
    home.orch(&["model", "activate", "old"]).assert_ok();
    let endpoint = home.endpoint();
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..10).map(|_| chat_status(&endpoint, "llama_cpp")).collect::<Vec<_>>())).collect();
        home.orch(&["model", "activate", "new"]).assert_ok();
        for client in clients {
            assert!(client.join().unwrap().iter().all(|status| *status == 200));
        }
    });
    assert_eq!((&home.row("old")["state"], &home.row("new")["state"]), (&json!("stopped"), &json!("ready")));
}
