//! The engine against real processes: a small engine in Python that behaves as its model's name says.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod devices;
mod fake;
mod models;

use std::time::Duration;

use super::*;
use crate::error::ErrorCode;
use crate::instance::{Health, InstanceState, InstanceSummary};
use crate::names::InstanceName;
use fake::Home;

fn name(text: &str) -> InstanceName {
    InstanceName::try_new(text).unwrap()
}

async fn up(orchestrator: &Orchestrator, text: &str) -> InstanceSummary {
    orchestrator.up(&name(text)).await.unwrap();
    orchestrator.wait_ready(&name(text)).await.unwrap()
}

/// Waits until the state of an instance is as wanted.
async fn wait_state(orchestrator: &Orchestrator, text: &str, wanted: impl Fn(&InstanceState) -> bool) -> InstanceState {
    let mut snapshot = orchestrator.watch(&name(text)).unwrap();
    let outcome = tokio::time::timeout(Duration::from_secs(20), snapshot.wait_for(|snapshot| wanted(&snapshot.state))).await;
    outcome.unwrap_or_else(|_| panic!("{:?}", orchestrator.watch(&name(text)).unwrap().borrow().state)).unwrap().state.clone()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn an_instance_comes_up_is_seen_and_goes_down() {
    let home = Home::new();
    home.instance("a", "good", "");
    let orchestrator = home.open().await;
    let row = up(&orchestrator, "a").await;
    assert_eq!((row.state.as_str(), row.health), ("ready", Health::Healthy));
    assert!(row.memory_mb.unwrap() > 0);
    let pid = row.pid.unwrap();
    assert!(is_alive(pid));
    assert_eq!(up(&orchestrator, "a").await.pid, Some(pid), "a second `up` leaves it alone");
    let row = orchestrator.down(&name("a")).await.unwrap();
    assert_eq!((row.state.as_str(), row.pid), ("stopped", None));
    assert!(!is_alive(pid));
    let again = orchestrator.down(&name("a")).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::InstanceNotRunning);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn an_early_exit_is_told_at_once_with_its_last_words() {
    let home = Home::new();
    home.instance("a", "dies", "");
    let orchestrator = home.open().await;
    orchestrator.up(&name("a")).await.unwrap();
    let problem = orchestrator.wait_ready(&name("a")).await.unwrap_err();
    assert_eq!(problem.code, ErrorCode::InstanceStartFailed);
    assert!(problem.stderr_tail.iter().any(|line| line == "I cannot go on"), "{problem:?}");
    assert!(problem.to_string().contains("exited with status 3"), "{problem}");
    wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Backoff { attempt: 1, .. })).await;
    orchestrator.down(&name("a")).await.unwrap();
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_person_s_start_does_not_wait_for_the_next_try() {
    let home = Home::new();
    home.instance("a", "dies", "restart_policy: {initial_delay: 1h, max_delay: 1h}");
    let orchestrator = home.open().await;
    orchestrator.up(&name("a")).await.unwrap();
    wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Backoff { .. })).await;
    let reason = orchestrator.describe(&name("a")).await.unwrap().reason;
    assert_eq!(reason, "waits for its next start in 3600 s: attempt 1 of 10 after it exited with status 3");
    home.instance("a", "good", "");
    assert_eq!(up(&orchestrator, "a").await.restarts, 0);
    assert_eq!(home.starts("a"), 2);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_server_whose_policy_knows_no_delay_comes_back_at_once() {
    let home = Home::new();
    home.instance("a", "good", "restart_policy: {initial_delay: 0}");
    let orchestrator = home.open().await;
    let first = up(&orchestrator, "a").await.pid;
    kill(first.unwrap());
    wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Ready { server, .. } if server.identity.pid() != first)).await;
    let states: Vec<_> =
        orchestrator.last_events(50).await.unwrap().into_iter().filter_map(|event| Some(event.data["to"].as_str()?.to_owned())).collect();
    assert_eq!(states, ["starting", "loading", "ready", "backoff", "starting", "loading", "ready"]);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn an_engine_without_a_health_path_is_asked_for_its_models() {
    let home = Home::new();
    home.instance("a", "pathless", "healthcheck: {interval: 20ms, retries: 1}");
    home.instance("b", "pathless", "healthcheck: {fallback_path: /none}");
    let orchestrator = home.open().await;
    up(&orchestrator, "a").await;
    orchestrator.up(&name("b")).await.unwrap();
    let is_told = |state: &InstanceState| matches!(state, InstanceState::Loading { detail, .. } if detail == "`GET /none` answered 404");
    wait_state(&orchestrator, "b", is_told).await;
    assert_eq!(orchestrator.describe(&name("a")).await.unwrap().summary.state, "ready");
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_server_that_speaks_no_http_health_can_be_asked_by_a_connection() {
    let home = Home::new();
    home.instance("a", "never", "healthcheck: {probe: tcp, interval: 20ms}");
    let orchestrator = home.open().await;
    assert_eq!(up(&orchestrator, "a").await.state, "ready");
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_command_decides_and_is_asked_again_after_the_owner_changed() {
    let home = Home::new();
    let sign = home.paths().state_dir().join("sign");
    let script = format!(
        "test $ORCH_INSTANCE = a || exit 9; : </dev/tcp/$ORCH_SERVER_HOST/$ORCH_SERVER_PORT || exit 8; cat {0} 2>&1; test ! -e {0}",
        sign.display()
    );
    let check = format!("healthcheck: {{probe: command, command: [bash, -c, '{script}'], interval: 20ms, retries: 2}}");
    home.instance("a", "never", &format!("{check}\nrestart_policy: {{initial_delay: 1h, max_delay: 1h}}"));
    let orchestrator = home.open().await;
    let pid = up(&orchestrator, "a").await.pid;
    orchestrator.shutdown(ShutdownMode::LeaveRunning).await;
    drop(orchestrator);
    // The file says something else by now; the server is watched as it was started.
    home.instance("a", "never", "");
    let orchestrator = home.open().await;
    assert_eq!(orchestrator.wait_ready(&name("a")).await.unwrap().pid, pid);
    let reason = orchestrator.describe(&name("a")).await.unwrap().reason;
    assert!(reason.starts_with("ready since ") && reason.ends_with(" UTC: it was taken over, and answers"), "{reason}");
    std::fs::write(&sign, "the disk is on fire\n").unwrap();
    let state = wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Unhealthy { .. })).await;
    let InstanceState::Unhealthy { reason, .. } = state else { panic!("{state:?}") };
    assert_eq!(reason, "`bash` exited with status 1: the disk is on fire");
    wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Backoff { .. })).await;
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn the_memory_of_a_gpu_is_shown_for_the_whole_tree() {
    let home = Home::new();
    home.instance("a", "good", "");
    let gpu = fake::FakeGpu::new(8 << 20);
    let orchestrator = home.builder().hardware(gpu.clone()).open().await.unwrap();
    let row = up(&orchestrator, "a").await;
    assert_eq!(row.vram_mb, None, "the device knows nothing of it");
    gpu.hold(row.pid.unwrap(), 3 << 20);
    gpu.hold(1, 5 << 20);
    orchestrator.memory().refresh().await.unwrap();
    assert_eq!(orchestrator.describe(&name("a")).await.unwrap().summary.vram_mb, Some(3));
    let list = orchestrator.instances().await;
    assert_eq!(list.warnings.len(), 1, "the device is full: {:?}", list.warnings);
    assert_eq!((list.runtimes[0].status, list.runtimes[0].healthy), (RuntimeStatus::Online, 1));
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port() {
    let home = Home::new();
    home.instance("a", "good", "restart_policy: {initial_delay: 10ms}");
    let orchestrator = home.open().await;
    let first = up(&orchestrator, "a").await;
    kill(first.pid.unwrap());
    wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Ready { server, .. } if server.identity.pid() != first.pid))
        .await;
    let second = orchestrator.describe(&name("a")).await.unwrap().summary;
    assert_eq!((second.port, second.restarts), (first.port, 1));
    orchestrator.shutdown(ShutdownMode::StopAll).await;
    assert!(!is_alive(second.pid.unwrap()));
}

#[tokio::test]
async fn servers_outlive_their_owner_and_are_taken_over_with_their_pid() {
    let home = Home::new();
    home.instance("a", "good", "");
    let orchestrator = home.open().await;
    let first = up(&orchestrator, "a").await;
    assert!(orchestrator.shutdown(ShutdownMode::LeaveRunning).await.is_empty());
    drop(orchestrator);
    let orchestrator = home.open().await;
    let second = orchestrator.wait_ready(&name("a")).await.unwrap();
    assert_eq!((second.pid, second.port), (first.pid, first.port));
    orchestrator.shutdown(ShutdownMode::StopAll).await;
    assert!(!is_alive(first.pid.unwrap()));
}

#[tokio::test]
async fn servers_are_found_again_when_the_database_is_lost() {
    let home = Home::new();
    home.instance("a", "good", "");
    let orchestrator = home.open().await;
    let first = up(&orchestrator, "a").await;
    orchestrator.shutdown(ShutdownMode::LeaveRunning).await;
    drop(orchestrator);
    std::fs::write(home.paths().database(), "garbage").unwrap();
    let orchestrator = home.open().await;
    let second = orchestrator.wait_ready(&name("a")).await.unwrap();
    assert_eq!((second.pid, second.port), (first.pid, first.port));
    let events = orchestrator.last_events(50).await.unwrap();
    assert!(events.iter().any(|event| event.message.contains("begun anew")), "{events:?}");
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_server_is_watched_and_stopped_even_when_its_file_is_gone() {
    let home = Home::new();
    home.instance("a", "good", "");
    let orchestrator = home.open().await;
    let first = up(&orchestrator, "a").await;
    orchestrator.shutdown(ShutdownMode::LeaveRunning).await;
    drop(orchestrator);
    std::fs::remove_dir_all(home.paths().instance_dir(&name("a"))).unwrap();
    let orchestrator = home.open().await;
    assert_eq!(orchestrator.wait_ready(&name("a")).await.unwrap().pid, first.pid);
    orchestrator.down(&name("a")).await.unwrap();
    assert!(!is_alive(first.pid.unwrap()));
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_server_that_died_while_nobody_watched_is_started_again() {
    let home = Home::new();
    home.instance("a", "good", "");
    let orchestrator = home.open().await;
    let first = up(&orchestrator, "a").await;
    orchestrator.shutdown(ShutdownMode::LeaveRunning).await;
    drop(orchestrator);
    kill(first.pid.unwrap());
    let orchestrator = home.open().await;
    let state = wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Ready { .. })).await;
    assert_ne!(state.server().unwrap().identity.pid(), first.pid);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn what_was_stopped_stays_stopped() {
    let home = Home::new();
    home.instance("a", "good", "");
    let orchestrator = home.open().await;
    up(&orchestrator, "a").await;
    orchestrator.down(&name("a")).await.unwrap();
    orchestrator.shutdown(ShutdownMode::LeaveRunning).await;
    drop(orchestrator);
    let orchestrator = home.open().await;
    assert_eq!(orchestrator.instances().await.instances[0].state, "stopped");
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn one_start_serves_all_who_wait_for_it() {
    let home = Home::new();
    home.instance("a", "slow", "aliases: [other]");
    let orchestrator = home.open().await;
    let mut waiting = tokio::task::JoinSet::new();
    for model in ["a", "other", "slow"].into_iter().cycle().take(30) {
        let orchestrator = orchestrator.clone();
        waiting.spawn(async move { orchestrator.admit(model).await.unwrap().address() });
    }
    let addresses = waiting.join_all().await;
    assert!(addresses.iter().all(|address| *address == addresses[0]), "{addresses:?}");
    assert_eq!(home.starts("a"), 1);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_request_for_nothing_we_know_names_what_is_near() {
    let home = Home::new();
    home.instance("qwen3-8b", "good", "");
    let orchestrator = home.open().await;
    let problem = orchestrator.admit("qwen3-8").await.unwrap_err();
    assert_eq!(problem.code, ErrorCode::ModelUnknown);
    assert!(problem.hint.unwrap().contains("`qwen3-8b`"));
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn an_instance_that_was_configured_a_moment_ago_is_found() {
    let home = Home::new();
    let orchestrator = home.open().await;
    home.instance("fresh", "good", "");
    assert_eq!(orchestrator.admit("fresh").await.unwrap().instance(), &name("fresh"));
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_lease_learns_that_its_server_is_gone() {
    let home = Home::new();
    home.instance("a", "good", "");
    let orchestrator = home.open().await;
    let pid = up(&orchestrator, "a").await.pid.unwrap();
    let lease = orchestrator.admit("a").await.unwrap();
    kill(pid);
    tokio::time::timeout(Duration::from_secs(5), lease.gone()).await.unwrap();
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_server_that_is_never_ready_is_ended() {
    let home = Home::new();
    home.instance("a", "never", "healthcheck: {start_period: 700ms}\nrestart_policy: {enabled: false}");
    let orchestrator = home.open().await;
    orchestrator.up(&name("a")).await.unwrap();
    let problem = orchestrator.wait_ready(&name("a")).await.unwrap_err();
    assert_eq!(problem.code, ErrorCode::InstanceStartTimeout);
    // A busy machine may not even let it listen in time.
    let said = problem.to_string();
    let last_answer = said.split_once("it did not become ready in time: ").unwrap().1;
    assert!(["`GET /health` answered 503", "it does not listen on its port yet"].contains(&last_answer), "{problem}");
    assert!(matches!(wait_state(&orchestrator, "a", |_| true).await, InstanceState::Failed { .. }));
    let reason = orchestrator.describe(&name("a")).await.unwrap().reason;
    assert!(reason.starts_with("failed since ") && reason.ends_with("`restart_policy.enabled` is false"), "{reason}");
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_server_that_turns_bad_is_unhealthy_and_then_replaced() {
    let home = Home::new();
    let checks = "healthcheck: {interval: 50ms, retries: 2}\nrestart_policy: {initial_delay: 10ms}";
    home.instance("a", "liar", checks);
    let orchestrator = home.open().await;
    let first = up(&orchestrator, "a").await;
    let state = wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Unhealthy { .. })).await;
    assert!(matches!(state, InstanceState::Unhealthy { reason, .. } if reason.contains("500")));
    wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Ready { server, .. } if server.identity.pid() != first.pid))
        .await;
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn an_idle_instance_is_unloaded_and_a_request_loads_it_again() {
    let home = Home::new();
    home.instance("a", "good", "ttl: 200ms\nhealthcheck: {interval: 50ms}");
    let orchestrator = home.open().await;
    let lease = orchestrator.admit("a").await.unwrap();
    wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Ready { .. })).await;
    drop(lease);
    wait_state(&orchestrator, "a", |state| matches!(state, InstanceState::Stopped { .. })).await;
    drop(orchestrator.admit("a").await.unwrap());
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_lost_race_for_a_chosen_port_is_nothing_that_anybody_hears_of() {
    let home = Home::new();
    home.instance("a", "unlucky", "");
    let orchestrator = home.open().await;
    up(&orchestrator, "a").await;
    assert_eq!(home.starts("a"), 2);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_configured_port_that_is_taken_is_refused_with_the_name_of_its_holder() {
    let home = Home::new();
    let squatter = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = squatter.local_addr().unwrap().port();
    home.instance("a", "good", &format!("server: {{port: {port}}}"));
    let orchestrator = home.open().await;
    orchestrator.up(&name("a")).await.unwrap();
    let problem = orchestrator.wait_ready(&name("a")).await.unwrap_err();
    assert_eq!(problem.code, ErrorCode::PortTaken);
    assert!(problem.title.contains(&format!("process {}", std::process::id())), "{problem:?}");
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn down_during_a_start_leaves_nothing() {
    let home = Home::new();
    home.instance("a", "slow", "");
    let orchestrator = home.open().await;
    for _ in 0..5 {
        orchestrator.up(&name("a")).await.unwrap();
        orchestrator.down(&name("a")).await.unwrap();
    }
    assert_eq!(orchestrator.instances().await.instances[0].state, "stopped");
    assert!(orchestrator.inner.services.launcher.discover().await.unwrap().is_empty());
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn restart_takes_over_the_new_configuration() {
    let home = Home::new();
    home.instance("a", "good", "");
    let orchestrator = home.open().await;
    let first = up(&orchestrator, "a").await;
    home.instance("a", "good", "aliases: [fresh]");
    assert!(orchestrator.describe(&name("a")).await.unwrap().config_changed);
    orchestrator.restart(&name("a")).await.unwrap();
    let second = orchestrator.wait_ready(&name("a")).await.unwrap();
    assert_ne!(second.pid, first.pid);
    assert!(!orchestrator.describe(&name("a")).await.unwrap().config_changed);
    assert_eq!(orchestrator.admit("fresh").await.unwrap().instance(), &name("a"));
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_removed_instance_is_gone_and_its_file_is_kept_aside() {
    let home = Home::new();
    home.instance("a", "good", "");
    let orchestrator = home.open().await;
    up(&orchestrator, "a").await;
    let refused = orchestrator.remove(&name("a"), RemoveMode::IfStopped).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InstanceRunning);
    orchestrator.remove(&name("a"), RemoveMode::StopFirst).await.unwrap();
    assert!(orchestrator.instances().await.instances.is_empty());
    assert_eq!(std::fs::read_dir(home.paths().instances_dir().join(".removed")).unwrap().count(), 1);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_second_owner_is_refused() {
    let home = Home::new();
    let orchestrator = home.open().await;
    let problem = home.builder().open().await.err().unwrap();
    assert_eq!(problem.code, ErrorCode::HomeOwned);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
    assert!(home.builder().open().await.is_ok());
}
