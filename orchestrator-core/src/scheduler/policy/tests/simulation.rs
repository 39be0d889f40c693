//! The policy at random, under simulated time: budgets, unloading and letting in are checked at each step by the world;
//! here, that nobody starves and nothing locks up.
//!
//! `cargo xtask faults 25` runs it with other seeds: `ORCH_SIMULATION_SEEDS` says how many, `ORCH_SIMULATION_SEED` the first.

use super::super::*;
use super::world::{Model, Outcome, Real, World, ms, settings};

/// Numbers that a seed repeats (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// How many worlds are tried when nobody says otherwise.
const SEEDS: u64 = 10_000;
/// What they are to come to.
const STEPS: u64 = 1_000_000;
/// What happens in one world besides what follows from it.
const ACTIONS: u64 = 24;
/// No wait is longer: there is less to do in each world than would take so long.
const LONGEST_WAIT: Duration = Duration::from_secs(400);

fn world(random: &mut Random) -> World {
    let bytes = 10 + random.below(30);
    let device = random.one_in(2).then(|| 5 + random.below(20));
    let memory = std::iter::once((MemoryPool::Host, bytes)).chain(device.map(|bytes| (MemoryPool::Device(0), bytes))).collect();
    let most_running = random.one_in(3).then(|| 1 + u32::try_from(random.below(3)).unwrap());
    let rules = Rules {
        residency: random.one_in(3).then(|| ms(random.below(3_000))),
        turn: ms(1_000 + random.below(20_000)),
        balance: if random.one_in(2) { Balance::LeastBusy } else { Balance::RoundRobin },
        ..Rules::default()
    };
    let mut world = World::new(Budget { memory, most_running }, rules);
    let mut pinned_left = i64::try_from(bytes).unwrap() - 10;
    for _ in 0..2 + random.below(5) {
        let host = 1 + random.below(10);
        let mut need = MemoryNeed::host(host);
        if let Some(device) = device
            && random.one_in(2)
        {
            need = need.and_device(0, 1 + random.below(device.min(5)));
        }
        // A pinned one must leave room for each of the others.
        pinned_left -= i64::try_from(host).unwrap();
        let pinned = pinned_left >= 0 && most_running.is_none() && need.of(MemoryPool::Device(0)) == 0 && random.one_in(6);
        let model = Model {
            need,
            prepares: ms(random.below(20)),
            loads: ms(1 + random.below(4_000)),
            stops: ms(random.below(500)),
            lingers: if random.one_in(3) { ms(random.below(2_000)) } else { Duration::ZERO },
            answers: ms(1 + random.below(2_000)),
            failures: u32::from(random.one_in(12)),
        };
        let settings = MemberSettings {
            concurrency: if random.one_in(2) { Some(1 + u32::try_from(random.below(3)).unwrap()) } else { None },
            queue_depth: 4 + usize::try_from(random.below(60)).unwrap(),
            priority: i32::try_from(random.below(3)).unwrap() - 1,
            pinned,
            ttl: random.one_in(3).then(|| ms(random.below(5_000))),
            ..settings()
        };
        world.add(model, settings);
    }
    world
}

fn act(world: &mut World, random: &mut Random) {
    let any = |world: &World, random: &mut Random| MemberId(usize::try_from(random.below(world.instances.len() as u64)).unwrap());
    match random.below(20) {
        0 => {
            let id = any(world, random);
            world.up(id);
        }
        1 => {
            let id = any(world, random);
            world.down(id);
        }
        2 => {
            let id = any(world, random);
            world.crash(id);
        }
        3 | 4 => {
            if let Some(request) = world.waiting().first().copied() {
                world.leave(request);
            }
        }
        5 => {
            // Held for a while.
            let id = any(world, random);
            world.policy.hold(id);
            world.settle();
            world.run_until(world.now + ms(random.below(3_000)));
            world.policy.release(id, world.now);
            world.settle();
        }
        6 => {
            // It fails its requests, or has stopped to do so.
            let id = any(world, random);
            let pause = if random.one_in(4) { Duration::ZERO } else { ms(random.below(30_000)) };
            world.shun(id, pause);
        }
        _ => {
            let first = any(world, random);
            let mut target = vec![first];
            if random.one_in(4) {
                let second = any(world, random);
                if second != first {
                    target.push(second);
                    target.sort_unstable();
                }
            }
            for _ in 0..=random.below(3) {
                world.ask_for(&target, random.below(4), i32::try_from(random.below(3)).unwrap() - 1);
            }
        }
    }
}

/// What came out of one world.
struct Run {
    steps: u64,
    waits: Vec<Duration>,
}

/// Runs one world to its end.
fn run(seed: u64) -> Run {
    let mut random = Random(seed);
    let mut world = world(&mut random);
    for _ in 0..ACTIONS {
        act(&mut world, &mut random);
        let pause = if random.one_in(4) { random.below(20_000) } else { random.below(300) };
        world.run_until(world.now + ms(pause));
    }
    let end = world.now + LONGEST_WAIT * 3;
    while world.now < end && world.step() {}
    assert!(world.waiting().is_empty(), "{:?} wait for ever", world.waiting());
    let mut waits = Vec::new();
    for (request, outcome) in &world.outcomes {
        match outcome {
            Outcome::Served { waited, .. } => {
                assert!(*waited < LONGEST_WAIT, "request {request} waited {waited:?}");
                waits.push(*waited);
            }
            Outcome::Refused(Refusal::WaitedTooLong { waited, .. }) => panic!("request {request} waited {waited:?} in vain"),
            Outcome::Refused(_) | Outcome::Left => {}
        }
    }
    for instance in &world.instances {
        assert_eq!(instance.in_flight, 0);
        assert!(matches!(instance.real, Real::Stopped | Real::Ready), "one is left {:?}", instance.real);
    }
    Run { steps: world.steps, waits }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn budgets_hold_nothing_in_use_is_unloaded_and_nobody_starves() {
    let (seeds, first) = (from_environment("ORCH_SIMULATION_SEEDS", SEEDS), from_environment("ORCH_SIMULATION_SEED", 0));
    let (mut steps, mut waits) = (0, Vec::new());
    for seed in first..first.saturating_add(seeds) {
        // A world that fails says all that happened in it.
        let outcome = std::panic::catch_unwind(|| run(seed));
        let run = outcome.unwrap_or_else(|_| panic!("seed {seed}: `cargo xtask faults 25 --count 1 --seed {seed}` repeats it"));
        steps += run.steps;
        waits.extend(run.waits);
    }
    assert!(steps >= STEPS * seeds / SEEDS, "only {steps} steps were tried");
    waits.sort_unstable();
    let part =
        |numerator: usize| waits.get((waits.len() * numerator / 1_000).min(waits.len().saturating_sub(1))).copied().unwrap_or_default();
    let [median, most, worst] = [500, 990, 1_000].map(|numerator| format!("{:.1} s", part(numerator).as_secs_f64()));
    println!(
        "| 25 | the scheduler under simulated time, {steps} steps | {seeds} | {seeds} | {first} | a request's wait | {median} | {most} | {worst} | {:.0} s |",
        LONGEST_WAIT.as_secs_f64()
    );
}
