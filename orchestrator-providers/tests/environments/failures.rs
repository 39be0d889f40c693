//! Every failure of a build, played by shell scripts on a private search path.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use orchestrator_core::EnvRegistry;
use orchestrator_core::env::EnvError;
use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_core::operation::NoProgress;
use tokio_util::sync::CancellationToken;

use crate::fakes::{Home, INSTALL_WELL, Phases, key, wait_until};

async fn create(home: &Home) -> Result<orchestrator_core::env::Environment, EnvError> {
    home.environments().create(&key(), &NoProgress, &CancellationToken::new()).await
}

/// Creates, expects a failure, and checks that nothing stands under the final name and nothing is left over.
async fn fails(home: &Home, code: ErrorCode, words: &str) -> EnvError {
    let error = create(home).await.unwrap_err();
    assert_eq!(error.code(), code, "{error:?}");
    let whole = format!("{error} {}", error.hint().unwrap_or_default());
    assert!(whole.contains(words), "`{words}` is not in `{whole}`");
    assert!(home.versions().is_empty(), "{:?}", home.versions());
    assert!(home.leftovers().is_empty(), "{:?}", home.leftovers());
    assert!(matches!(home.environments().find(&key()).await, Err(EnvError::NotInstalled { .. })));
    error
}

#[tokio::test]
async fn a_build_with_fakes_succeeds_and_a_second_one_does_nothing() {
    let home = Home::new();
    home.python("3.11.2");
    home.uv(INSTALL_WELL);
    let phases = Phases::default();
    let made = home.environments().create(&key(), &phases, &CancellationToken::new()).await.unwrap();
    assert_eq!(made.path, home.paths().envs_dir.join("llama-cpp-cpu").join(&made.digest));
    assert_eq!(made.engine_version, "2026.10.11549");
    assert!(phases.all().contains(&"downloading xllamacpp (32.3MiB)".to_owned()), "{:?}", phases.all());
    assert_eq!(create(&home).await.unwrap(), made);
    assert_eq!(home.environments().find(&key()).await.unwrap(), made);
    assert_eq!(home.installs(), 1);
    assert!(home.leftovers().is_empty());
    let listed = home.environments().list().await.unwrap();
    assert_eq!((listed[0].installed.as_ref(), &listed[0].problem, listed[0].outdated), (Some(&made), &None, false));
    assert!(home.environments().test(&key()).await.unwrap().passed());
}

#[tokio::test]
async fn without_python_the_error_says_what_to_install() {
    fails(&Home::new(), ErrorCode::EnvToolMissing, "apt install python3").await;
}

#[tokio::test]
async fn an_old_or_broken_python_is_named() {
    let home = Home::new();
    home.python("3.9.1");
    home.program("python", "echo 'Unknown option: -I' >&2; exit 2");
    let error = fails(&home, ErrorCode::EnvToolMissing, "3.10").await.to_string();
    assert!(error.contains("is Python 3.9.1") && error.contains("Unknown option: -I"), "{error}");
}

#[tokio::test]
async fn a_newer_python_behind_an_old_one_is_found() {
    let home = Home::new();
    home.python("3.12.1");
    fs::rename(home.path().join("bin/python3"), home.path().join("bin/python3.12")).unwrap();
    let good = fs::read_to_string(home.path().join("bin/python3.12")).unwrap().replace("bin/python3", "bin/python3.12");
    home.program("python3.12", &good);
    home.python("3.8.0");
    home.uv(INSTALL_WELL);
    // The environment's Python is the fake old one, whose version the health test does not judge.
    let made = create(&home).await.unwrap();
    let text = fs::read_to_string(made.path.join("environment.json")).unwrap();
    assert!(text.contains("3.12.1"), "{text}");
}

#[tokio::test]
async fn without_uv_and_pip_the_error_says_what_to_install() {
    let home = Home::new();
    home.python("3.11.2");
    let error = fails(&home, ErrorCode::EnvToolMissing, "pipx install uv").await;
    assert!(error.to_string().contains("neither `pip` nor `ensurepip`"), "{error}");
}

/// A Python whose `pip` installs a fake `uv` into its target.
fn python_with_pip(home: &Home, pip: &str) {
    home.python_that("3.11.2", &format!("case \"$*\" in *'pip --version'*) echo pip 23; exit;; *'pip install'*)\n{pip}\nexit;; esac"));
}

const PIP_INSTALLS: &str =
    "while [ \"$1\" != --target ]; do shift; done; mkdir -p \"$2/bin\"; cp \"$(dirname \"$0\")/hidden-uv\" \"$2/bin/uv\"";

#[tokio::test]
async fn a_missing_uv_is_brought_in_through_pip_once() {
    let home = Home::new();
    python_with_pip(&home, PIP_INSTALLS);
    home.uv(INSTALL_WELL);
    fs::rename(home.path().join("bin/uv"), home.path().join("bin/hidden-uv")).unwrap();
    create(&home).await.unwrap();
    let own = home.paths().tools_dir.join("uv/bin/uv");
    assert!(own.is_file());
    assert_eq!(fs::read_dir(home.paths().tools_dir.join(".tmp")).unwrap().count(), 0);
    home.environments().remove(&key()).await.unwrap();
    python_with_pip(&home, "exit 1");
    create(&home).await.unwrap();
    assert!(home.log().contains(&format!("{} venv", own.display())), "{}", home.log());
}

#[tokio::test]
async fn a_python_without_pip_gets_one_in_a_virtual_environment_of_ours() {
    let home = Home::new();
    // The system's Python knows no pip; the one that it makes does.
    let venv = "for last; do :; done; mkdir -p \"$last/bin\"; cp \"$(dirname \"$0\")/inner-python\" \"$last/bin/python\"";
    home.python_that("3.11.2", &format!("case \"$*\" in *'-m venv'*)\n{venv}\nexit;; esac"));
    let hidden = home.path().join("bin/hidden-uv");
    home.program(
        "inner-python",
        &format!(
            "case \"$*\" in *'pip --version'*) exit;; esac\n\
             while [ \"$1\" != --target ]; do shift; done; mkdir -p \"$2/bin\"; cp {} \"$2/bin/uv\"",
            hidden.display()
        ),
    );
    home.uv(INSTALL_WELL);
    fs::rename(home.path().join("bin/uv"), &hidden).unwrap();
    create(&home).await.unwrap();
    assert!(home.paths().tools_dir.join("uv/bin/uv").is_file());
}

#[tokio::test]
async fn a_uv_that_is_too_old_is_passed_over() {
    let home = Home::new();
    python_with_pip(&home, PIP_INSTALLS);
    home.uv(INSTALL_WELL);
    fs::rename(home.path().join("bin/uv"), home.path().join("bin/hidden-uv")).unwrap();
    home.program("uv", "echo uv 0.1.9");
    create(&home).await.unwrap();
    assert!(home.log().contains("is version 0.1, and 0.4 is needed"), "{}", home.log());
}

#[tokio::test]
async fn pip_without_a_network_is_no_missing_tool() {
    let home = Home::new();
    let words = "echo \"WARNING: Retrying after connection broken by 'NewConnectionError: Failed to establish a new connection'\" >&2; \
                 echo 'ERROR: No matching distribution found for uv' >&2; exit 1";
    python_with_pip(&home, words);
    fails(&home, ErrorCode::EnvNetwork, "Failed to establish a new connection").await;
}

#[tokio::test]
async fn without_a_network_the_error_says_so_and_the_log_is_kept() {
    let home = Home::new();
    home.python("3.11.2");
    home.uv("printf 'error: Failed to fetch: https://me:secret@index/simple/\\n  cause: dns error\\n  cause: Name or service not known\\n' >&2; exit 2");
    let error = fails(&home, ErrorCode::EnvNetwork, "Name or service not known").await;
    let log = home.log();
    assert!(log.contains("Failed to fetch") && error.hint().unwrap().contains(".logs"), "{log}");
    assert!(!log.contains("secret") && !error.to_string().contains("secret"), "{error}");
    // The network is back.
    home.uv(INSTALL_WELL);
    create(&home).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_fills_up_in_the_middle_is_told_apart() {
    let home = Home::new();
    home.python("3.11.2");
    home.uv("echo half >\"$PWD/new/half\"; echo '  cause: failed to write: No space left on device (os error 28)' >&2; exit 1");
    fails(&home, ErrorCode::DiskFull, "free some space").await;
    home.uv(INSTALL_WELL);
    create(&home).await.unwrap();
}

#[tokio::test]
async fn anything_else_keeps_the_installers_words() {
    let home = Home::new();
    home.python("3.11.2");
    home.uv("printf 'error: No solution found\\n  cause: no wheels for this platform\\n' >&2; exit 1");
    let error = fails(&home, ErrorCode::EnvBuildFailed, "the whole log is").await.to_string();
    assert_eq!(error, "building `llama-cpp-cpu` failed at `installing packages`: No solution found: no wheels for this platform");
}

#[tokio::test]
async fn an_environment_that_does_not_work_never_gets_its_name() {
    let home = Home::new();
    home.python_that("3.11.2", "case \"$*\" in *'import xllamacpp'*) echo \"ImportError: libgomp.so.1: cannot open\" >&2; exit 1;; esac");
    home.uv(INSTALL_WELL);
    let error = fails(&home, ErrorCode::EnvUnhealthy, "libgomp.so.1").await;
    assert!(error.to_string().contains("import xllamacpp"), "{error}");
}

#[tokio::test]
async fn an_environment_that_breaks_when_it_is_moved_is_taken_back() {
    let home = Home::new();
    home.python_that("3.11.2", "case \"$0 $*\" in */.tmp/*) ;; */envs/*--help*) echo 'bad interpreter' >&2; exit 126;; esac");
    home.uv(INSTALL_WELL);
    let error = create(&home).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::EnvUnhealthy);
    assert!(home.versions().is_empty() && home.leftovers().is_empty(), "{:?}", home.versions());
}

#[tokio::test]
async fn cancelling_ends_the_installer_and_leaves_nothing() {
    let home = Home::new();
    home.python("3.11.2");
    let started = home.path().join("started");
    home.uv(&format!("trap '' TERM; echo $$ >{0}.new; mv {0}.new {0}; sleep 600", started.display()));
    let cancel = CancellationToken::new();
    let environments = home.environments();
    let creating = tokio::spawn({
        let cancel = cancel.clone();
        async move { environments.create(&key(), &NoProgress, &cancel).await }
    });
    wait_until("the installer runs", || started.exists()).await;
    cancel.cancel();
    assert!(matches!(creating.await.unwrap(), Err(EnvError::Cancelled { .. })));
    let pid = fs::read_to_string(&started).unwrap();
    assert!(!fs::exists(format!("/proc/{}", pid.trim())).unwrap(), "the installer lives on");
    assert!(home.leftovers().is_empty() && home.versions().is_empty());
    home.uv(INSTALL_WELL);
    create(&home).await.unwrap();
}

#[tokio::test]
async fn what_a_dropped_build_left_is_collected_by_the_next() {
    let home = Home::new();
    home.python("3.11.2");
    let started = home.path().join("started");
    home.uv(&format!("touch {}; sleep 600", started.display()));
    let environments = home.environments();
    let creating = tokio::spawn(async move { environments.create(&key(), &NoProgress, &CancellationToken::new()).await.map(drop) });
    wait_until("the installer runs", || started.exists()).await;
    creating.abort();
    drop(creating.await);
    assert_eq!(home.leftovers().len(), 1, "a dropped build cleans nothing up");
    home.uv(INSTALL_WELL);
    create(&home).await.unwrap();
    wait_until("the next one collects it", || home.leftovers().is_empty() || home.leftovers().len() == 1).await;
    // The installer of the dropped build may have held its folder a moment longer than the build took.
    home.environments().remove(&key()).await.unwrap();
    wait_until("nothing is left", || home.leftovers().is_empty()).await;
}

#[tokio::test]
async fn a_folder_whose_installer_lives_on_is_left_alone() {
    let home = Home::new();
    home.python("3.11.2");
    home.uv(INSTALL_WELL);
    let folder = home.paths().envs_dir.join(".tmp/llama-cpp-cpu-0193a8c0-0000-7000-8000-000000000000");
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::File::create(folder.join("build.lock")).unwrap();
    lock.lock().unwrap();
    create(&home).await.unwrap();
    assert_eq!(home.leftovers(), [folder]);
    drop(lock);
    home.environments().remove(&key()).await.unwrap();
    assert!(home.leftovers().is_empty());
}

#[tokio::test]
async fn many_who_create_the_same_key_at_once_build_it_once() {
    let home = Arc::new(Home::new());
    home.python("3.11.2");
    home.uv(&format!("sleep 0.3; {INSTALL_WELL}"));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            // Each has a registry of its own, as another process would.
            let home = Arc::clone(&home);
            tokio::spawn(async move { create(&home).await.unwrap() })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        made.push(task.await.unwrap());
    }
    assert!(made.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(home.installs(), 1);
}

#[tokio::test]
async fn who_waits_for_another_builder_says_so_and_can_be_cancelled() {
    let home = Home::new();
    let lock = home.paths().envs_dir.join(".locks/llama-cpp-cpu");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let held = fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let phases = Arc::new(Phases::default());
    let cancel = CancellationToken::new();
    let environments = home.environments();
    let creating = tokio::spawn({
        let (phases, cancel) = (Arc::clone(&phases), cancel.clone());
        async move { environments.create(&key(), &*phases, &cancel).await }
    });
    wait_until("it says that it waits", || phases.all().iter().any(|phase| phase.contains("waiting for another process"))).await;
    cancel.cancel();
    assert!(matches!(creating.await.unwrap(), Err(EnvError::Cancelled { .. })));
}

#[tokio::test]
async fn a_build_that_was_killed_before_it_became_current_is_taken_up() {
    let home = Home::new();
    home.python("3.11.2");
    home.uv(INSTALL_WELL);
    let made = create(&home).await.unwrap();
    fs::remove_file(made.path.parent().unwrap().join("current")).unwrap();
    assert!(matches!(home.environments().find(&key()).await, Err(EnvError::NotInstalled { .. })));
    assert_eq!(create(&home).await.unwrap(), made);
    assert_eq!(home.installs(), 1);
}

#[tokio::test]
async fn a_broken_environment_is_named_and_built_again() {
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 5] = [
        ("is damaged", |env| fs::write(env.join("environment.json"), "{").unwrap()),
        ("cannot be opened", |env| fs::remove_file(env.join("environment.json")).unwrap()),
        ("is missing", |env| fs::remove_file(env.join("llama_cpp_server.py")).unwrap()),
        ("its Python `/gone/python` is gone", |env| {
            fs::remove_file(env.join("bin/python")).unwrap();
            symlink("/gone/python", env.join("bin/python")).unwrap();
        }),
        ("cannot be opened", |env| {
            fs::remove_file(env.with_file_name("current")).unwrap();
            symlink("0000000000000000", env.with_file_name("current")).unwrap();
        }),
    ];
    let home = Home::new();
    home.python("3.11.2");
    home.uv(INSTALL_WELL);
    for (words, damage) in damages {
        let made = create(&home).await.unwrap();
        damage(&made.path);
        let error = home.environments().find(&key()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::EnvUnhealthy);
        assert!(error.to_string().contains(words), "{error}");
        let listed = home.environments().list().await.unwrap().remove(0);
        assert_eq!(listed.installed, None);
        assert!(listed.problem.as_ref().is_some_and(|problem| problem.title.contains(words) && problem.hint.is_some()), "{listed:?}");
        let again = create(&home).await.unwrap();
        assert_eq!((again.path, again.digest), (made.path, made.digest));
        assert!(home.leftovers().is_empty(), "{:?}", home.leftovers());
    }
}

#[tokio::test]
async fn an_environment_of_an_older_recipe_is_outdated_and_replaced() {
    let home = Home::new();
    home.python("3.11.2");
    home.uv(INSTALL_WELL);
    let made = create(&home).await.unwrap();
    let old = made.path.with_file_name("00000000000000aa");
    fs::rename(&made.path, &old).unwrap();
    let text = fs::read_to_string(old.join("environment.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    manifest["digest"] = "00000000000000aa".into();
    manifest["recipe_digest"] = "00000000000000bb".into();
    fs::write(old.join("environment.json"), manifest.to_string()).unwrap();
    fs::remove_file(old.with_file_name("current")).unwrap();
    symlink("00000000000000aa", old.with_file_name("current")).unwrap();

    let listed = home.environments().list().await.unwrap();
    assert!(listed[0].outdated && listed[0].installed.is_some());
    assert_eq!(home.environments().find(&key()).await.unwrap().path, old, "an outdated environment goes on working");
    // A server runs from the old one; what is no version of ours is none of our business.
    let mut server =
        std::process::Command::new("sh").args(["-c", "sleep 60; :", &old.join("server.py").display().to_string()]).spawn().unwrap();
    fs::create_dir(old.with_file_name("a person's folder")).unwrap();
    let new = create(&home).await.unwrap();
    assert_eq!(new.digest, made.digest);
    assert!(!home.environments().list().await.unwrap()[0].outdated);
    assert!(old.exists(), "a server runs from it");
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(create(&home).await.unwrap(), new);
    assert!(!old.exists() && new.path.exists() && home.leftovers().is_empty(), "{:?}", home.versions());
    assert_eq!(home.versions().len(), 3, "{:?}", home.versions());
}

#[tokio::test]
async fn removing_takes_every_version_and_a_second_time_says_so() {
    let home = Home::new();
    home.python("3.11.2");
    home.uv(INSTALL_WELL);
    create(&home).await.unwrap();
    home.environments().remove(&key()).await.unwrap();
    assert!(home.versions().is_empty() && home.leftovers().is_empty());
    assert!(matches!(home.environments().remove(&key()).await, Err(EnvError::NotInstalled { .. })));
}

#[tokio::test]
async fn an_unknown_key_names_the_recipes() {
    let home = Home::new();
    let unknown = orchestrator_core::EnvKey::try_new("llama-cpp-gpu").unwrap();
    for error in [
        home.environments().find(&unknown).await.unwrap_err(),
        home.environments().create(&unknown, &NoProgress, &CancellationToken::new()).await.unwrap_err(),
        home.environments().remove(&unknown).await.unwrap_err(),
        home.environments().test(&unknown).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), ErrorCode::EnvUnknown);
        assert!(error.hint().unwrap().contains("llama-cpp-cpu"));
    }
}

#[tokio::test]
async fn a_home_that_cannot_be_written_is_named() {
    let home = Home::new();
    home.python("3.11.2");
    home.uv(INSTALL_WELL);
    // A file where the folder should be: this stops even the superuser.
    fs::write(home.paths().envs_dir, "").unwrap();
    let error = create(&home).await.unwrap_err();
    assert!(matches!(error, EnvError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("envs"), "{error}");
}

#[tokio::test]
async fn the_programs_of_the_machine_are_found_as_a_build_finds_them() {
    let home = Home::new();
    let settings = orchestrator_providers::ProviderSettings {
        search_path: vec![home.path().join("bin")],
        ..orchestrator_providers::ProviderSettings::default()
    };
    let found = orchestrator_providers::find_programs(&home.paths(), &settings).await;
    assert_eq!((found.llama_server, found.uv), (None, Ok(None)));
    assert_eq!(found.python.unwrap_err().code, ErrorCode::EnvToolMissing);
    home.python("3.9.1");
    let found = orchestrator_providers::find_programs(&home.paths(), &settings).await;
    assert!(found.python.unwrap_err().to_string().contains("is Python 3.9.1"));
    home.python("3.11.2");
    home.uv(INSTALL_WELL);
    let llama_server = home.program("llama-server", "");
    let found = orchestrator_providers::find_programs(&home.paths(), &settings).await;
    assert_eq!((found.python.unwrap().version, found.uv.unwrap().unwrap().version), ("3.11.2".to_owned(), "0.13.8".to_owned()));
    assert_eq!(found.llama_server, Some(llama_server));
    let named = orchestrator_providers::ProviderSettings { uv: Some("/gone/uv".into()), ..settings };
    assert!(orchestrator_providers::find_programs(&home.paths(), &named).await.uv.unwrap_err().to_string().contains("/gone/uv"));
}
