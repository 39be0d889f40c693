//! Through a running Ollama, and with its command line.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_tests::hub::{Limits, OllamaDaemon, Trouble};
use orchestrator_tests::wait_until;

use super::*;

/// A rig beside which an Ollama runs that can pull the same model.
fn with_daemon() -> (Rig, OllamaDaemon) {
    let mut rig = Rig::new();
    let daemon = OllamaDaemon::start(&rig.folder.path().join("ollama"), vec![demo(rig.folder.path())]);
    rig.settings.ollama.host = Some(daemon.endpoint());
    (rig, daemon)
}

fn was_asked(daemon: &OllamaDaemon, what: &str) -> bool {
    daemon.asked().iter().any(|asked| asked.what == what)
}

#[test]
fn a_running_ollama_pulls_and_its_file_is_used_as_it_is() {
    let (rig, daemon) = with_daemon();
    let told = Told::default();
    let model = rig.pull("ollama:demo:tiny", &told).unwrap();
    assert!(model.path.starts_with(rig.folder.path().join("ollama/blobs")), "{}", model.path.display());
    assert!(told.phases().contains(&format!("through Ollama 0.12.6 at {}", daemon.endpoint())), "{}", told.phases());
    assert_eq!(told.last_done(), (Some(model.size_bytes), Some(model.size_bytes)));
    assert_eq!(model.defaults.context_size, Some(1024));
    assert!(model.files.iter().all(|file| file.sha256.is_none()), "nobody of us compared them");
    assert_eq!(rig.files(), Vec::<String>::new());
    assert_eq!(rig.locate("ollama:demo:tiny").unwrap(), model);
    assert_eq!(rig.installed(), ["ollama:demo:tiny"]);
    // A second pull finds it.
    let pulls = || daemon.asked().iter().filter(|asked| asked.what == "POST /api/pull").count();
    rig.pull("ollama:demo:tiny", &Told::default()).unwrap();
    assert_eq!(pulls(), 1);
}

#[test]
fn ollama_removes_what_is_in_its_store() {
    let (mut rig, daemon) = with_daemon();
    let model = rig.pull("ollama:demo:tiny", &Told::default()).unwrap();
    // Without it nobody touches its files.
    rig.settings.ollama.host = Some(NOBODY.to_owned());
    let error = rig.remove(&model).unwrap_err();
    assert!(error.to_string().contains("which alone removes from it"), "{error}");
    assert!(model.path.exists());
    rig.settings.ollama.host = Some(daemon.endpoint());
    let freed = rig.remove(&model).unwrap();
    assert_eq!(freed, model.size_bytes);
    assert_eq!(daemon.installed(), Vec::<String>::new());
    assert_eq!(rig.remove(&model).unwrap_err().code(), ErrorCode::ModelNotFound);
}

#[test]
fn a_store_of_ollama_is_read_when_it_does_not_run() {
    let (mut rig, daemon) = with_daemon();
    let model = rig.pull("ollama:demo:tiny", &Told::default()).unwrap();
    drop(daemon);
    assert_eq!(rig.locate("ollama:demo:tiny").unwrap_err().code(), ErrorCode::ModelNotFound);
    rig.settings.ollama.stores = vec![PathBuf::from("/nowhere"), rig.folder.path().join("ollama")];
    assert_eq!(rig.locate("ollama:demo:tiny").unwrap(), model);
    assert_eq!(rig.installed(), ["ollama:demo:tiny"]);
}

#[test]
fn files_that_are_not_here_lead_to_the_registry() {
    let (rig, daemon) = with_daemon();
    daemon.install(&LibraryModel::new("other", "latest", weights(rig.folder.path())));
    // As if it ran in a container: what it tells of is not on this machine.
    fs::remove_dir_all(rig.folder.path().join("ollama")).unwrap();
    let told = Told::default();
    let model = rig.pull("ollama:demo:tiny", &told).unwrap();
    assert!(model.path.starts_with(rig.store()));
    assert!(!was_asked(&daemon, "POST /api/pull"));
    let because = format!("because Ollama runs at {}, but `", daemon.endpoint());
    assert!(told.phases().contains(&because) && told.phases().contains("cannot be read"), "{}", told.phases());
    // The other one is Ollama's, and its file is not for us.
    let error = rig.locate("ollama:other").unwrap_err();
    assert!(error.to_string().contains("its file is not for us"), "{error}");
    assert!(error.hint().unwrap().contains("orch model pull ollama:other"), "{:?}", error.hint());
}

#[test]
fn what_goes_wrong_in_a_pull_is_told_in_its_own_words() {
    for (trouble, words) in [
        (Trouble::PullFails { after: 1000, message: "max retries exceeded".to_owned() }, "max retries exceeded"),
        (Trouble::PullBreaks { after: 1000 }, "Ollama could not be asked"),
        (Trouble::PullMumbles, "which is not what it should be"),
    ] {
        let (rig, daemon) = with_daemon();
        daemon.trouble(Some(trouble));
        let error = rig.pull("ollama:demo:tiny", &Told::default()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.code(), ErrorCode::ProviderUnavailable);
        assert!(rig.locate("ollama:demo:tiny").is_err());
        daemon.trouble(None);
        rig.pull("ollama:demo:tiny", &Told::default()).unwrap();
    }
}

#[test]
fn an_ollama_that_is_too_old_is_passed_over() {
    let (rig, daemon) = with_daemon();
    let message = "pull model manifest: 412: this model requires a newer version of Ollama".to_owned();
    daemon.trouble(Some(Trouble::PullFails { after: 1, message }));
    let told = Told::default();
    let model = rig.pull("ollama:demo:tiny", &told).unwrap();
    assert!(model.path.starts_with(rig.store()));
    assert!(told.phases().contains("requires a newer version"), "{}", told.phases());
}

#[test]
fn something_else_at_its_address_is_no_ollama() {
    let (rig, daemon) = with_daemon();
    daemon.trouble(Some(Trouble::Status(404)));
    let told = Told::default();
    let model = rig.pull("ollama:demo:tiny", &told).unwrap();
    assert!(model.path.starts_with(rig.store()));
    assert!(told.phases().contains("what answers is something else"), "{}", told.phases());
}

#[test]
fn a_pull_that_hangs_can_be_cancelled() {
    let (rig, daemon) = with_daemon();
    daemon.trouble(Some(Trouble::PullHangs { after: 100_000 }));
    daemon.limit(Limits { total: Some(400_000), ..Limits::default() });
    let (told, cancel) = (Told::default(), CancellationToken::new());
    let hangs = || told.last_done().0.is_some_and(|done| done > 0).then(|| cancel.cancel());
    let error = std::thread::scope(|scope| {
        scope.spawn(|| wait_until("the pull hangs", Duration::from_secs(20), hangs));
        rig.pull_until("ollama:demo:tiny", &told, &cancel).unwrap_err()
    });
    assert_eq!(error.code(), ErrorCode::Cancelled);
}

/// Puts a program `ollama` on the search path.
fn put_command(rig: &mut Rig, script: &str) {
    let folder = rig.folder.path().join("bin");
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("ollama");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    rig.settings.search_path = vec![folder];
}

#[test]
fn the_command_line_pulls_where_no_api_answers() {
    let (mut rig, daemon) = with_daemon();
    // What it would bring, as a real one does: a store with the model in it.
    daemon.install(&demo(rig.folder.path()));
    let store = rig.folder.path().join("ollama");
    let blob = demo(rig.folder.path()).layers[0].content.sha256().to_owned();
    rig.settings.ollama.host = Some(NOBODY.to_owned());
    let log = rig.folder.path().join("log");
    let script = format!(
        "echo \"$OLLAMA_HOST $*\" >> {log}\ncase $1 in\n\
         pull) printf '\\033[2Kpulling {short}:  40%% 1 MB/2 MB\\r' >&2; sleep 0.2; printf 'pulling {short}: 100%% 2 MB\\n' >&2;;\n\
         show) printf '# Modelfile\\nFROM {store}/blobs/sha256-{blob}\\n';;\n\
         rm) rm {store}/blobs/sha256-{blob}; echo deleted;;\nesac",
        log = log.display(),
        short = &blob[..12],
        store = store.display(),
    );
    put_command(&mut rig, &script);
    let told = Told::default();
    let model = rig.pull("ollama:demo:tiny", &told).unwrap();
    assert_eq!(model.path, store.join(format!("blobs/sha256-{blob}")));
    assert!(told.phases().contains("with the command `"), "{}", told.phases());
    let weights = weights(rig.folder.path()).len() as u64;
    let seen: Vec<_> = told.0.lock().unwrap().iter().filter_map(|update| update.done).collect();
    assert!(seen.iter().any(|done| (weights / 100 * 40..weights).contains(done)), "{seen:?}");
    assert_eq!(rig.remove(&model).unwrap(), weights);
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log, "http://127.0.0.1:1 pull demo:tiny\nhttp://127.0.0.1:1 show --modelfile demo:tiny\nhttp://127.0.0.1:1 rm demo:tiny\n");
}

#[test]
fn a_command_line_without_a_server_leads_to_the_registry() {
    let mut rig = Rig::new();
    put_command(&mut rig, "echo 'Error: could not connect to ollama server, run `ollama serve` to start it' >&2; exit 1");
    let told = Told::default();
    let model = rig.pull("ollama:demo:tiny", &told).unwrap();
    assert!(model.path.starts_with(rig.store()));
    assert!(told.phases().contains("because `ollama` finds no running Ollama"), "{}", told.phases());
}
