#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;

const SERVER: ServerMark = 7;
const NEXT_SERVER: ServerMark = 8;

/// A circuit with a clock that only a test moves.
struct Bench {
    circuit: Circuit,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { circuit: Circuit::default(), now: Instant::now() }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn admit(&mut self, server: ServerMark) -> Result<Passage, Duration> {
        self.circuit.admit(server, self.now).0.map_err(|refused| refused.wait)
    }

    fn fail(&mut self, passage: Passage) -> Option<Change> {
        self.circuit.fail(SERVER, passage, "it broke", self.now, 0.5)
    }

    fn opened() -> Self {
        let mut bench = Self::new();
        for _ in 0..FAILURES {
            assert_eq!(bench.admit(SERVER), Ok(Passage::Usual));
            bench.fail(Passage::Usual);
        }
        assert_eq!(bench.circuit.position(), Position::Open);
        bench
    }

    fn half_opened() -> Self {
        let mut bench = Self::opened();
        bench.wait(LONGEST_PAUSE);
        assert_eq!(bench.admit(SERVER), Ok(Passage::Trial));
        bench
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn five_failures_in_a_row_open_it_and_four_do_not() {
    let mut bench = Bench::new();
    for _ in 1..FAILURES {
        assert_eq!(bench.fail(Passage::Usual), None);
        assert_eq!(bench.admit(SERVER), Ok(Passage::Usual));
    }
    assert_eq!(bench.fail(Passage::Usual), Some(Change::Opened { pause: seconds(1), again: false }));
    assert_eq!(bench.admit(SERVER), Err(seconds(1)));
}

#[test]
fn a_success_in_between_forgives_what_was_before() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        for _ in 1..FAILURES {
            assert_eq!(bench.fail(Passage::Usual), None);
        }
        assert_eq!(bench.circuit.succeed(SERVER, Passage::Usual), None);
        assert!(bench.circuit.is_clean());
    }
}

#[test]
fn the_true_rest_of_the_time_is_told_with_the_cause() {
    let mut bench = Bench::opened();
    bench.wait(Duration::from_millis(300));
    let (refused, _) = bench.circuit.admit(SERVER, bench.now);
    assert_eq!(refused, Err(Refused { wait: Duration::from_millis(700), cause: "it broke".to_owned() }));
}

#[test]
fn exactly_one_request_is_let_through_when_the_time_is_over_and_its_success_closes() {
    let mut bench = Bench::half_opened();
    for _ in 0..10 {
        assert_eq!(bench.admit(SERVER), Err(TRIAL_WAIT));
    }
    assert_eq!(bench.circuit.succeed(SERVER, Passage::Trial), Some(Change::Closed { by_new_server: false }));
    assert_eq!(bench.admit(SERVER), Ok(Passage::Usual));
    assert!(bench.circuit.is_clean());
}

#[test]
fn the_time_doubles_up_to_the_longest_and_begins_anew_after_a_success() {
    let mut bench = Bench::opened();
    for expected in [2, 4, 8, 16, 30, 30, 30] {
        bench.wait(LONGEST_PAUSE);
        assert_eq!(bench.admit(SERVER), Ok(Passage::Trial));
        assert_eq!(bench.fail(Passage::Trial), Some(Change::Opened { pause: seconds(expected), again: true }));
        bench.wait(seconds(expected - 1));
        assert_eq!(bench.admit(SERVER), Err(seconds(1)));
    }
    bench.wait(LONGEST_PAUSE);
    bench.admit(SERVER).unwrap();
    bench.circuit.succeed(SERVER, Passage::Trial);
    let change = (0..FAILURES).filter_map(|_| bench.fail(Passage::Usual)).next_back();
    assert_eq!(change, Some(Change::Opened { pause: seconds(1), again: false }));
}

#[test]
fn chance_spreads_the_time_by_a_tenth_and_never_beyond_the_longest() {
    assert_eq!(pause(0, 0.0), Duration::from_millis(900));
    assert_eq!(pause(0, 1.0), Duration::from_millis(1_100));
    for openings in 0..100 {
        for chance in [0.0, 0.3, 1.0, 7.0, -7.0] {
            assert!(pause(openings, chance) >= FIRST_PAUSE.mul_f64(0.9) && pause(openings, chance) <= LONGEST_PAUSE);
        }
    }
}

#[test]
fn what_was_let_through_before_decides_nothing_any_more() {
    let mut bench = Bench::opened();
    assert_eq!(bench.circuit.succeed(SERVER, Passage::Usual), None);
    assert_eq!(bench.fail(Passage::Usual), None);
    assert_eq!(bench.circuit.position(), Position::Open);
    let mut bench = Bench::half_opened();
    assert_eq!(bench.circuit.succeed(SERVER, Passage::Usual), None);
    assert_eq!(bench.fail(Passage::Usual), None);
    assert_eq!(bench.circuit.position(), Position::HalfOpen);
}

#[test]
fn a_trial_that_is_given_up_leaves_its_place_to_the_next_request() {
    let mut bench = Bench::half_opened();
    bench.circuit.abandon(Passage::Trial, bench.now);
    assert_eq!(bench.admit(SERVER), Ok(Passage::Trial));
    assert_eq!(bench.admit(SERVER), Err(TRIAL_WAIT));
    let mut closed = Bench::new();
    closed.circuit.abandon(Passage::Usual, closed.now);
    assert!(closed.circuit.is_clean());
}

#[test]
fn a_trial_that_takes_very_long_does_not_hold_up_everybody() {
    let mut bench = Bench::half_opened();
    bench.wait(LONGEST_PAUSE);
    assert_eq!(bench.admit(SERVER), Ok(Passage::Trial));
}

#[test]
fn another_server_begins_with_a_clean_slate() {
    let mut bench = Bench::opened();
    let (passage, change) = bench.circuit.admit(NEXT_SERVER, bench.now);
    assert_eq!((passage, change), (Ok(Passage::Usual), Some(Change::Closed { by_new_server: true })));
    assert!(bench.circuit.is_clean());
    let mut counting = Bench::new();
    counting.fail(Passage::Usual);
    assert_eq!(counting.circuit.admit(NEXT_SERVER, counting.now), (Ok(Passage::Usual), None));
    assert!(counting.circuit.is_clean());
}

#[test]
fn the_failures_of_a_server_that_is_gone_are_not_held_against_the_next() {
    let mut bench = Bench::opened();
    bench.admit(NEXT_SERVER).unwrap();
    for _ in 1..FAILURES {
        bench.fail(Passage::Usual);
    }
    assert_eq!(bench.circuit.fail(NEXT_SERVER, Passage::Usual, "x", bench.now, 0.5), None);
    assert_eq!(bench.circuit.position(), Position::Closed);
    // An open circuit of the next server hears nothing of the old one either.
    for _ in 1..FAILURES {
        bench.circuit.fail(NEXT_SERVER, Passage::Usual, "x", bench.now, 0.5);
    }
    assert_eq!(bench.circuit.position(), Position::Open);
    assert_eq!(bench.fail(Passage::Trial), None);
    assert_eq!(bench.circuit.succeed(SERVER, Passage::Trial), None);
    assert_eq!(bench.circuit.position(), Position::Open);
}
