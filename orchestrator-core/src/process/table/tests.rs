//! Lines of `/proc` as the kernel writes them, and as nobody hopes to see them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use super::{MarkScope, Marks, appends, parse_marks, parse_record, read_record, read_table};

fn line(name: &str, state: &str, threads: &str) -> Vec<u8> {
    format!("4242 ({name}) {state} 17 4242 900 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 {threads} 0 987654 8192000 512 18446744073709551615")
        .into_bytes()
}

#[test]
fn a_line_is_parsed_whatever_the_program_is_called() {
    for name in ["sh", "a b", ") R 1 1 1", "((", "", "new\nline", "VLLM::Worker"] {
        let record = parse_record(&line(name, "S", "1")).unwrap();
        assert_eq!((record.pid, record.parent, record.group, record.session), (4242, 17, 4242, 900), "{name}");
        assert_eq!((record.start_ticks, record.resident_pages, record.alive), (987_654, 512, true), "{name}");
    }
    let mut broken = line("x", "S", "1");
    broken.splice(6..7, [0xff, 0xfe]);
    assert_eq!(parse_record(&broken).unwrap().pid, 4242);
}

#[test]
fn a_zombie_is_dead_and_one_whose_first_thread_ended_is_not() {
    for (state, threads, alive) in
        [("S", "1", true), ("T", "1", true), ("D", "4", true), ("Z", "1", false), ("X", "0", false), ("Z", "3", true)]
    {
        assert_eq!(parse_record(&line("x", state, threads)).unwrap().alive, alive, "{state} {threads}");
    }
}

#[test]
fn a_line_that_is_none_is_refused() {
    for text in ["", "4242", "4242 (sh", "4242 (sh) S 1 2", "x (sh) S 17 4242 900 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 9 8 5", "(sh)"] {
        assert_eq!(parse_record(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn marks_are_found_by_their_whole_names() {
    let marks = |owner: &str, instance: &str, listen: Option<&str>| {
        Some(Marks { owner: owner.to_owned(), instance: instance.to_owned(), listen: listen.map(str::to_owned) })
    };
    let cases: [(&[u8], Option<Marks>); 8] = [
        (b"A=1\0ORCH_OWNER=/home\0ORCH_INSTANCE=a\0ORCH_LISTEN=127.0.0.1:1\0", marks("/home", "a", Some("127.0.0.1:1"))),
        (b"ORCH_INSTANCE=a\0ORCH_OWNER=/home", marks("/home", "a", None)),
        (b"ORCH_OWNER=first\0ORCH_OWNER=second\0ORCH_INSTANCE=a\0", marks("first", "a", None)),
        (b"ORCH_OWNER=a=b\0ORCH_INSTANCE=\0", marks("a=b", "", None)),
        (b"XORCH_OWNER=/home\0ORCH_INSTANCE=a\0", None),
        (b"ORCH_OWNERS=/home\0ORCH_INSTANCE=a\0", None),
        (b"ORCH_OWNER=\xff\0ORCH_INSTANCE=a\0", None),
        (b"", None),
    ];
    for (environment, expected) in cases {
        assert_eq!(parse_marks(environment), expected, "{}", String::from_utf8_lossy(environment));
    }
}

#[test]
fn a_descriptor_for_appending_is_told_from_the_others() {
    // As Linux shows `>> file`, `> file`, and `< file`.
    for (flags, expected) in [("0102001", true), ("0100001", false), ("0100000", false), ("nonsense", false)] {
        assert_eq!(appends(&format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t30\nino:\t7\n")), expected, "{flags}");
    }
    assert!(!appends(""));
}

#[test]
fn the_real_table_holds_ourselves() {
    let own = std::process::id();
    let record = read_record(own).unwrap().unwrap();
    assert!(record.alive && record.resident_pages > 0 && record.start_ticks > 0);
    let table = read_table(MarkScope::StartedSince(record.start_ticks)).unwrap();
    assert_eq!(table.iter().find(|found| found.pid == own).unwrap().stamp(), record.stamp());
    assert_eq!(read_record(u32::MAX).unwrap(), None);
}
