//! Tables of processes, and who belongs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::sync::Arc;

use super::{GroupTrust, Kin, View, leaders};
use crate::launcher::OutputFiles;
use crate::names::InstanceName;
use crate::process::identity::Stamp;
use crate::process::table::{FileId, Marks, ProcessRecord};

const OWN: u32 = 50;
const OURS: Option<(&str, &str)> = Some(("home", "a"));

/// `[pid, parent, group, session, start]`
type Numbers = [u32; 5];

fn record([pid, parent, group, session, start]: Numbers, marks: Option<(&str, &str)>) -> ProcessRecord {
    let marks = marks.map(|(owner, instance)| Marks {
        owner: owner.to_owned(),
        instance: instance.to_owned(),
        listen: Some("127.0.0.1:8000".to_owned()),
    });
    ProcessRecord {
        pid,
        parent,
        group,
        session,
        start_ticks: start.into(),
        alive: true,
        resident_pages: 1,
        has_terminal: false,
        marks,
        appends_to: Vec::new(),
    }
}

fn zombie(numbers: Numbers) -> ProcessRecord {
    ProcessRecord { alive: false, ..record(numbers, None) }
}

fn kin(leader: Option<(u32, u64)>) -> Kin {
    let leader = leader.map(|(pid, start_ticks)| Stamp { pid, start_ticks });
    Kin::new(Arc::from("home"), InstanceName::try_new("a").unwrap(), leader, OutputFiles::default())
}

fn find(kin: &Kin, trust: GroupTrust, table: &[ProcessRecord]) -> Vec<u32> {
    kin.find(table, &View { trust, own_pid: OWN, logs: &[log()] }).into_iter().map(|record| record.pid).collect()
}

/// The file that the workload's output goes to.
fn log() -> FileId {
    FileId::of(&std::fs::metadata("/proc/self/exe").unwrap())
}

fn other_file() -> FileId {
    FileId::of(&std::fs::metadata("/proc").unwrap())
}

fn check(name: &str, leader: Option<(u32, u64)>, table: &[ProcessRecord], expected: &[u32]) {
    assert_eq!(find(&kin(leader), GroupTrust::Proven, table), expected, "{name}");
}

#[test]
fn members_are_found_by_descent_group_and_marks() {
    let init = record([1, 0, 1, 1, 0], None);
    let own = record([OWN, 1, OWN, OWN, 5], None);
    let leader = record([100, OWN, 100, OWN, 10], OURS);
    check("alone", Some((100, 10)), &[init.clone(), own.clone(), leader.clone()], &[100]);
    check(
        "children of children, in whatever group, whatever order, without marks",
        Some((100, 10)),
        &[
            record([103, 102, 103, 103, 13], None),
            record([102, 101, 102, 102, 12], None),
            record([101, 100, 101, 101, 11], None),
            leader.clone(),
        ],
        &[100, 101, 102, 103],
    );
    check("an orphan of the group", Some((100, 10)), &[leader.clone(), record([101, 1, 100, OWN, 11], None)], &[100, 101]);
    check("a marked orphan in a session of its own", Some((100, 10)), &[leader.clone(), record([101, 1, 101, 101, 11], OURS)], &[100, 101]);
    check(
        "the group and the children of a marked orphan",
        Some((100, 10)),
        &[
            leader.clone(),
            record([102, 1, 101, 101, 12], None),
            record([103, 102, 103, 103, 13], None),
            record([101, 1, 101, 101, 11], OURS),
        ],
        &[100, 101, 102, 103],
    );
    check("by marks alone", None, &[init.clone(), own.clone(), leader.clone()], &[100]);
    check(
        "the leader first, though its child's number is lower",
        Some((100, 10)),
        &[record([7, 100, 100, OWN, 11], OURS), leader.clone()],
        &[100, 7],
    );
    check(
        "the group of a leader that is gone, while somebody marked is in it",
        Some((100, 10)),
        &[record([101, 1, 100, OWN, 11], OURS), record([102, 1, 100, OWN, 12], None)],
        &[101, 102],
    );
    check(
        "a zombie leader proves its group",
        Some((100, 10)),
        &[zombie([100, OWN, 100, OWN, 10]), record([101, 1, 100, OWN, 11], None)],
        &[100, 101],
    );
}

#[test]
fn whoever_writes_to_the_logs_like_the_server_belongs() {
    let writer = |numbers| ProcessRecord { appends_to: vec![other_file(), log()], ..record(numbers, None) };
    let leader = record([100, OWN, 100, OWN, 10], OURS);
    let daemonised = writer([101, 1, 101, 101, 11]);
    check("a bare orphan in a session of its own", Some((100, 10)), &[leader.clone(), daemonised.clone()], &[100, 101]);
    check("one whose server is gone", None, &[daemonised.clone(), record([102, 101, 102, 102, 12], None)], &[101, 102]);
    check("one that is older than the server", Some((100, 10)), &[leader.clone(), writer([101, 1, 101, 101, 9])], &[100]);
    let in_a_terminal = ProcessRecord { has_terminal: true, ..daemonised.clone() };
    check("a person's command", Some((100, 10)), &[leader.clone(), in_a_terminal], &[100]);
    let elsewhere = ProcessRecord { appends_to: vec![other_file()], ..daemonised.clone() };
    check("one that writes elsewhere", Some((100, 10)), &[leader.clone(), elsewhere], &[100]);
    let of_another = ProcessRecord { marks: record([1, 1, 1, 1, 1], Some(("home", "b"))).marks, ..daemonised };
    check("another instance's", Some((100, 10)), &[leader.clone(), of_another], &[100]);
    check("we", Some((100, 10)), &[leader, writer([OWN, 1, OWN, OWN, 50])], &[100]);
}

#[test]
fn strangers_are_not_members() {
    let own = record([OWN, 1, OWN, OWN, 5], None);
    let leader = record([100, OWN, 100, OWN, 10], OURS);
    check(
        "we, though we carry the marks, and our other children",
        Some((100, 10)),
        &[record([OWN, 100, 100, OWN, 5], OURS), record([60, OWN, 60, OWN, 20], None), leader.clone()],
        &[100],
    );
    check("init, though it carries the marks", None, &[record([1, 0, 1, 1, 0], OURS), own.clone()], &[]);
    check("another owner", Some((100, 10)), &[leader.clone(), record([101, 1, 101, 101, 11], Some(("elsewhere", "a")))], &[100]);
    check("another instance", Some((100, 10)), &[leader.clone(), record([101, 1, 101, 101, 11], Some(("home", "b")))], &[100]);
    check(
        "another owner's server, started by one of ours, and its children",
        Some((100, 10)),
        &[
            leader.clone(),
            record([101, 100, 101, OWN, 11], Some(("elsewhere", "x"))),
            record([102, 101, 101, OWN, 12], Some(("elsewhere", "x"))),
        ],
        &[100],
    );
    check(
        "whoever has the leader's number now, and its group and children",
        Some((100, 10)),
        &[record([100, 1, 100, 100, 99], None), record([101, 100, 100, 100, 100], None), record([102, 1, 100, 100, 100], None)],
        &[],
    );
    check("a group whose number was the leader's, when nobody proves it", Some((100, 10)), &[record([101, 1, 100, OWN, 11], None)], &[]);
    check(
        "the group that a marked process merely is in",
        None,
        &[record([70, 1, 70, 70, 6], None), record([101, 70, 70, 70, 11], OURS), record([71, 70, 70, 70, 12], None)],
        &[101],
    );
    check("the leader's own number but another start", Some((100, 10)), &[record([100, OWN, 100, OWN, 11], None)], &[]);
}

#[test]
fn whoever_belonged_once_is_remembered() {
    let kin = kin(Some((100, 10)));
    let leader = record([100, OWN, 100, OWN, 10], OURS);
    assert_eq!(find(&kin, GroupTrust::Proven, &[leader, record([101, 100, 101, 101, 11], None)]), [100, 101]);
    // Its parent is gone, it is in no group of ours and carries no mark; its own child is found through it.
    let later = [record([101, 1, 101, 101, 11], None), record([102, 101, 102, 102, 30], None)];
    assert_eq!(find(&kin, GroupTrust::Proven, &later), [101, 102]);
    // The number went on to somebody else.
    assert_eq!(find(&kin, GroupTrust::Proven, &[record([101, 1, 101, 101, 77], None)]), Vec::<u32>::new());
    assert_eq!(find(&kin, GroupTrust::Proven, &[record([101, 1, 101, 101, 11], None)]), Vec::<u32>::new(), "and is forgotten");
}

#[test]
fn the_group_of_a_leader_that_just_ended_is_noted() {
    let kin = kin(Some((100, 10)));
    let table = [record([101, 1, 100, OWN, 11], None), record([102, 1, 102, OWN, 11], None)];
    assert_eq!(find(&kin, GroupTrust::JustOrphaned, &table), [101]);
    assert_eq!(find(&kin, GroupTrust::Proven, &table), [101], "it is remembered");
}

#[test]
fn one_leader_is_found_for_each_instance() {
    let b = Some(("home", "b"));
    let table = [
        record([OWN, 1, OWN, OWN, 5], OURS),
        record([90, 1, 90, 90, 9], OURS),
        record([100, OWN, 100, OWN, 10], OURS),
        record([101, 100, 100, OWN, 11], OURS),
        record([102, 100, 102, 102, 12], OURS),
        record([200, 1, 200, 200, 20], b),
        record([199, 1, 199, 199, 21], b),
        record([300, 1, 1, 1, 30], Some(("home", "c"))),
        record([400, 1, 400, 400, 40], Some(("elsewhere", "d"))),
        record([500, 1, 500, 500, 50], Some(("home", "No Name"))),
        zombie([600, 1, 600, 600, 60]),
    ];
    let found: Vec<_> = leaders(&table, "home", OWN).into_iter().map(|leader| (leader.instance.to_string(), leader.stamp.pid)).collect();
    assert_eq!(found, [("a".to_owned(), 100), ("b".to_owned(), 200)]);
}

#[test]
fn a_leader_without_an_address_is_none() {
    for listen in [None, Some(""), Some("localhost"), Some("127.0.0.1:99999")] {
        let mut leader = record([100, 1, 100, 100, 10], OURS);
        leader.marks.as_mut().unwrap().listen = listen.map(str::to_owned);
        assert_eq!(leaders(&[leader], "home", OWN), [], "{listen:?}");
    }
}
