//! What other orchestrators got wrong, and what people expect, case by case.

use super::super::giving::LONGEST_SHORTAGE;
use super::super::*;
use super::world::{Model, Outcome, Real, World, ms, settings};

const A_MINUTE: Moment = Duration::from_mins(1);

/// Two models, of which the memory holds one.
fn two_and_one_place() -> (World, MemberId, MemberId) {
    let mut world = World::with_memory(10);
    let a = world.add(Model::of_size(8), settings());
    let b = world.add(Model::of_size(8), settings());
    (world, a, b)
}

#[test]
fn a_freshly_loaded_model_is_not_evicted_before_its_own_request_is_sent() {
    let (mut world, a, b) = two_and_one_place();
    let first = world.ask_for(&[a], 1, 0);
    let second = world.ask_for(&[b], 2, 0);
    world.run_until(ms(1_100));
    world.assert_served_by(first, a);
    assert!(!world.is_served(second));
    world.run_until(A_MINUTE);
    world.assert_served_by(second, b);
}

#[test]
fn an_lru_does_not_evict_a_loading_model() {
    // Checked by the world whenever something is unloaded; here the loading one is the least recently used.
    let mut world = World::with_memory(20);
    let [a, b, c] = [(); 3].map(|()| world.add(Model { loads: ms(20_000), ..Model::of_size(8) }, settings()));
    world.ask_for(&[a], 1, 0);
    world.run_until(ms(30_000));
    world.ask_for(&[b], 1, 0);
    world.run_until(ms(31_000));
    assert_eq!(world.instances[b.0].real, Real::Loading);
    let third = world.ask_for(&[c], 1, 0);
    world.run_until(ms(200_000));
    world.assert_served_by(third, c);
    assert_eq!(world.instances[a.0].real, Real::Stopped, "the idle one made room");
}

#[test]
fn one_slot_does_not_deadlock() {
    let budget = Budget { most_running: Some(1), ..Budget::default() };
    let mut world = World::new(budget, Rules::default());
    let models = [(); 3].map(|()| world.add(Model::of_size(1), settings()));
    let asked: Vec<(u64, MemberId)> = (0..30).map(|n| (world.ask_for(&[models[n % 3]], n as u64, 0), models[n % 3])).collect();
    world.run_until(A_MINUTE * 3);
    for (request, member) in asked {
        world.assert_served_by(request, member);
    }
}

#[test]
fn a_child_that_is_killed_while_it_loads_does_not_wedge_the_queue() {
    let (mut world, a, b) = two_and_one_place();
    let first = world.ask_for(&[a], 1, 0);
    let second = world.ask_for(&[b], 2, 0);
    world.run_until(ms(500));
    assert_eq!(world.instances[a.0].real, Real::Loading);
    world.crash(a);
    world.run_until(A_MINUTE);
    world.assert_served_by(first, a);
    world.assert_served_by(second, b);
}

#[test]
fn a_load_that_fails_lets_the_next_one_load() {
    let (mut world, a, b) = two_and_one_place();
    world.instances[a.0].model.failures = 1;
    let first = world.ask_for(&[a], 1, 0);
    let second = world.ask_for(&[b], 2, 0);
    world.run_until(A_MINUTE);
    assert_eq!(world.outcomes[&first], Outcome::Refused(Refusal::NotServing));
    world.assert_served_by(second, b);
}

#[test]
fn the_next_model_is_not_started_before_the_old_ones_memory_is_free() {
    // The world fails when an instance is let in while the machine has not enough free.
    let (mut world, a, b) = two_and_one_place();
    world.instances[a.0].model.lingers = ms(3_000);
    world.ask_for(&[a], 1, 0);
    world.run_until(ms(10_000));
    let second = world.ask_for(&[b], 2, 0);
    world.run_until(ms(12_900));
    assert_eq!(world.instances[b.0].real, Real::Asking, "the memory of the other one is not free yet");
    world.run_until(A_MINUTE);
    world.assert_served_by(second, b);
}

#[test]
fn memory_that_never_comes_back_is_waited_for_only_so_long() {
    let (mut world, a, b) = two_and_one_place();
    world.instances[a.0].model.lingers = ms(1_000_000);
    world.ask_for(&[a], 1, 0);
    world.run_until(ms(10_000));
    world.may_be_short = true;
    let second = world.ask_for(&[b], 2, 0);
    world.run_until(ms(10_000) + LONGEST_SHORTAGE);
    assert_eq!(world.instances[b.0].real, Real::Asking);
    world.run_until(A_MINUTE);
    world.assert_served_by(second, b);
}

#[test]
fn two_small_models_load_side_by_side() {
    let mut world = World::with_memory(10);
    let [a, b] = [(); 2].map(|()| world.add(Model::of_size(5), settings()));
    world.ask_for(&[a], 1, 0);
    world.ask_for(&[b], 1, 0);
    world.run_until(ms(500));
    assert_eq!((world.instances[a.0].real, world.instances[b.0].real), (Real::Loading, Real::Loading));
}

#[test]
fn requests_for_one_model_are_served_together_before_a_swap() {
    let (mut world, a, b) = two_and_one_place();
    let of_a: Vec<u64> = (0..10).map(|_| world.ask_for(&[a], 1, 0)).collect();
    world.ask_for(&[b], 1, 0);
    world.run_until(A_MINUTE);
    assert!(of_a.iter().all(|request| world.is_served(*request)));
    assert_eq!(world.policy.counters().evicted_for_room, 1);
}

#[test]
fn two_models_do_not_thrash() {
    // Two clients in lockstep: without a shortest residency each request would cost a load of a second.
    let (mut world, a, b) = two_and_one_place();
    for model in [a, b] {
        world.instances[model.0].model.answers = ms(10);
    }
    let mut asked = Vec::new();
    for turn in 0..1_000u64 {
        world.run_until(ms(turn * 50 + 1));
        asked.push(world.ask_for(&[if turn % 2 == 0 { a } else { b }], turn % 2, 0));
    }
    world.run_until(A_MINUTE * 10);
    assert!(asked.iter().all(|request| world.is_served(*request)));
    let loads = world.policy.counters().loads;
    assert!(loads < 60, "{loads} loads for {} requests", asked.len());
}

#[test]
fn a_steady_stream_for_one_model_does_not_starve_another() {
    let (mut world, a, b) = two_and_one_place();
    world.ask_for(&[a], 1, 0);
    world.run_until(ms(5_000));
    let mut starved = None;
    for tick in 0..600u64 {
        world.run_until(ms(5_000 + tick * 100));
        world.ask_for(&[a], 1, 0);
        if tick == 20 {
            starved = Some(world.ask_for(&[b], 2, 0));
        }
    }
    let Outcome::Served { waited, .. } = &world.outcomes[&starved.unwrap()] else { panic!("it starved") };
    assert!(*waited < Duration::from_secs(3), "it waited {waited:?}");
}

#[test]
fn pinned_models_stay_and_those_that_fit_beside_no_one_are_told_so() {
    let mut world = World::with_memory(10);
    let a = world.add(Model::of_size(8), MemberSettings { pinned: true, ..settings() });
    let b = world.add(Model::of_size(8), settings());
    let c = world.add(Model::of_size(11), settings());
    world.ask_for(&[a], 1, 0);
    world.run_until(ms(5_000));
    let of_b = world.ask_for(&[b], 1, 0);
    let of_c = world.ask_for(&[c], 1, 0);
    world.run_until(A_MINUTE);
    let refused = |need, pinned| Outcome::Refused(Refusal::NoRoom(NoRoom::Memory { pool: MemoryPool::Host, need, budget: 10, pinned }));
    assert_eq!(world.outcomes[&of_b], refused(8, 8));
    assert_eq!(world.outcomes[&of_c], refused(11, 8));
    assert_eq!(world.instances[a.0].real, Real::Ready);
}

#[test]
fn what_is_idle_for_its_ttl_is_unloaded() {
    let mut world = World::with_memory(10);
    let a = world.add(Model::of_size(8), MemberSettings { ttl: Some(ms(10_000)), ..settings() });
    world.ask_for(&[a], 1, 0);
    world.run_until(ms(9_000));
    world.ask_for(&[a], 1, 0);
    world.run_until(ms(18_000));
    assert_eq!(world.instances[a.0].real, Real::Ready);
    world.run_until(ms(20_000));
    assert_eq!(world.instances[a.0].real, Real::Stopped);
}

#[test]
fn the_least_recently_used_goes_first_and_what_loads_slowly_stays() {
    let mut world = World::with_memory(24);
    let slow = world.add(Model { loads: ms(50_000), ..Model::of_size(8) }, settings());
    let [old, new, next] = [(); 3].map(|()| world.add(Model::of_size(8), settings()));
    for (model, at) in [(slow, 0), (old, 60_000), (new, 70_000)] {
        world.run_until(ms(at));
        world.ask_for(&[model], 1, 0);
    }
    world.run_until(ms(130_000));
    let request = world.ask_for(&[next], 1, 0);
    world.run_until(ms(140_000));
    world.assert_served_by(request, next);
    let real = |id: MemberId| world.instances[id.0].real;
    assert_eq!((real(slow), real(old), real(new)), (Real::Ready, Real::Stopped, Real::Ready));
}

#[test]
fn several_instances_of_one_model_share_its_load() {
    let mut world = World::with_memory(100);
    let limited = MemberSettings { concurrency: Some(2), ..settings() };
    let [a, b] = [(); 2].map(|()| world.add(Model { answers: ms(1_000), ..Model::of_size(8) }, limited.clone()));
    world.ask_for(&[a, b], 1, 0);
    world.run_until(ms(5_000));
    assert_eq!(world.instances[b.0].real, Real::Stopped, "one is enough for one request");
    let asked: Vec<u64> = (0..8).map(|_| world.ask_for(&[a, b], 1, 0)).collect();
    world.run_until(A_MINUTE);
    let by = |id: MemberId| {
        asked.iter().filter(|request| matches!(&world.outcomes[request], Outcome::Served { member, .. } if *member == id)).count()
    };
    assert_eq!(by(a) + by(b), 8);
    assert!(by(b) >= 2, "the second one took {} of 8", by(b));
    let asked: Vec<u64> = (0..4).map(|_| world.ask_for(&[a, b], 1, 0)).collect();
    assert_eq!((world.instances[a.0].in_flight, world.instances[b.0].in_flight), (2, 2), "{asked:?}");
}

#[test]
fn a_second_instance_pushes_nobody_out() {
    let mut world = World::with_memory(16);
    let limited = MemberSettings { concurrency: Some(1), ..settings() };
    let [a, b] = [(); 2].map(|()| world.add(Model { answers: ms(5_000), ..Model::of_size(8) }, limited.clone()));
    let other = world.add(Model::of_size(8), settings());
    world.ask_for(&[other], 1, 0);
    world.ask_for(&[a, b], 1, 0);
    world.run_until(ms(2_000));
    let asked: Vec<u64> = (0..4).map(|_| world.ask_for(&[a, b], 1, 0)).collect();
    world.run_until(A_MINUTE);
    assert_eq!((world.instances[b.0].real, world.instances[other.0].real), (Real::Stopped, Real::Ready));
    assert!(asked.iter().all(|request| world.is_served(*request)));
}

#[test]
fn a_full_queue_refuses_with_an_estimate() {
    let mut world = World::with_memory(10);
    let limits = MemberSettings { concurrency: Some(1), queue_depth: 2, ..settings() };
    let a = world.add(Model { answers: ms(2_000), ..Model::of_size(8) }, limits);
    world.ask_for(&[a], 1, 0);
    world.run_until(ms(10_000));
    let asked: Vec<u64> = (0..4).map(|n| world.ask_for(&[a], n, 0)).collect();
    let Outcome::Refused(Refusal::QueueFull { waiting: 2, wait: Some(wait) }) = &world.outcomes[&asked[3]] else {
        panic!("{:?}", world.outcomes)
    };
    assert_eq!(*wait, ms(6_000), "three of two seconds each");
    world.run_until(A_MINUTE);
    assert!(asked[..3].iter().all(|request| world.is_served(*request)));
}

#[test]
fn whoever_waits_too_long_is_told_so() {
    let mut world = World::with_memory(10);
    let a = world.add(Model { loads: ms(20_000), ..Model::of_size(8) }, MemberSettings { longest_wait: ms(5_000), ..settings() });
    let request = world.ask_for(&[a], 1, 0);
    world.run_until(ms(6_000));
    assert!(matches!(world.outcomes[&request], Outcome::Refused(Refusal::WaitedTooLong { waited, .. }) if waited == ms(5_000)));
}

#[test]
fn what_nobody_waits_for_any_more_is_called_off() {
    let (mut world, a, b) = two_and_one_place();
    world.instances[a.0].model.answers = ms(30_000);
    world.ask_for(&[a], 1, 0);
    world.run_until(ms(5_000));
    let request = world.ask_for(&[b], 2, 0);
    world.run_until(ms(6_000));
    assert_eq!(world.instances[b.0].real, Real::Asking);
    world.leave(request);
    assert_eq!(world.instances[b.0].real, Real::Stopped);
    let again = world.ask_for(&[a], 1, 0);
    assert!(world.is_served(again), "the other one is open again");
}

#[test]
fn a_person_is_waited_for_like_a_request() {
    let (mut world, a, b) = two_and_one_place();
    world.ask_for(&[a], 1, 0);
    world.run_until(ms(5_000));
    world.up(b);
    world.run_until(ms(20_000));
    assert_eq!((world.instances[a.0].real, world.instances[b.0].real), (Real::Stopped, Real::Ready));
    world.down(b);
    world.run_until(A_MINUTE);
    assert_eq!(world.instances[b.0].real, Real::Stopped);
}

#[test]
fn held_instances_drain_and_their_requests_wait() {
    let mut world = World::with_memory(10);
    let a = world.add(Model::of_size(8), settings());
    let first = world.ask_for(&[a], 1, 0);
    world.run_until(ms(1_100));
    world.policy.hold(a);
    let second = world.ask_for(&[a], 1, 0);
    world.run_until(ms(10_000));
    assert!(world.is_served(first) && !world.is_served(second));
    assert_eq!(world.instances[a.0].in_flight, 0);
    world.policy.release(a, world.now);
    world.settle();
    assert!(world.is_served(second));
}

#[test]
fn who_waits_for_the_active_instance_is_served_by_the_one_that_became_it() {
    let mut world = World::with_memory(20);
    let [old, new] = [(); 2].map(|()| world.add(Model::of_size(8), settings()));
    let first = world.ask_for_active(old, 1);
    world.run_until(ms(5_000));
    world.assert_served_by(first, old);
    // The switch: requests wait, the old one is not loaded again for them.
    world.policy.hold(old);
    let waiting = [world.ask_for_active(old, 1), world.ask_for_active(old, 2)];
    let by_name = world.ask_for(&[old], 3, 0);
    world.activate(new);
    world.run_until(A_MINUTE);
    for request in waiting {
        world.assert_served_by(request, new);
    }
    assert!(!world.is_served(by_name), "who asks for the old one by its own name waits for that");
    // Who found the old one before the switch, and arrives after it.
    let late = world.ask_for_active(old, 4);
    world.run_until(A_MINUTE * 2);
    world.assert_served_by(late, new);
    world.release(old);
    world.run_until(A_MINUTE * 4);
    world.assert_served_by(by_name, old);
}
