//! An instance that fails its requests, and others that serve the same.

use super::super::*;
use super::world::{Model, Outcome, World, ms, settings};

const PAUSE: Duration = Duration::from_secs(10);

/// Two instances of one model; the first one runs.
fn twins(bytes: u64) -> (World, [MemberId; 2]) {
    let mut world = World::with_memory(bytes);
    let twins = [(); 2].map(|()| world.add(Model::of_size(8), settings()));
    world.up(twins[0]);
    world.run_until(ms(2_000));
    (world, twins)
}

#[test]
fn a_sibling_that_runs_gets_the_requests_until_the_time_is_over() {
    let (mut world, [a, b]) = twins(20);
    world.up(b);
    world.run_until(ms(4_000));
    world.shun(a, PAUSE);
    for _ in 0..3 {
        let request = world.ask_for(&[a, b], 1, 0);
        world.assert_served_by(request, b);
    }
    let by_name = world.ask_for(&[a], 1, 0);
    world.assert_served_by(by_name, a);
    world.run_until(ms(4_000) + PAUSE);
    assert!(serves_again(&mut world, a, b));
}

/// Whether one of two requests at once goes to `a`.
fn serves_again(world: &mut World, a: MemberId, b: MemberId) -> bool {
    let served = [(); 2].map(|()| world.ask_for(&[a, b], 1, 0));
    served.iter().any(|request| matches!(world.outcomes[request], Outcome::Served { member, .. } if member == a))
}

#[test]
fn the_time_is_over_at_once_when_it_answers_again_or_has_another_server() {
    let (mut world, [a, b]) = twins(20);
    world.up(b);
    world.run_until(ms(4_000));
    for mend in [
        |world: &mut World, a| world.shun(a, Duration::ZERO),
        |world: &mut World, a| {
            world.crash(a);
            world.up(a);
        },
    ] {
        world.shun(a, PAUSE);
        mend(&mut world, a);
        world.run_until(world.now + ms(3_000));
        assert!(serves_again(&mut world, a, b));
        world.run_until(world.now + ms(1_000));
    }
}

#[test]
fn a_sibling_that_can_be_started_is_waited_for() {
    let (mut world, [a, b]) = twins(20);
    world.shun(a, PAUSE);
    let request = world.ask_for(&[a, b], 1, 0);
    assert!(!world.is_served(request));
    world.run_until(ms(4_000));
    world.assert_served_by(request, b);
}

#[test]
fn where_no_sibling_can_serve_it_is_asked_all_the_same() {
    // There is room for one.
    let (mut world, [a, b]) = twins(10);
    world.shun(a, PAUSE);
    let first = world.ask_for(&[a, b], 1, 0);
    world.run_until(ms(2_500));
    world.assert_served_by(first, a);
    let second = world.ask_for(&[a, b], 1, 0);
    world.assert_served_by(second, a);
    // All of them fail.
    let (mut world, [a, b]) = twins(20);
    world.shun(a, PAUSE);
    world.shun(b, PAUSE);
    let request = world.ask_for(&[a, b], 1, 0);
    world.assert_served_by(request, a);
}

#[test]
fn whoever_waits_for_a_sibling_that_takes_long_is_served_when_the_time_is_over() {
    let (mut world, [a, b]) = twins(20);
    world.instances[b.0].model.loads = Duration::from_secs(100);
    world.shun(a, PAUSE);
    let request = world.ask_for(&[a, b], 1, 0);
    world.run_until(ms(2_100) + PAUSE);
    world.assert_served_by(request, a);
}
