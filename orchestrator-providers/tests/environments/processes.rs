//! Builders that are processes of their own: several at once, and killed at many instants.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use orchestrator_core::EnvRegistry;
use orchestrator_core::env::EnvError;
use orchestrator_core::operation::NoProgress;
use tokio_util::sync::CancellationToken;

use crate::fakes::{Home, INSTALL_WELL, key, wait_until};

/// Names the home for [`the_builder_in_a_process_of_its_own`].
const HOME_VARIABLE: &str = "ORCHESTRATOR_TEST_BUILD_IN";

/// Started by the other tests in a process of its own; does nothing when it is run with them.
#[tokio::test]
async fn the_builder_in_a_process_of_its_own() {
    let Some(home) = std::env::var_os(HOME_VARIABLE) else { return };
    let environments = Home::environments_in(Path::new(&home));
    let made = environments.create(&key(), &NoProgress, &CancellationToken::new()).await.unwrap();
    std::fs::write(Path::new(&home).join(format!("made-{}", std::process::id())), made.path.display().to_string()).unwrap();
}

fn builder(home: &Home) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::the_builder_in_a_process_of_its_own", "--nocapture"]);
    command.env(HOME_VARIABLE, home.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// A `uv` that takes its time, writing all the while.
fn slow_uv(home: &Home) {
    home.uv(&format!("for i in 1 2 3 4 5 6; do echo $i >\"$PWD/new/part$i\"; sleep 0.02; done; {INSTALL_WELL}"));
}

#[tokio::test]
async fn several_processes_that_create_the_same_key_make_one() {
    let home = Home::new();
    home.python("3.11.2");
    slow_uv(&home);
    let builders: Vec<_> = (0..6).map(|_| builder(&home)).collect();
    let mut made = BTreeSet::new();
    for builder in builders {
        let id = builder.id();
        let output = builder.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        made.insert(std::fs::read_to_string(home.path().join(format!("made-{id}"))).unwrap());
    }
    assert_eq!(made.len(), 1);
    assert_eq!(home.installs(), 1);
    assert!(home.leftovers().is_empty());
}

#[tokio::test]
async fn a_builder_killed_at_any_instant_leaves_a_whole_environment_or_none() {
    let home = Home::new();
    home.python("3.11.2");
    slow_uv(&home);
    let mut built = 0;
    for round in 0..24u64 {
        let mut victim = builder(&home);
        // From before it began to after it was done.
        tokio::time::sleep(Duration::from_millis(round * 25)).await;
        victim.kill().unwrap();
        victim.wait().unwrap();
        match home.environments().find(&key()).await {
            Ok(found) => {
                assert!(home.environments().test(&key()).await.unwrap().passed(), "half an environment");
                assert!(found.path.join("part6").exists(), "half an environment");
                built += 1;
                home.environments().remove(&key()).await.unwrap();
            }
            Err(EnvError::NotInstalled { .. }) => {}
            Err(error) => panic!("round {round}: {error}"),
        }
    }
    home.environments().create(&key(), &NoProgress, &CancellationToken::new()).await.unwrap();
    assert!(home.environments().test(&key()).await.unwrap().passed());
    assert!(std::fs::read_dir(home.paths().envs_dir.join(".logs")).unwrap().count() <= 5);
    // An installer that outlived its builder holds the lock of its folder until it ends by itself, soon.
    wait_until("every installer has ended", || home.leftovers().iter().all(|folder| is_unlocked(folder))).await;
    home.environments().remove(&key()).await.unwrap();
    assert!(home.leftovers().is_empty(), "{:?}", home.leftovers());
    assert!(built < 24, "no builder was killed before it was done");
}

fn is_unlocked(folder: &Path) -> bool {
    std::fs::File::open(folder.join("build.lock")).map_or(true, |lock| lock.try_lock().is_ok())
}
