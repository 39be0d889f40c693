//! A short slice of every row of the fault table; `cargo xtask faults` runs the whole of it.

use orchestrator_tests::faults::{row, run};

/// Times are measured on a machine that does other things too: only a multiple of the goal is a failure here.
const PATIENCE: u32 = 10;

#[track_caller]
fn holds(number: u8, count: u32) {
    let report = run(row(number).unwrap(), count, 1);
    assert_eq!(report.tried, count);
    let violations: Vec<_> = report.violations.iter().map(|violation| (violation.seed, &violation.what, &violation.log)).collect();
    assert!(violations.is_empty(), "see `cargo xtask faults {number} --count 1 --seed SEED`: {violations:#?}");
    for (what, measure) in &report.measures.times {
        let median = measure.quantile(0.5);
        assert!(measure.goal.is_none_or(|goal| median <= goal * PATIENCE), "{what}: {median:?}");
    }
    for (what, measure) in &report.measures.bytes {
        assert!(measure.is_within(), "{what}: {measure:?}");
    }
}

#[test]
fn a_killed_daemon_loses_nothing_it_acknowledged() {
    holds(1, 5);
}

#[test]
fn a_killed_engine_is_seen_and_replaced_and_no_stream_is_sent_twice() {
    holds(2, 8);
}

#[test]
fn a_stopped_engine_is_replaced_while_others_answer() {
    holds(3, 3);
}

#[test]
fn no_child_survives_the_stop() {
    holds(4, 5);
}

#[test]
fn a_crash_loop_slows_down_and_tells_its_cause() {
    holds(5, 3);
}

#[test]
fn strangers_are_neither_signalled_nor_adopted() {
    holds(6, 6);
}

#[test]
fn a_squatter_gets_no_request() {
    holds(7, 3);
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    holds(8, 12);
}

#[test]
fn a_damaged_database_costs_no_server() {
    holds(10, 8);
}

#[test]
fn a_download_that_is_killed_goes_on_where_it_was() {
    holds(11, 2);
}

#[test]
fn a_source_that_lies_gives_no_bad_file_and_gets_no_token() {
    holds(12, 2);
}

#[test]
fn many_who_pull_the_same_share_one_good_file() {
    holds(13, 1);
}

#[test]
fn bad_answers_become_the_right_errors() {
    holds(15, 10);
}

#[test]
fn engines_see_that_clients_went_away() {
    holds(16, 8);
}

#[test]
fn a_crowd_of_streams_is_served_as_far_as_there_is_room() {
    holds(17, 1);
}

#[test]
fn slow_clients_are_let_go_and_keep_nobody_waiting() {
    holds(18, 1);
}

#[test]
fn a_clock_that_jumps_changes_no_wait() {
    holds(20, 2);
}

#[test]
fn names_lead_nowhere_outside() {
    holds(22, 12);
}

#[test]
fn secrets_stay_where_they_belong_and_control_characters_are_shown() {
    holds(23, 3);
}

#[test]
fn a_replaced_daemon_refuses_nothing_and_breaks_no_stream() {
    holds(24, 6);
}
