//! The real thing: `uv` brought in through `pip`, the package index, the engine. One build is shared.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use orchestrator_core::EnvRegistry;
use orchestrator_core::env::Environment;
use orchestrator_core::instance::{ExitCause, InstanceSpec};
use orchestrator_core::launcher::LaunchPlan;
use orchestrator_core::model::demo::{DemoModel, write_demo_model};
use orchestrator_core::model::{InstalledModel, ModelReference};
use orchestrator_core::orchestrator::ShutdownMode;
use orchestrator_core::runtime::{Engine, PlanRequest};
use orchestrator_core::{ErrorCode, InstanceName, Paths, Provider, Runtime};
use orchestrator_providers::{EnvPaths, LlamaCpp, LocalModels, ProviderSettings, UvEnvironments};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::fakes::{Phases, key};

struct Built {
    home: PathBuf,
    environment: Environment,
    phases: Vec<String>,
}

static BUILT: OnceCell<Built> = OnceCell::const_new();

/// Only the system's own folders: a `uv` of the developer is not found, so ours is brought in.
fn settings() -> ProviderSettings {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let without_uv = |folder: &PathBuf| !folder.join("uv").exists();
    ProviderSettings { search_path: std::env::split_paths(&path).filter(without_uv).collect(), ..ProviderSettings::default() }
}

/// A home under the build folder: it stays, so that a second run of the tests is quick.
fn home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-environment")
}

fn environments(home: &Path) -> UvEnvironments {
    UvEnvironments::new(EnvPaths::from(&Paths::in_home(home)), settings())
}

async fn built() -> &'static Built {
    BUILT
        .get_or_init(|| async {
            let home = home();
            let phases = Phases::default();
            let environment = environments(&home).create(&key(), &phases, &CancellationToken::new()).await.unwrap();
            Built { home, environment, phases: phases.all() }
        })
        .await
}

/// The plan for a model, with a change to the configuration.
async fn plan_for(model_file: &Path, change: impl FnOnce(&mut InstanceSpec)) -> LaunchPlan {
    let built = built().await;
    let reference = ModelReference::try_file(model_file).unwrap();
    let model: InstalledModel = LocalModels::in_home(&Paths::in_home(&built.home)).locate(&reference).await.unwrap();
    let mut spec: InstanceSpec = serde_json::from_value(serde_json::json!({
        "name": "demo", "model": { "ref": reference.to_string(), "context_size": 512 }
    }))
    .unwrap();
    change(&mut spec);
    let engine = Engine::Environment(built.environment.clone());
    let listen = free_address();
    LlamaCpp::new(settings()).plan(&PlanRequest { spec: &spec, model: &model, engine: &engine, listen }).unwrap()
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn demo(folder: &Path) -> PathBuf {
    let path = folder.join("demo.gguf");
    write_demo_model(&path, &DemoModel::default()).unwrap();
    path
}

fn start(plan: &LaunchPlan) -> Child {
    let mut command = Command::new(&plan.program);
    command.args(&plan.arguments).envs(&plan.variables).stdout(Stdio::null()).stderr(Stdio::piped()).stdin(Stdio::null());
    command.spawn().unwrap()
}

/// Waits for the end and returns the status and what the runtime makes of the last words.
fn explained(mut child: Child) -> (Option<i32>, Option<ExitCause>) {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    (child.wait().unwrap().code(), LlamaCpp::new(settings()).explain_exit(&lines))
}

fn ask(address: SocketAddr, head: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.write_all(format!("{head}\r\nHost: x\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn wait_ready(plan: &LaunchPlan) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if ask(plan.listen, &format!("GET {} HTTP/1.1", plan.health_path)).is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            return;
        }
        assert!(Instant::now() < deadline, "the server did not become ready");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn the_real_environment_is_built_once_and_passes_its_tests() {
    let built = built().await;
    let report = environments(&built.home).test(&key()).await.unwrap();
    assert!(report.passed(), "{report:?}");
    assert_eq!(built.environment.engine_version, "2026.10.11549");
    assert!(built.environment.size_bytes > 10_000_000);
    if !built.phases.is_empty() {
        assert_eq!(built.phases.last().map(String::as_str), Some("done"));
    }
    let phases = Phases::default();
    let again = environments(&built.home).create(&key(), &phases, &CancellationToken::new()).await.unwrap();
    assert_eq!(again, built.environment);
    assert!(phases.all().is_empty(), "creating twice does nothing");
}

#[tokio::test]
async fn the_server_in_the_environment_serves_and_ends_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_for(&demo(folder.path()), |_| {}).await;
    for signal_to_send in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut child = start(&plan);
        wait_ready(&plan);
        let health = ask(plan.listen, "GET /health HTTP/1.1").unwrap();
        assert!(!health.contains("evil.example") && !health.contains("Allow-Origin: *"), "{health}");
        let models = ask(plan.listen, "GET /v1/models HTTP/1.1").unwrap();
        assert!(models.contains("\"id\":\"demo\""), "{models}");
        assert!(ask(plan.listen, "GET /metrics HTTP/1.1").unwrap().contains("llamacpp:"));
        for page in ["GET / HTTP/1.1", "GET /tools HTTP/1.1"] {
            assert!(!ask(plan.listen, page).unwrap().starts_with("HTTP/1.1 200"));
        }
        let begun = Instant::now();
        signal(&child, signal_to_send);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan_for(&demo(folder.path()), |_| {}).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let at = plan.arguments.iter().position(|argument| argument == "--port").unwrap();
    plan.arguments[at + 1] = port;
    assert_eq!(explained(start(&plan)), (Some(1), Some(ExitCause::PortTaken)));
}

#[tokio::test]
async fn an_argument_the_engine_does_not_know_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let model = demo(folder.path());
    for (args, words) in [
        (vec!["--no-such-option"], "invalid argument: --no-such-option"),
        (vec!["--threads", "many"], "error while handling argument \"--threads\""),
        (vec!["--seed"], "expected value for argument"),
        (vec!["--n-gpu-layers", "10"], "built for the processor alone"),
    ] {
        let plan = plan_for(&model, |spec| spec.args = args.iter().map(|&word| word.to_owned()).collect()).await;
        let (status, cause) = explained(start(&plan));
        assert_eq!(status, Some(1));
        let Some(ExitCause::BadArgument { detail }) = cause else { panic!("{cause:?}") };
        assert!(detail.contains(words), "{detail}");
    }
}

#[tokio::test]
async fn a_model_the_engine_refuses_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let good = demo(folder.path());
    let plan = plan_for(&good, |_| {}).await;
    let bytes = std::fs::read(&good).unwrap();
    let at = bytes.windows(20).position(|window| window == b"general.architecture").unwrap();
    let name = at + bytes[at..].windows(5).position(|window| window == b"llama").unwrap();
    let mut strange = bytes.clone();
    strange[name..name + 5].copy_from_slice(b"zzzzz");

    std::fs::write(&good, strange).unwrap();
    let (status, cause) = explained(start(&plan));
    assert_eq!(status, Some(1));
    assert_eq!(cause, Some(ExitCause::UnknownArchitecture { detail: "unknown model architecture: 'zzzzz'".to_owned() }));

    for (content, words) in
        [(b"not a model".to_vec(), "invalid magic"), (bytes[..bytes.len() / 2].to_vec(), "file bounds"), (Vec::new(), "magic")]
    {
        std::fs::write(&good, content).unwrap();
        let (status, cause) = explained(start(&plan));
        assert_eq!(status, Some(1));
        let Some(ExitCause::ModelRejected { detail }) = cause else { panic!("{cause:?}") };
        assert!(detail.contains(words), "{detail}");
    }
    std::fs::remove_file(&good).unwrap();
    let (_, cause) = explained(start(&plan));
    assert!(matches!(&cause, Some(ExitCause::ModelRejected { detail }) if detail.contains("No such file")), "{cause:?}");
}

#[tokio::test]
async fn a_context_that_no_memory_holds_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan_for(&demo(folder.path()), |spec| spec.model.context_size = std::num::NonZeroU32::new(8_000_000)).await;
    // A narrow limit of its own: without one, the machine's memory would really be filled.
    let limited = ["-c", "ulimit -v 1000000; exec \"$0\" \"$@\""].map(str::to_owned).into_iter();
    plan.arguments = limited.chain([plan.program.to_str().unwrap().to_owned()]).chain(plan.arguments).collect();
    plan.program = PathBuf::from("/bin/sh");
    assert_eq!(explained(start(&plan)), (Some(1), Some(ExitCause::OutOfMemory)));
}

#[tokio::test]
async fn the_default_wiring_brings_an_instance_up_and_down() {
    let built = built().await;
    let folder = tempfile::tempdir().unwrap();
    // A home of its own, with the environments of the shared one.
    std::os::unix::fs::symlink(Paths::in_home(&built.home).envs_dir(), folder.path().join("envs")).unwrap();
    let paths = Paths::in_home(folder.path());
    let name = InstanceName::try_new("demo").unwrap();
    std::fs::create_dir_all(paths.instance_dir(&name)).unwrap();
    let config = serde_json::json!({
        "name": "demo", "env_key": "llama-cpp-cpu", "model": { "ref": format!("file:{}", demo(folder.path()).display()), "context_size": 512 }
    });
    std::fs::write(paths.instance_dir(&name).join("config.json"), config.to_string()).unwrap();

    let orchestrator = orchestrator_providers::builder(paths, &settings()).open().await.unwrap();
    orchestrator.up(&name).await.unwrap();
    orchestrator.wait_ready(&name).await.unwrap();
    let lease = orchestrator.admit("demo").await.unwrap();
    assert!(ask(lease.address(), "GET /health HTTP/1.1").unwrap().starts_with("HTTP/1.1 200"));
    assert!(orchestrator.environments().await.unwrap()[0].installed.is_some());
    assert!(orchestrator.hardware().await.memory_total_bytes > 0);
    let in_use = orchestrator.remove_environment(&key()).await.unwrap_err();
    assert_eq!(in_use.code, ErrorCode::EnvInUse);
    drop(lease);
    orchestrator.down(&name).await.unwrap();
    assert!(orchestrator.shutdown(ShutdownMode::StopAll).await.is_empty());
}
