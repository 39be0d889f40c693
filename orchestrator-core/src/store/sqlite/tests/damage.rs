//! Databases that cannot be opened as they are.

use super::*;

/// Makes a database with something on many pages, and returns the bytes of its file.
async fn filled(home: &Home) -> Vec<u8> {
    let store = home.open();
    for number in 0..20 {
        store.put(&format!("key {number}"), format!("{number} ").repeat(400)).await.unwrap();
    }
    store.put_instance(instance("a")).await.unwrap();
    store.append_events(drafts(200)).await.unwrap();
    drop(store);
    std::fs::read(home.database()).unwrap()
}

fn quarantined(outcome: &OpenOutcome) -> Option<(&Path, &str)> {
    match outcome {
        OpenOutcome::Rebuilt { quarantined, reason } => Some((quarantined, reason)),
        _ => None,
    }
}

async fn assert_works(store: &SqliteStore) {
    store.put("after", "all".to_owned()).await.unwrap();
    assert_eq!(store.get("after").await.unwrap().as_deref(), Some("all"));
    assert!(store.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_database_is_put_aside_and_kept() {
    let other_program = {
        let home = Home::new();
        std::fs::create_dir(home.database().parent().unwrap()).unwrap();
        rusqlite::Connection::open(home.database()).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        std::fs::read(home.database()).unwrap()
    };
    let cases: [(&[u8], &str); 5] = [
        (b"garbage", "not a database"),
        (&[0x5a; 10_000], "not a database"),
        (&[0; 4096], "not a database"),
        (b"SQLite format 3\0", "not a database"),
        (&other_program, "another program"),
    ];
    for (content, expected) in cases {
        let home = Home::new();
        std::fs::create_dir(home.database().parent().unwrap()).unwrap();
        std::fs::write(home.database(), content).unwrap();
        let (store, outcome) = home.open_with_outcome();
        let (kept, reason) = quarantined(&outcome).unwrap_or_else(|| panic!("{outcome:?} for {expected}"));
        assert!(reason.contains(expected), "{reason}");
        assert!(kept.file_name().unwrap().to_str().unwrap().starts_with("orchestrator.sqlite.corrupt-2"), "{}", kept.display());
        assert_eq!(std::fs::read(kept).unwrap(), content);
        assert_works(&store).await;
        drop(store);
        assert_eq!(home.open_with_outcome().1, OpenOutcome::Opened);
    }
}

#[tokio::test]
async fn two_damaged_databases_of_one_second_are_both_kept() {
    let home = Home::new();
    std::fs::create_dir(home.database().parent().unwrap()).unwrap();
    let mut kept = std::collections::BTreeSet::new();
    for content in ["first", "second", "third"] {
        std::fs::write(home.database(), content).unwrap();
        kept.insert(quarantined(&home.open_with_outcome().1).unwrap().0.to_path_buf());
    }
    let texts: Vec<_> = kept.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
}

#[tokio::test]
async fn an_empty_file_is_a_fresh_database() {
    let home = Home::new();
    std::fs::create_dir(home.database().parent().unwrap()).unwrap();
    std::fs::write(home.database(), "").unwrap();
    let (store, outcome) = home.open_with_outcome();
    assert_eq!(outcome, OpenOutcome::Created);
    assert_works(&store).await;
}

#[tokio::test]
async fn a_truncated_database_is_rebuilt_wherever_it_was_cut() {
    let home = Home::new();
    let whole = filled(&home).await;
    for cut in [1, 15, 16, 99, 100, 101, 4_095, 4_096, 8_192, 10_000, whole.len() / 2, whole.len() - 4_096, whole.len() - 1] {
        std::fs::write(home.database(), &whole[..cut]).unwrap();
        let (store, outcome) = home.open_with_outcome();
        assert!(quarantined(&outcome).is_some(), "cut at {cut}: {outcome:?}");
        assert_works(&store).await;
    }
}

/// Each page in turn is overwritten, or has one byte in its head turned: rebuilt, or whole and readable.
#[tokio::test]
async fn a_flipped_page_never_yields_a_store_that_fails() {
    let home = Home::new();
    let whole = filled(&home).await;
    let pages = whole.len() / 4_096;
    assert!(pages > 10, "{pages} pages");
    let mut rebuilt = 0;
    for page in 0..pages {
        let noise = (0..4_096).map(|index: usize| u8::try_from((index * 131 + page * 17) % 251).unwrap()).collect::<Vec<_>>();
        for damage in [&[0; 4_096][..], &noise, &[0xff], &[0xff; 8], &[0x00; 12]] {
            let mut content = whole.clone();
            content[page * 4_096..][..damage.len()].copy_from_slice(damage);
            if content == whole {
                continue;
            }
            std::fs::write(home.database(), &content).unwrap();
            let (store, outcome) = home.open_with_outcome();
            rebuilt += usize::from(quarantined(&outcome).is_some());
            store.instances().await.unwrap();
            store.events_after(0, usize::MAX).await.unwrap();
            assert_works(&store).await;
        }
    }
    assert!(rebuilt >= pages * 4, "only {rebuilt} of {} were noticed", pages * 5);
}

#[tokio::test]
async fn a_row_that_cannot_be_understood_is_damage() {
    let cases = [
        "INSERT INTO models VALUES ('file:/x', '{\"half\":')",
        "INSERT INTO instances (name, wanted, restarts, spec) VALUES ('../etc', 1, 0, '{\"name\":\"z\",\"model\":{\"ref\":\"file:/m\"}}')",
        "INSERT INTO instances (name, wanted, restarts, spec) VALUES ('z', 1, 5000000000, '{\"name\":\"z\",\"model\":{\"ref\":\"file:/m\"}}')",
        "UPDATE events SET kind = '\"no kind of event\"'",
        "DROP INDEX events_by_instance",
        "ALTER TABLE kv RENAME COLUMN value TO velue",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = -3",
    ];
    for sql in cases {
        let home = Home::new();
        filled(&home).await;
        rusqlite::Connection::open(home.database()).unwrap().execute_batch(sql).unwrap();
        let (store, outcome) = home.open_with_outcome();
        assert!(quarantined(&outcome).is_some(), "{sql}: {outcome:?}");
        assert_works(&store).await;
    }
}

#[tokio::test]
async fn a_newer_database_is_refused_and_stays_untouched() {
    let home = Home::new();
    filled(&home).await;
    rusqlite::Connection::open(home.database()).unwrap().execute_batch("PRAGMA user_version = 9").unwrap();
    let before = std::fs::read(home.database()).unwrap();
    let Err(error) = SqliteStore::open(&home.database()) else { panic!("it was opened") };
    assert!(matches!(error, StoreError::Newer { found: 9, known: migrations_newest, .. } if migrations_newest == 1), "{error:?}");
    assert_eq!(std::fs::read(home.database()).unwrap(), before);
    assert_eq!(std::fs::read_dir(home.database().parent().unwrap()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_newer_version_that_stands_only_in_the_log_is_refused_too() {
    let home = Home::new();
    filled(&home).await;
    let copy = Home::new();
    std::fs::create_dir(copy.database().parent().unwrap()).unwrap();
    let newer = rusqlite::Connection::open(home.database()).unwrap();
    newer.execute_batch("PRAGMA journal_mode = WAL; PRAGMA user_version = 9").unwrap();
    let log = |home: &Home| home.database().with_extension("sqlite-wal");
    std::fs::copy(home.database(), copy.database()).unwrap();
    std::fs::copy(log(&home), log(&copy)).unwrap();
    let before = (std::fs::read(copy.database()).unwrap(), std::fs::read(log(&copy)).unwrap());
    assert!(matches!(SqliteStore::open(&copy.database()), Err(StoreError::Newer { found: 9, .. })));
    assert_eq!((std::fs::read(copy.database()).unwrap(), std::fs::read(log(&copy)).unwrap()), before);
}

/// Copies a database with a log of many commits, as a kill leaves it, spoils the log and opens it.
#[tokio::test]
async fn a_log_is_trusted_up_to_its_torn_last_commit_and_no_further() {
    let home = Home::new();
    let store = home.open();
    for number in 0..20 {
        store.put("counter", number.to_string()).await.unwrap();
    }
    let log_of = |home: &Home| home.database().with_extension("sqlite-wal");
    let (database, log) = (std::fs::read(home.database()).unwrap(), std::fs::read(log_of(&home)).unwrap());
    let frame = 4_096 + 24;
    let frames = (log.len() - 32) / frame;
    let flipped = |at: usize| {
        let mut log = log.clone();
        log[at] ^= 0x10;
        log
    };
    // Expected: the counter afterwards, or none when the database has to be put aside.
    let cases: [(&str, Vec<u8>, Option<&str>); 8] = [
        ("as it is", log.clone(), Some("19")),
        ("no log", Vec::new(), None),
        ("the last commit torn", flipped(log.len() - 100), Some("18")),
        ("the last commit cut", log[..log.len() - 100].to_vec(), Some("18")),
        ("an early commit spoiled", flipped(32 + frame * (frames / 2) + 100), None),
        ("the header spoiled", flipped(18), None),
        ("the magic spoiled", flipped(1), None),
        ("garbage", vec![0x5a; 9_000], None),
    ];
    for (what, log, expected) in cases {
        let copy = Home::new();
        std::fs::create_dir(copy.database().parent().unwrap()).unwrap();
        std::fs::write(copy.database(), &database).unwrap();
        std::fs::write(log_of(&copy), &log).unwrap();
        let (store, outcome) = copy.open_with_outcome();
        assert_eq!(store.get("counter").await.unwrap().as_deref(), expected, "{what}: {outcome:?}");
        assert_eq!(quarantined(&outcome).is_some(), expected.is_none() && !log.is_empty(), "{what}: {outcome:?}");
        if let Some((kept, _)) = quarantined(&outcome) {
            let kept_log = PathBuf::from(format!("{}-wal", kept.display()));
            assert_eq!(std::fs::read(kept_log).unwrap(), log, "{what}");
        }
        assert_works(&store).await;
    }
}

#[test]
fn an_unusable_place_is_an_error_that_names_it() {
    let home = Home::new();
    let file = home.0.path().join("file");
    std::fs::write(&file, "").unwrap();
    let folder = home.0.path().join("folder");
    std::fs::create_dir_all(folder.join("orchestrator.sqlite")).unwrap();
    let cases =
        [file.join("state/orchestrator.sqlite"), folder.join("orchestrator.sqlite"), PathBuf::from("/proc/self/orchestrator.sqlite")];
    for path in cases {
        let Err(error) = SqliteStore::open(&path) else { panic!("`{}` was opened", path.display()) };
        assert!(matches!(error, StoreError::Io { .. } | StoreError::Open { .. }), "{error:?}");
        assert!(error.to_string().contains(path.parent().unwrap().to_str().unwrap()), "{error}");
    }
}

/// Root writes where nobody else may, so there is nothing to see for it here.
#[tokio::test]
async fn a_read_only_database_is_an_error_and_stays_where_it_is() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let home = Home::new();
    filled(&home).await;
    std::fs::set_permissions(home.database(), std::fs::Permissions::from_mode(0o400)).unwrap();
    assert!(matches!(SqliteStore::open(&home.database()), Err(StoreError::Io { .. } | StoreError::Open { .. })));
    assert!(home.database().exists());
}

#[tokio::test]
async fn a_database_that_lost_acknowledged_changes_says_so_and_one_that_is_put_back_does_not() {
    let home = Home::new();
    let store = home.open();
    for number in 0..20 {
        store.put("counter", number.to_string()).await.unwrap();
    }
    let beside = |home: &Home, ending: &str| home.database().with_extension(format!("sqlite{ending}"));
    let [database, log, mark] = ["", "-wal", "-mark"].map(|ending| std::fs::read(beside(&home, ending)).unwrap());
    let open = |log: &[u8], mark: Option<&[u8]>| {
        let copy = Home::new();
        std::fs::create_dir(copy.database().parent().unwrap()).unwrap();
        std::fs::write(copy.database(), &database).unwrap();
        std::fs::write(beside(&copy, "-wal"), log).unwrap();
        if let Some(mark) = mark {
            std::fs::write(beside(&copy, "-mark"), mark).unwrap();
        }
        let (store, outcome) = copy.open_with_outcome();
        (copy, store, outcome)
    };
    let (copy, store_of_copy, outcome) = open(&log[..log.len() - 100], Some(&mark));
    assert_eq!(outcome, OpenOutcome::Behind { missing: 1 });
    assert_works(&store_of_copy).await;
    drop(store_of_copy);
    assert_eq!(copy.open_with_outcome().1, OpenOutcome::Opened, "it is said once");
    assert!(matches!(open(&[], Some(&mark)).2, OpenOutcome::Behind { missing: 20.. }));
    assert_eq!(open(&log, Some(&mark)).2, OpenOutcome::Opened);
    assert_eq!(open(&log[..log.len() - 100], None).2, OpenOutcome::Opened, "nobody knows better");
    // Closed in order, no mark is left.
    drop(store);
    assert!(!beside(&home, "-mark").exists());
}
