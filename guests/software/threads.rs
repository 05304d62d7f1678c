//! Threads, locks, channels and floating point of Rust's standard library. What it prints does not
//! depend on how the threads are interleaved.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: u64 = 8;

fn main() {
    contended_mutex();
    ping_pong();
    pipeline();
    barrier_and_readers();
    sleeping();
    unwinding();
    floats();
}

/// All threads add to one map under one lock, and to one counter without.
fn contended_mutex() {
    let map = Mutex::new(BTreeMap::new());
    let counter = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (map, counter) = (&map, &counter);
            scope.spawn(move || {
                for step in 0..2_000 {
                    *map.lock().unwrap().entry(step % 17).or_insert(0u64) += thread * step;
                    counter.fetch_add(step ^ thread, Ordering::Relaxed);
                }
            });
        }
    });
    println!("map {:?}", map.into_inner().unwrap());
    println!("counter {}", counter.into_inner());
}

/// Two threads hand a token to and fro; each hand-over sleeps on a futex.
fn ping_pong() {
    let shared = Arc::new((Mutex::new(0u32), Condvar::new()));
    let other = Arc::clone(&shared);
    let take_turns = |shared: &(Mutex<u32>, Condvar), parity: u32| {
        let (turn, changed) = shared;
        for _ in 0..500 {
            let mut turn = changed
                .wait_while(turn.lock().unwrap(), |turn| *turn % 2 != parity)
                .unwrap();
            *turn += 1;
            changed.notify_all();
        }
    };
    let thread = thread::spawn(move || take_turns(&other, 1));
    take_turns(&shared, 0);
    thread.join().unwrap();
    println!("hand-overs {}", shared.0.lock().unwrap());
}

/// A bounded channel into workers, and an unbounded one out of them.
fn pipeline() {
    let (work, source) = sync_channel::<u64>(4);
    let source = Arc::new(Mutex::new(source));
    let (done, results) = channel();
    for _ in 0..THREADS {
        let (source, done) = (Arc::clone(&source), done.clone());
        thread::spawn(move || {
            loop {
                let item = source.lock().unwrap().recv();
                let Ok(item) = item else { break };
                done.send((item, collatz(item))).unwrap();
            }
        });
    }
    drop(done);
    for item in 1..=400 {
        work.send(item).unwrap();
    }
    drop(work);
    let mut results: Vec<(u64, u32)> = results.iter().collect();
    results.sort();
    let longest = results.iter().max_by_key(|(item, steps)| (*steps, *item));
    println!("results {}, longest {:?}", results.len(), longest.unwrap());
}

fn collatz(mut number: u64) -> u32 {
    let mut steps = 0;
    while number != 1 {
        number = if number % 2 == 0 {
            number / 2
        } else {
            3 * number + 1
        };
        steps += 1;
    }
    steps
}

/// In each round one thread writes, and after a barrier all read what it wrote.
fn barrier_and_readers() {
    let barrier = Barrier::new(THREADS as usize);
    let value = RwLock::new(1u64);
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (barrier, value, sum) = (&barrier, &value, &sum);
            scope.spawn(move || {
                for round in 0..40 {
                    if round % THREADS == thread {
                        let mut value = value.write().unwrap();
                        *value = value.wrapping_mul(6_364_136_223_846_793_005) + round;
                    }
                    barrier.wait();
                    sum.fetch_add(*value.read().unwrap() >> 32, Ordering::SeqCst);
                    barrier.wait();
                }
            });
        }
    });
    println!("readers saw {}", sum.into_inner());
}

/// Timers and the clock agree with each other.
fn sleeping() {
    let start = Instant::now();
    let sleeper = thread::spawn(|| thread::park_timeout(Duration::from_millis(300)));
    thread::sleep(Duration::from_millis(120));
    let early = start.elapsed();
    sleeper.join().unwrap();
    let late = start.elapsed();
    println!(
        "slept {} {}",
        early >= Duration::from_millis(120),
        late >= Duration::from_millis(300)
    );
}

/// A panic unwinds through frames with destructors and is caught at the join.
fn unwinding() {
    struct Noted<'a>(&'a AtomicU64);
    impl Drop for Noted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    fn deep(level: u32, dropped: &AtomicU64) -> u64 {
        let _noted = Noted(dropped);
        if level == 0 {
            std::panic::panic_any("thrown");
        }
        deep(level - 1, dropped) + u64::from(level)
    }
    std::panic::set_hook(Box::new(|_| {}));
    let dropped = AtomicU64::new(0);
    let result = std::panic::catch_unwind(|| deep(100, &dropped));
    println!(
        "unwound {} frames: {}",
        dropped.into_inner(),
        result.is_err()
    );
}

/// The bits of functions that the compiler and the C library implement.
fn floats() {
    let mut x = 0.1f64;
    for _ in 0..200 {
        x = 3.9 * x * (1.0 - x);
    }
    println!("logistic map {:016x} {x}", x.to_bits());
    for step in [-7.25f64, -0.5, 1e-9, 0.3, 1.0, 2.5, 40.125, 1e6] {
        let y = step.abs();
        let bits = [
            step.sin(),
            step.cos(),
            step.tan(),
            step.exp(),
            y.ln(),
            y.sqrt(),
            y.powf(2.0 / 3.0),
            step.cbrt(),
            step.atan2(3.0),
            step.tanh(),
            step.hypot(4.0),
            step.mul_add(3.0, 1.0),
            step % 0.7,
            step.floor(),
        ];
        let words: Vec<String> = bits
            .iter()
            .map(|value| format!("{:016x}", value.to_bits()))
            .collect();
        println!("{step}: {}", words.join(" "));
        let single = step as f32;
        println!(
            "  {:08x} {:08x} {:08x} {} {}",
            single.sin().to_bits(),
            single.abs().powf(0.3).to_bits(),
            (single / 3.0).to_bits(),
            step as i32,
            single as u8
        );
    }
    println!(
        "{:?} {:?} {:e}",
        f64::MIN_POSITIVE / 3.0,
        1.0f64 / 3.0,
        123456789.125f32
    );
    println!(
        "{:?} {:?}",
        "0.1e-310".parse::<f64>(),
        "179769313486231580e291".parse::<f64>()
    );
}
